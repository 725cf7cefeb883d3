"""Runs what an instance, a runner and the token function of the fleet run, against real counterparts.

The clean-up works on real folders and asks a Docker Engine that is started here; the other programs talk to an HTTP
server on loopback that plays the ECS agent, GitHub and AWS. Needs root, dockerd, busybox (static), curl, openssl.
"""
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

FLEET = pathlib.Path(__file__).parent.parent / "fleet"
CHECKS = pathlib.Path(__file__).parent


def run(*command, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, **more)


class Engine:
    """A Docker Engine of its own, with one image that holds busybox alone."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="fleet-engine-"))
        self.host = f"unix://{self.home}/docker.sock"
        self.log = open(self.home / "log", "wb")
        # A containerd of its own as well: two engines at one containerd take each other's containers away.
        self.containerd = subprocess.Popen(
            ["containerd", "--root", self.home / "c-root", "--state", self.home / "c-state",
             "--address", self.home / "containerd.sock"], stdout=self.log, stderr=self.log)
        self.daemon = None
        self.wait(lambda: (self.home / "containerd.sock").exists(), self.containerd)
        self.daemon = subprocess.Popen(
            ["dockerd", "--host", self.host, "--data-root", self.home / "data", "--exec-root", self.home / "exec",
             "--pidfile", self.home / "pid", "--containerd", self.home / "containerd.sock", "--bridge", "none",
             "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs"], stdout=self.log, stderr=self.log)
        self.wait(lambda: self.docker("version").returncode == 0, self.daemon)

    def wait(self, ready, process):
        end = time.monotonic() + 60
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the engine does not start:\n" + (self.home / "log").read_text()[-3000:])
            time.sleep(0.1)

    def docker(self, *words):
        return run("docker", "--host", self.host, *words)

    def must(self, *words):
        done = self.docker(*words)
        if done.returncode:
            raise RuntimeError(f"docker {words}: {done.stderr}")
        return done.stdout.strip()

    def image(self):
        root = self.home / "image"
        (root / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin" / "sh")
        archive = self.home / "image.tar"
        run("tar", "-C", root, "-cf", archive, ".", check=True)
        self.must("import", archive, "runner")

    def stop(self):
        if self.daemon:
            for container in self.docker("ps", "--all", "--quiet").stdout.split():
                self.docker("rm", "--force", container)
            self.daemon.terminate()
            self.daemon.wait(60)
        self.containerd.terminate()
        self.containerd.wait(60)
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)


class CleanUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.stop)

        # While the engine has no container at all, the clean-up must not believe it.
        work = pathlib.Path(tempfile.mkdtemp())
        (work / "ecs-000000000000").mkdir()
        cls.on_an_empty_engine = cls.clean(cls, work)
        cls.kept_on_an_empty_engine = (work / "ecs-000000000000").exists()
        shutil.rmtree(work)

        cls.engine.image()
        cls.engine.must("run", "--detach", "--network", "none", "--name", "ecs-agent", "runner", "sh", "-c",
                        "while :; do sleep 1000; done")

    def setUp(self):
        # A path that the engine's host and the containers share, like /_work
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="work-"))
        self.addCleanup(shutil.rmtree, self.work)

    def clean(self, work, **environment):
        return run(FLEET / "clean-up.sh", work,
                   env={"PATH": os.environ["PATH"], "DOCKER_HOST": self.engine.host, **environment})

    def runner(self, then="while :; do sleep 1000; done", state="run"):
        """A runner as the task definition makes it: it names itself after its host name and makes its folder."""
        words = [state] + (["--detach"] if state == "run" else [])
        container = self.engine.must(
            *words, "--network", "none", "--volume", f"{self.work}:{self.work}", "runner", "sh", "-c",
            f'mkdir "{self.work}/ecs-$(cat /etc/hostname)" && {then}')
        self.addCleanup(self.engine.docker, "rm", "--force", container)
        folder = self.work / f"ecs-{container[:12]}"
        end = time.monotonic() + 30
        while state == "run" and not folder.exists():
            self.assertLess(time.monotonic(), end, self.engine.docker("logs", container).stderr)
            time.sleep(0.05)
        return container, folder

    def gone(self, name="ecs-0123456789ab"):
        folder = self.work / name
        (folder / "repository").mkdir(parents=True)
        (folder / "repository" / "file").write_text("left")
        return folder

    def test_of_six_folders_only_that_of_the_runner_that_is_gone_goes(self):
        alive = [self.runner()[1] for _ in range(5)]
        dead = self.gone()
        done = self.clean(self.work)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(dead.exists())
        for folder in alive:
            self.assertTrue(folder.exists(), folder)
        self.assertIn(f"removed: {dead}", done.stdout)

    def test_a_runner_is_gone_when_its_container_is_removed_and_not_before(self):
        container, folder = self.runner(then="exit 0")
        self.engine.must("wait", container)
        self.assertEqual(self.clean(self.work).returncode, 0)
        self.assertTrue(folder.exists())
        self.engine.must("rm", container)
        self.assertEqual(self.clean(self.work).returncode, 0)
        self.assertFalse(folder.exists())

    def test_a_runner_that_is_created_but_not_started_keeps_its_folder(self):
        _, folder = self.runner(state="create")
        folder.mkdir()
        self.clean(self.work)
        self.assertTrue(folder.exists())

    def test_a_runner_that_starts_while_the_clean_up_runs_keeps_its_folder(self):
        # A docker in the PATH that asks the engine as it was told, and starts a runner before it hands on the answer:
        # the worst moment, since that answer does not know the runner.
        self.gone()
        tools = self.work / "tools"
        tools.mkdir()
        (tools / "docker").write_text(
            f'#!/bin/sh\nPATH={os.environ["PATH"]}\nanswer=$(docker "$@") || exit 1\n'
            f'if [ ! -e {self.work}/started ]; then\n'
            f'  docker run --detach --network none --volume {self.work}:{self.work} runner sh -c '
            f'"mkdir {self.work}/ecs-\\$(cat /etc/hostname) && while :; do sleep 1000; done" >{self.work}/started\n'
            f'  while ! ls -d {self.work}/ecs-"$(cut -c1-12 {self.work}/started)" >/dev/null 2>&1; do sleep 0.1; done\n'
            'fi\nprintf "%s\\n" "$answer"\n')
        (tools / "docker").chmod(0o755)
        done = self.clean(self.work, PATH=f"{tools}:{os.environ['PATH']}")
        container = (self.work / "started").read_text().strip()
        self.addCleanup(self.engine.docker, "rm", "--force", container)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.work / f"ecs-{container[:12]}").exists())

    def test_a_folder_that_another_container_has_mounted_stays(self):
        folder = self.gone()
        container = self.engine.must(
            "run", "--detach", "--network", "none", "--volume", f"{folder}/repository:/github/workspace", "runner",
            "sh", "-c", "while :; do sleep 1000; done")
        self.clean(self.work)
        self.assertTrue(folder.exists())
        self.engine.must("rm", "--force", container)
        self.clean(self.work)
        self.assertFalse(folder.exists())

    def test_what_holds_no_container_id_in_its_name_stays(self):
        names = ["ecs-Zw2kQ8fLr0aBc", "0123456789ab", "ecs-0123456789AB", "ecs-0123456789abc", "ecs-0123456789a",
                 "_tool", ".cache", "ecs-0123456789ab.old", "ecs-0123456789ab\nx"]
        folders = [self.gone(name) for name in names]
        done = self.clean(self.work)
        self.assertEqual(done.returncode, 0, done.stderr)
        for folder in folders:
            self.assertTrue(folder.exists(), folder)

    def test_a_strange_name_takes_no_neighbour_with_it(self):
        for name in ["a b-0123456789ab", "*-0123456789ac", "$(touch x)-0123456789ad", "x\n_tool\n-0123456789ae", "-rf-0123456789af"]:
            self.gone(name)
        kept = self.gone("_tool")
        done = self.clean(self.work)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.work.iterdir()), [kept])

    def test_links_are_not_followed(self):
        outside = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, outside)
        (outside / "file").write_text("not a runner's")
        (self.work / "ecs-0123456789ac").symlink_to(outside)
        dead = self.gone()
        (dead / "link").symlink_to(outside)
        self.clean(self.work)
        self.assertFalse(dead.exists())
        self.assertTrue((self.work / "ecs-0123456789ac").is_symlink())
        self.assertEqual((outside / "file").read_text(), "not a runner's")

    def test_what_is_mounted_into_a_dead_folder_stays(self):
        dead = self.gone()
        (dead / "other").mkdir()
        run("mount", "-t", "tmpfs", "tmpfs", dead / "other", check=True)
        try:
            (dead / "other" / "file").write_text("another file system's")
            done = self.clean(self.work)
            self.assertTrue((dead / "other" / "file").exists())
            self.assertNotEqual(done.returncode, 0)
        finally:
            run("umount", dead / "other", check=True)

    def test_an_engine_that_does_not_answer_removes_nothing(self):
        dead = self.gone()
        done = self.clean(self.work, DOCKER_HOST=f"unix://{self.work}/no.sock")
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(dead.exists())

    def test_an_engine_without_any_container_removes_nothing(self):
        self.assertNotEqual(self.on_an_empty_engine.returncode, 0)
        self.assertTrue(self.kept_on_an_empty_engine)

    def test_of_unused_volumes_only_those_that_nobody_named_go(self):
        nobodys = self.engine.must("volume", "create")
        named = self.engine.must("volume", "create", "cache")
        self.clean(self.work)
        left = self.engine.must("volume", "ls", "--quiet").split()
        self.assertNotIn(nobodys, left)
        self.assertIn(named, left)


class Server:
    """Plays the ECS agent, GitHub and AWS: answers what `answers` says and keeps what it was asked."""

    def __init__(self, answers, certificate=None):
        self.asked = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                request = {"method": self.command, "path": self.path, "headers": self.headers, "body": body}
                server.asked.append(request)
                status, reply = answers(request)
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply.encode())

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class JobStarted(unittest.TestCase):
    def hook(self, answer, beside=None, **environment):
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            shutil.copy(FLEET / "job-started.sh", folder)
            if beside:
                (folder / "hand-on-endpoint.sh").write_text(beside)
            server = Server(lambda _: answer)
            stack.callback(server.close)
            # As the runner does it
            done = run("bash", "-e", folder / "job-started.sh", cwd="/", env={
                "PATH": os.environ["PATH"], "ECS_AGENT_URI": server.url + "/api/MARKER", **environment})
        return done, server.asked

    PROTECTED = (200, '{"protection":{"ExpirationDate":"2026-11-24T08:00:00Z","ProtectionEnabled":true,"TaskArn":"arn:aws:ecs:eu-west-1:123456789012:task/x/1"}}')

    def test_the_agent_is_asked_to_protect_the_task_for_the_time_that_is_set(self):
        done, asked = self.hook(self.PROTECTED, JOB_PROTECTION_MINUTES="45")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        (request,) = asked
        self.assertEqual((request["method"], request["path"]), ("PUT", "/api/MARKER/task-protection/v1/state"))
        self.assertEqual(request["headers"]["Content-Type"], "application/json")
        self.assertEqual(json.loads(request["body"]), {"ProtectionEnabled": True, "ExpiresInMinutes": 45})

    def test_a_refusal_is_a_warning_and_no_failed_job(self):
        for answer in [(200, '{"failure":{"Arn":"a","Reason":"DEPLOYMENT_BLOCKED"}}'), (200, '{"protection":{"ProtectionEnabled":false,"TaskArn":"a"}}'), (400, '{"error":{"Code":"AccessDeniedException"}}'), (500, "")]:
            done, _ = self.hook(answer)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout.startswith("::warning title="), done.stdout)
            self.assertEqual(len(done.stdout.splitlines()), 1)
            self.assertNotIn("MARKER", done.stdout + done.stderr)

    def test_no_agent_is_a_warning_and_no_failed_job(self):
        for address in ["", "http://127.0.0.1:1/api/MARKER"]:
            done, _ = self.hook(self.PROTECTED, ECS_AGENT_URI=address)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout.startswith("::warning title="), done.stdout)
            self.assertNotIn("MARKER", done.stdout + done.stderr)

    def test_no_proxy_comes_between(self):
        done, asked = self.hook(self.PROTECTED, http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1")
        self.assertEqual((done.stdout, len(asked)), ("", 1))

    def test_the_hook_beside_it_runs_and_can_not_fail_the_job(self):
        done, _ = self.hook(self.PROTECTED, beside='echo "::add-mask::second"\nexit 3\n')
        self.assertEqual((done.returncode, done.stdout), (0, "::add-mask::second\n"))


class ReportBusy(unittest.TestCase):
    def report(self, runners, busy):
        """Runs the script in a process namespace with that many processes of the runner's names."""
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for name in ["Runner.Listener", "Runner.Worker"]:
                shutil.copy("/bin/sleep", folder / name)
            server = Server(lambda _: (200, '<PutMetricDataResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"/>'))
            stack.callback(server.close)
            start = "".join([f"{folder}/Runner.Listener 100 & " * runners, f"{folder}/Runner.Worker 100 & " * busy])
            done = run("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c",
                       f"{start} sleep 0.5; {FLEET}/report-busy.sh fleet fleet",
                       env={"PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
                            "AWS_ENDPOINT_URL": server.url, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1",
                            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "none"})
        return done, server.asked

    def test_it_counts_runners_and_those_with_a_job(self):
        for runners, busy in [(3, 2), (2, 0), (0, 0)]:
            done, asked = self.report(runners, busy)
            self.assertEqual(done.returncode, 0, done.stderr)
            (request,) = asked
            sent = json.loads(request["body"])
            self.assertEqual(sent["Namespace"], "fleet")
            self.assertEqual({one["MetricName"]: one["Value"] for one in sent["MetricData"]},
                             {"Runners": runners, "BusyRunners": busy})
            self.assertEqual({one["Dimensions"][0]["Value"] for one in sent["MetricData"]}, {"fleet"})


class RegistrationToken(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.certificate = self.folder / "certificate.pem"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.certificate, "-out", self.folder / "public.pem",
            check=True)
        self.certificate.write_text(self.certificate.read_text() + (self.folder / "public.pem").read_text())
        self.secret = "GITHUB\n"
        self.github = (201, json.dumps({"token": "REGISTRATION", "expires_at": "2026-11-24T09:00:00Z"}))

    def answer(self, request):
        target = request["headers"].get("X-Amz-Target", "")
        if target == "secretsmanager.GetSecretValue":
            return 200, json.dumps({"Name": "x", "SecretString": self.secret})
        if target == "AmazonSSM.DeleteParameter":
            return 400, json.dumps({"__type": "ParameterNotFound"})
        if target:
            return 200, "{}"
        return self.github if request["method"] == "POST" else (200, "")

    def call(self, event):
        server = Server(self.answer, self.certificate)
        try:
            if event:
                event = {"ResponseURL": server.url + "/stack?signature", "StackId": "s", "RequestId": "r", "LogicalResourceId": "l", **event}
            done = run(sys.executable, "-c", "import json, sys, registration_token\n"
                       "registration_token.handler(json.loads(sys.argv[1]), None)", json.dumps(event), cwd=FLEET, env={
                "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1",
                "AWS_ENDPOINT_URL": server.url, "AWS_CA_BUNDLE": str(self.folder / "public.pem"),
                "SSL_CERT_FILE": str(self.folder / "public.pem"), "AWS_REGION": "eu-west-1",
                "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "none",
                "GITHUB_API": server.url + "/api", "ORG_NAME": "octo", "GITHUB_TOKEN_SECRET": "arn:secret",
                "TOKEN_PARAMETER": "/fleet/registration-token"})
        finally:
            server.close()
        self.assertNotIn("REGISTRATION", done.stdout + done.stderr)
        self.assertNotIn("GITHUB\n", done.stdout + done.stderr)
        return done, server.asked

    def puts(self, asked):
        return [json.loads(one["body"]) for one in asked if one["headers"].get("X-Amz-Target") == "AmazonSSM.PutParameter"]

    def stack_heard(self, asked):
        return [json.loads(one["body"]) for one in asked if one["path"].startswith("/stack")]

    def test_on_schedule_a_new_token_replaces_the_old_one_encrypted(self):
        done, asked = self.call({})
        self.assertEqual(done.returncode, 0, done.stderr)
        (github,) = [one for one in asked if one["path"] == "/api/orgs/octo/actions/runners/registration-token"]
        self.assertEqual((github["method"], github["headers"]["Authorization"]), ("POST", "Bearer GITHUB"))
        (put,) = self.puts(asked)
        self.assertEqual(put, {"Name": "/fleet/registration-token", "Value": "REGISTRATION", "Type": "SecureString", "Overwrite": True})
        self.assertIn("2026-11-24T09:00:00Z", done.stdout)

    def test_a_refusal_by_github_is_an_error_and_leaves_the_old_token(self):
        self.github = (403, '{"message":"no"}')
        done, asked = self.call({})
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.puts(asked), [])

    def test_the_stack_hears_of_success_and_of_failure(self):
        _, asked = self.call({"RequestType": "Create"})
        (told,) = self.stack_heard(asked)
        self.assertEqual((told["Status"], told["PhysicalResourceId"]), ("SUCCESS", "/fleet/registration-token"))
        self.assertEqual(len(self.puts(asked)), 1)
        self.github = (401, "{}")
        _, asked = self.call({"RequestType": "Update"})
        (told,) = self.stack_heard(asked)
        self.assertEqual(told["Status"], "FAILED")
        self.assertIn("401", told["Reason"])

    def test_a_secret_that_is_no_token_is_shown_to_nobody_and_sent_nowhere(self):
        # With a line break in it, http.client's own refusal quotes the whole header.
        for secret in ["ghp_MARKER\nsecond line", "ghp_MARKER\r\nX-Other: 1", '{"token": "ghp_MARKER"}', "ghp_MARKER\u2026"]:
            self.secret = secret
            for event in [{}, {"RequestType": "Create"}]:
                done, asked = self.call(event)
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn("MARKER", done.stdout + done.stderr)
                self.assertIn("the secret is no GitHub token", done.stderr)
                self.assertEqual([one for one in asked if one["path"].startswith("/api/")], [])
                self.assertEqual(self.puts(asked), [])
                for told in self.stack_heard(asked):
                    self.assertEqual(told["Status"], "FAILED")
                    self.assertIn("the secret is no GitHub token", told["Reason"])
                    self.assertNotIn("MARKER", told["Reason"])
                self.assertEqual(len(self.stack_heard(asked)), len(event))

    def test_what_an_error_quotes_is_shown_to_nobody(self):
        # What GitHub says is no token; the library that should send it on to AWS quotes it in its refusal.
        self.github = (201, json.dumps({"token": ["MARKER"], "expires_at": "soon"}))
        for event in [{}, {"RequestType": "Update"}]:
            done, asked = self.call(event)
            self.assertNotEqual(done.returncode, 0)
            self.assertNotIn("MARKER", done.stdout + done.stderr)
            self.assertIn("ParamValidationError", done.stderr)
            self.assertEqual([told["Reason"] for told in self.stack_heard(asked)], ["ParamValidationError"] * len(event))

    def test_the_code_of_a_refusal_is_all_that_is_told_of_it(self):
        self.github = (403, '{"message":"MARKER"}')
        done, asked = self.call({"RequestType": "Create"})
        (told,) = self.stack_heard(asked)
        self.assertEqual(told["Reason"], "HTTPError 403")
        self.assertIn("HTTPError 403", done.stderr)

    def test_a_stack_that_goes_takes_the_token_with_it(self):
        # The parameter is gone already: no reason to keep the stack.
        _, asked = self.call({"RequestType": "Delete"})
        (told,) = self.stack_heard(asked)
        self.assertEqual(told["Status"], "SUCCESS")
        self.assertEqual(self.puts(asked), [])


class UserData(unittest.TestCase):
    def test_an_instance_gets_its_settings_its_programs_and_its_timers(self):
        script = run(sys.executable, CHECKS / "copies.py", "--user-data", check=True).stdout
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            # A root of its own: the machine's programs, but none of its folders that an instance's set-up writes to.
            for name in ["etc/ecs", "etc/systemd/system", "opt", "tmp", "proc", "dev", "_tools"]:
                (root / name).mkdir(parents=True)
            (root / "script").write_text(script)
            for tool in ["dnf", "systemctl"]:
                (root / "_tools" / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>/calls\n')
                (root / "_tools" / tool).chmod(0o755)
            agent = root / "opt/aws/amazon-cloudwatch-agent"
            (agent / "etc").mkdir(parents=True)
            (agent / "bin").mkdir()
            (agent / "bin/amazon-cloudwatch-agent-ctl").write_text('#!/bin/sh\necho "agent $*" >>/calls\n')
            (agent / "bin/amazon-cloudwatch-agent-ctl").chmod(0o755)
            binds = "".join(
                f"if [ -L /{d} ]; then cp -P /{d} {root}/{d}; elif [ -d /{d} ]; then mkdir -p {root}/{d}; mount --bind /{d} {root}/{d}; fi\n"
                for d in ["usr", "bin", "sbin", "lib", "lib64"])
            done = run("unshare", "--mount", "bash", "-e", "-c",
                       f"{binds} mount --bind /dev {root}/dev; mkdir {root}/out; mount --bind {root}/out {root}/usr/local/sbin\n"
                       f"PATH=/_tools:/usr/bin:/bin:/usr/sbin:/sbin chroot {root} bash /script")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for name, place in [("clean-up.sh", "out/runner-clean-up"), ("report-busy.sh", "out/report-busy"),
                                ("job-started.sh", "opt/runner-hooks/job-started.sh")]:
                self.assertEqual((root / place).read_text(), (FLEET / name).read_text())
                self.assertTrue(os.access(root / place, os.X_OK), place)
            self.assertTrue((root / "_work").is_dir())
            settings = dict(line.split("=", 1) for line in (root / "etc/ecs/ecs.config").read_text().splitlines())
            self.assertEqual(settings["ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP"], "true")
            self.assertEqual(settings["ECS_AUDIT_LOGFILE_DISABLED"], "false")
            # With this one the agent cleans up no image at all.
            self.assertNotEqual(settings["ECS_IMAGE_PULL_BEHAVIOR"], "prefer-cached")
            audit = json.loads((agent / "etc/audit.json").read_text())
            (log,) = audit["logs"]["logs_collected"]["files"]["collect_list"]
            self.assertEqual((log["file_path"], log["log_group_name"]), ("/var/log/ecs/audit.log", "stand-in"))
            units = root / "etc/systemd/system"
            self.assertIn("ExecStart=/usr/local/sbin/runner-clean-up /_work\n", (units / "runner-clean-up.service").read_text())
            self.assertIn("ExecStart=/usr/local/sbin/report-busy stand-in stand-in\n", (units / "report-busy.service").read_text())
            calls = (root / "calls").read_text()
            self.assertIn("systemctl enable --now runner-clean-up.timer report-busy.timer", calls)
            self.assertIn("agent -a fetch-config", calls)


class Template(unittest.TestCase):
    """What the documents say of the fleet, where no linter asks for it."""

    @classmethod
    def setUpClass(cls):
        # Plain data: each Fn::If is settled as the test asks
        text = run(sys.executable, "-c", "import json, sys; from cfnlint.decode import cfn_yaml\n"
                   "json.dump(cfn_yaml.load(sys.argv[1]), sys.stdout)", FLEET / "template.yml", check=True).stdout
        cls.template = json.loads(text)

    def settled(self, value, conditions):
        if isinstance(value, dict):
            if set(value) == {"Fn::If"}:
                condition, yes, no = value["Fn::If"]
                return self.settled(yes if condition in conditions else no, conditions)
            return {name: self.settled(inner, conditions) for name, inner in value.items()}
        if isinstance(value, list):
            settled = [self.settled(inner, conditions) for inner in value]
            return [inner for inner in settled if inner != {"Ref": "AWS::NoValue"}]
        return value

    def properties(self, name, *conditions):
        return self.settled(self.template["Resources"][name]["Properties"], conditions)

    def statements(self, *conditions):
        """Each statement of a role's policies, as (role, statement)."""
        for name, resource in self.template["Resources"].items():
            if resource.get("Condition") not in (None, *conditions):
                continue
            properties = self.properties(name, *conditions)
            if resource["Type"] == "AWS::IAM::Role":
                for policy in properties.get("Policies", []):
                    yield from ((name, one) for one in policy["PolicyDocument"]["Statement"])
            elif resource["Type"] == "AWS::IAM::RolePolicy":
                yield from ((properties["RoleName"]["Ref"], one) for one in properties["PolicyDocument"]["Statement"])

    def actions(self, role, *conditions):
        return {action for name, one in self.statements(*conditions) if name == role
                for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])}

    def test_every_parameter_is_described_and_grouped(self):
        grouped = [name for group in self.template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
                   for name in group["Parameters"]]
        self.assertEqual(sorted(grouped), sorted(self.template["Parameters"]))
        for name, parameter in self.template["Parameters"].items():
            self.assertTrue(parameter.get("Description"), name)

    def test_no_container_on_a_bridge_reaches_the_instance_role(self):
        options = self.properties("LaunchTemplate")["LaunchTemplateData"]["MetadataOptions"]
        self.assertEqual((options["HttpTokens"], options["HttpPutResponseHopLimit"]), ("required", 1))
        self.assertEqual(self.properties("TaskDefinition")["NetworkMode"], "bridge")

    def test_volumes_are_encrypted_and_nothing_reaches_in(self):
        data = self.properties("LaunchTemplate")["LaunchTemplateData"]
        self.assertTrue(all(one["Ebs"]["Encrypted"] for one in data["BlockDeviceMappings"]))
        self.assertFalse(any(one["AssociatePublicIpAddress"] for one in data["NetworkInterfaces"]))
        self.assertNotIn("SecurityGroupIngress", self.properties("SecurityGroup"))

    def test_five_runners_start_and_scaling_stays_within_the_bounds_of_the_user(self):
        self.assertEqual(self.template["Parameters"]["RunnersAtStart"]["Default"], 5)
        self.assertEqual(self.properties("Service")["DesiredCount"], {"Ref": "RunnersAtStart"})
        scaling = self.properties("Scaling")
        self.assertEqual((scaling["MinCapacity"], scaling["MaxCapacity"]), ({"Ref": "RunnersMin"}, {"Ref": "RunnersMax"}))
        self.assertEqual(self.properties("Instances")["MaxSize"], {"Ref": "InstancesMax"})

    def test_nothing_stops_a_runner_only_to_place_it_better(self):
        self.assertEqual(self.properties("Service")["AvailabilityZoneRebalancing"], "DISABLED")
        provider = self.properties("CapacityProvider")["AutoScalingGroupProvider"]
        self.assertEqual({provider[name] for name in ["ManagedTerminationProtection", "ManagedDraining"]}, {"ENABLED"})
        self.assertTrue(self.properties("Instances")["NewInstancesProtectedFromScaleIn"])

    def test_no_action_is_a_pattern_and_every_resource_is_named_where_it_can_be(self):
        for conditions in [("ShortLived", "OwnKey", "OwnRepository"), ("AccessToken", "OwnKey", "OwnRepository")]:
            for role, statement in self.statements(*conditions):
                actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
                for action in actions:
                    self.assertNotIn("*", action, role)
                if statement["Resource"] == "*" and "Condition" not in statement:
                    self.assertIn(actions, [["ecs:DiscoverPollEndpoint"], ["ecr:GetAuthorizationToken"]], role)

    def test_images_are_pulled_from_the_repository_that_is_named_or_from_none_of_ecr(self):
        for conditions in [("ShortLived",), ("AccessToken", "OwnKey")]:
            actions = self.actions("ExecutionRole", *conditions)
            self.assertTrue(actions)
            self.assertEqual([one for one in actions if one.startswith("ecr:")], [])
            pulls = [one for role, one in self.statements(*conditions, "OwnRepository")
                     if "ecr:BatchGetImage" in one["Action"]]
            self.assertEqual([one["Resource"] for one in pulls], [{"Ref": "RunnerRepositoryArn"}])
            self.assertIn("ecr:GetAuthorizationToken", self.actions("ExecutionRole", *conditions, "OwnRepository"))
        parameter = self.template["Parameters"]["RunnerRepositoryArn"]
        self.assertEqual(parameter["Default"], "")
        arn = "arn:aws:ecr:eu-west-1:123456789012:repository/"
        for name, allowed in [("team/github-runner", True), ("*", False), ("team/*", False), ("", False)]:
            self.assertEqual(bool(re.fullmatch(parameter["AllowedPattern"], arn + name)), allowed, name)
        self.assertTrue(re.fullmatch(parameter["AllowedPattern"], ""))

    def test_with_a_short_lived_token_no_task_gets_the_github_token(self):
        (secret,) = self.properties("TaskDefinition", "ShortLived")["ContainerDefinitions"][0]["Secrets"]
        self.assertEqual(secret["Name"], "RUNNER_TOKEN")
        for role in ["ExecutionRole", "TaskRole", "InstanceRole"]:
            self.assertNotIn("secretsmanager:GetSecretValue", self.actions(role, "ShortLived", "OwnKey"))
            self.assertNotIn("kms:Decrypt", self.actions(role, "ShortLived", "OwnKey"))
        self.assertIn("secretsmanager:GetSecretValue", self.actions("TokenRole", "ShortLived"))
        self.assertIn("ssm:GetParameters", self.actions("ExecutionRole", "ShortLived"))

    def test_with_an_access_token_there_is_no_function(self):
        (secret,) = self.properties("TaskDefinition", "AccessToken")["ContainerDefinitions"][0]["Secrets"]
        self.assertEqual(secret["Name"], "ACCESS_TOKEN")
        self.assertLessEqual({"secretsmanager:GetSecretValue", "kms:Decrypt"}, self.actions("ExecutionRole", "AccessToken", "OwnKey"))
        for name, resource in self.template["Resources"].items():
            if name.startswith("Token") or name == "FirstToken":
                self.assertEqual(resource.get("Condition"), "ShortLived", name)

    def test_the_three_roles_are_not_each_others(self):
        self.assertEqual(self.actions("TaskRole"), {"ecs:GetTaskProtection", "ecs:UpdateTaskProtection"})
        definition = self.properties("TaskDefinition")
        roles = {definition["TaskRoleArn"]["Fn::GetAtt"][0], definition["ExecutionRoleArn"]["Fn::GetAtt"][0],
                 self.properties("InstanceProfile")["Roles"][0]["Ref"]}
        self.assertEqual(roles, {"TaskRole", "ExecutionRole", "InstanceRole"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
