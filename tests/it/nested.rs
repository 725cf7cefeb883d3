//! A runner with an engine of its own: docker-in-docker, as it is run everywhere, in a privileged container.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::image;
use crate::support::instance::{Instance, eventually, random_hex};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The runner's container on the instance, and its engine.
pub(crate) struct Nested {
    pub(crate) name: String,
    /// The network namespace of the container.
    pub(crate) netns: PathBuf,
    /// The action's image, in the inner engine.
    pub(crate) image: String,
    tools: OnceLock<String>,
    base_image: OnceLock<()>,
}

/// The nested runner of this test binary. It sees the checkout, `/tmp` and this folder at their own paths.
pub(crate) fn get(instance: &Instance, folder: &Path) -> &'static Nested {
    static NESTED: OnceLock<Nested> = OnceLock::new();
    NESTED.get_or_init(|| start(instance, folder))
}

fn start(instance: &Instance, folder: &Path) -> Nested {
    let root = tempfile::tempdir().unwrap();
    busybox(root.path());
    for program in [
        "bash",
        "containerd",
        "containerd-shim-runc-v2",
        "dash",
        "docker",
        "dockerd",
        "ip6tables",
        "iptables",
        "runc",
    ] {
        let to = format!("usr/bin/{program}");
        image::copy_program(&image::which(program), root.path(), &to);
    }
    let tag = format!("nested:{}", random_hex(12));
    let path = "ENV PATH=/usr/bin:/bin";
    image::import_with(instance, root.path(), &iptables_modules(), &tag, &[path]);

    let name = format!("nested-{}", random_hex(6));
    let mounts = [
        "/var/lib/docker".to_owned(),
        "/tmp:/tmp".to_owned(),
        format!("{0}:{0}:ro", folder.display()),
        format!("{ROOT}:{ROOT}:ro"),
    ];
    let mounts = mounts.iter().flat_map(|mount| ["-v", mount]);
    // Where /var/lib/docker lies on an overlay, this driver always works.
    let vfs = "--storage-driver=vfs";
    // Nothing is published, and the program for that is not in the image.
    let words = [&*tag, "dockerd", vfs, "--userland-proxy=false"];
    let run = |flags: &[&'static str]| {
        let mut run = vec!["run", "-d", "--name", &name];
        run.extend(flags);
        run.extend(mounts.clone().chain(words));
        instance.try_docker(run)
    };
    let mut started = run(&["--privileged"]);
    if String::from_utf8_lossy(&started.stderr).contains("unable to apply caps") {
        instance.docker(["rm", "-f", &name]);
        started = run(&PRIVILEGED_BUT_FOR_ONE);
    }
    assert!(
        started.status.success(),
        "{}",
        String::from_utf8_lossy(&started.stderr)
    );
    let pid = instance.docker(["inspect", "-f", "{{.State.Pid}}", &name]);
    eventually("the inner engine", || {
        let version = instance.try_docker(["exec", &name, "docker", "version"]);
        if String::from_utf8_lossy(&version.stderr).contains("is not running") {
            let logs = instance.try_docker(["logs", "--tail", "20", &name]);
            panic!("it ended: {}", String::from_utf8_lossy(&logs.stderr));
        }
        version.status.success().then_some(())
    });
    let mut nested = Nested {
        name: name.clone(),
        netns: format!("/proc/{pid}/ns/net").into(),
        image: String::new(),
        tools: OnceLock::new(),
        base_image: OnceLock::new(),
    };
    let image = image::action(instance);
    let save = Command::new("docker")
        .args(["save", image])
        .env("DOCKER_HOST", instance.docker_host())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    nested.feed(instance, save, &["load"]);
    image.clone_into(&mut nested.image);
    nested
}

impl Nested {
    /// The inner engine's client, fed with what another program writes.
    fn feed(&self, instance: &Instance, mut from: std::process::Child, arguments: &[&str]) {
        let client = Command::new("docker")
            .args(["exec", "-i", &self.name, "docker"])
            .args(arguments)
            .env("DOCKER_HOST", instance.docker_host())
            .stdin(from.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(
            client.status.success() && from.wait().unwrap().success(),
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&client.stderr)
        );
    }

    /// Packs a folder into an image of the inner engine.
    fn import(&self, instance: &Instance, root: &Path, tag: &str) {
        let tar = Command::new("tar")
            .args(["--owner=0", "--group=0", "-c", "-C"])
            .arg(root)
            .arg(".")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        self.feed(instance, tar, &["import", "-", tag]);
    }

    /// An image of the inner engine that a workflow's docker step could use.
    pub(crate) fn tools(&self, instance: &Instance) -> String {
        let tools = self.tools.get_or_init(|| {
            let root = tempfile::tempdir().unwrap();
            busybox(root.path());
            self.import(instance, root.path(), "tools:1");
            "tools:1".to_owned()
        });
        tools.clone()
    }

    /// Puts an image under the tag of the Dockerfile's base. Its cargo hands out what this machine's made of
    /// the same checkout; that the Dockerfile really builds is another test's affair.
    pub(crate) fn stand_in_for_the_base_image(&self, instance: &Instance) {
        self.base_image.get_or_init(|| {
            let dockerfile = fs::read_to_string(Path::new(ROOT).join("Dockerfile")).unwrap();
            let from = dockerfile.lines().find_map(|line| line.strip_prefix("FROM "));
            let tag = from.unwrap().split(' ').next().unwrap();
            let root = tempfile::tempdir().unwrap();
            busybox(root.path());
            fs::copy(image::static_binary(), root.path().join("built")).unwrap();
            let cargo = root.path().join("bin/cargo");
            let script = "#!/bin/sh\nset -e\nfolder=\"target/$(uname -m)-unknown-linux-musl/release\"\n\
                          mkdir -p \"$folder\"\ncp /built \"$folder/ecs-task-role\"\n";
            fs::write(&cargo, script).unwrap();
            fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
            self.import(instance, root.path(), tag);
        });
    }
}

/// Lays out a small system.
fn busybox(root: &Path) {
    for directory in ["bin", "etc", "root", "run", "tmp", "usr/bin", "var/lib"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    image::copy_program(&image::which("busybox"), root, "bin/busybox");
    let applets = Command::new("busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
}

/// iptables loads its matches and targets from a folder of the distribution's choice.
fn iptables_modules() -> Vec<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").unwrap();
    let mut folders = vec![PathBuf::from("/usr/lib")];
    folders.extend(libraries.map(|entry| entry.unwrap().path()));
    folders.retain(|folder| folder.join("xtables").is_dir());
    folders
        .iter()
        .map(|folder| folder.join("xtables"))
        .collect()
}

/// What `--privileged` comes down to, but for a capability that this machine itself may lack: 20.10 wants to
/// give every one that there is, and fails.
const PRIVILEGED_BUT_FOR_ONE: [&str; 6] = [
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=systempaths=unconfined",
    "--device-cgroup-rule=a *:* rwm",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup",
];
