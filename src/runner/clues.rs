//! Which container am I? Pure: the text of `/proc/self/mountinfo` in, an id out.
//!
//! docker bind-mounts `hostname`, `hosts` and `resolv.conf` from `<data root>/containers/<id>/` into every
//! container. Neither the hostname nor a cgroup path will do: the first can be another container's *name*,
//! the second is `/` with cgroup v2. The format: `proc_pid_mountinfo(5)`.

use crate::engine::ContainerId;

/// The files that docker mounts, by the name they have on both sides.
const FILES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];

/// The id of the container that this process runs in; None outside one, and where two ids stand.
pub fn container_id(mountinfo: &str) -> Option<ContainerId> {
    let mut ids = mountinfo.lines().filter_map(id_in);
    let first = ids.next()?;
    ids.all(|id| id == first).then_some(first)
}

/// `<mount id> <parent id> <device> <root> <mount point> …`
fn id_in(line: &str) -> Option<ContainerId> {
    let mut fields = line.split(' ').skip(3);
    let (root, mount_point) = (fields.next()?, fields.next()?);
    let file = mount_point.strip_prefix("/etc/")?;
    if !FILES.contains(&file) {
        return None;
    }
    let mut segments = root.rsplit('/');
    let (last, id, folder) = (segments.next()?, segments.next()?, segments.next()?);
    // Before the folder there is a `/`: the kernel writes no other root.
    if last == file && folder == "containers" && segments.next().is_some() {
        ContainerId::parse(id)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    fn of(lines: &[String]) -> Option<ContainerId> {
        container_id(&lines.join("\n"))
    }

    fn line(root: &str, mount_point: &str) -> String {
        format!("812 793 254:0 {root} {mount_point} rw,relatime - ext4 /dev/vda rw,discard")
    }

    #[test]
    fn each_of_the_three_files_tells_the_id() {
        for file in FILES {
            for data_root in [
                "/var/lib/docker",
                "/mnt/data/docker",
                "",
                "/docker/containers",
            ] {
                let root = format!("{data_root}/containers/{ID}/{file}");
                let found = of(&[line(&root, &format!("/etc/{file}"))]);
                assert_eq!(found, ContainerId::parse(ID), "{root}");
            }
        }
    }

    #[test]
    fn the_engines_own_shapes_are_read() {
        for sample in [
            include_str!("../../tests/data/mountinfo/docker-20.10-cgroup-v1"),
            include_str!("../../tests/data/mountinfo/docker-20.10-cgroup-v2"),
            include_str!("../../tests/data/mountinfo/docker-newest-cgroup-v1"),
            include_str!("../../tests/data/mountinfo/docker-newest-cgroup-v2"),
        ] {
            assert_eq!(container_id(sample), ContainerId::parse(ID));
        }
    }

    #[test]
    fn lines_made_to_mislead_do_not() {
        let hostname = format!("/var/lib/docker/containers/{ID}/hostname");
        for (root, mount_point) in [
            // A work directory or a repository that is named like an id.
            (
                format!("/_work/containers/{ID}/hostname"),
                "/github/workspace/hostname".to_owned(),
            ),
            (format!("/_work/{ID}/{ID}"), "/github/workspace".to_owned()),
            (
                hostname.clone(),
                format!("/github/workspace/containers/{ID}/hostname"),
            ),
            (
                format!("containers/{ID}/hostname"),
                "/etc/hostname".to_owned(),
            ),
            (hostname.clone(), "/etc/hostname2".to_owned()),
            (hostname.clone(), "/mnt/etc/hostname".to_owned()),
            (hostname.clone(), "/etc/hosts".to_owned()),
            (format!("{hostname}//deleted"), "/etc/hostname".to_owned()),
            (
                format!("/containers/{ID}x/hostname"),
                "/etc/hostname".to_owned(),
            ),
            (
                format!("/containers/{}/hostname", ID.split_at(1).1),
                "/etc/hostname".to_owned(),
            ),
            (
                format!("/containers/{}/hostname", ID.to_uppercase()),
                "/etc/hostname".to_owned(),
            ),
            (
                format!("/containers/{ID}/x/hostname"),
                "/etc/hostname".to_owned(),
            ),
            (
                format!("/mycontainers/{ID}/hostname"),
                "/etc/hostname".to_owned(),
            ),
            // A mount point with a blank in it is written with \040, so it can't shift the fields.
            (
                format!("/x\\040/containers/{ID}/hostname"),
                "/x\\040/etc/hostname".to_owned(),
            ),
        ] {
            assert_eq!(
                of(&[line(&root, &mount_point)]),
                None,
                "{root} {mount_point}"
            );
        }
    }

    #[test]
    fn two_ids_are_none() {
        let at = |id, file| line(&format!("/containers/{id}/{file}"), &format!("/etc/{file}"));
        assert_eq!(of(&[at(ID, "hosts"), at(OTHER, "hostname")]), None);
        assert_eq!(
            of(&[at(ID, "hosts"), at(ID, "hostname")]),
            ContainerId::parse(ID)
        );
    }

    #[test]
    fn outside_a_container_there_is_none() {
        assert_eq!(container_id(""), None);
        assert_eq!(container_id("\n\n 1\n1 2 3\n"), None);
        assert_eq!(
            of(&[line("/", "/"), line("/etc/hostname", "/etc/hostname")]),
            None
        );
    }
}
