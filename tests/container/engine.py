"""Two ways to build and run an image: the Docker engine where one answers, else buildah, which needs only root."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = PROJECT / "docker" / "Dockerfile"
REGISTRY_BASE = "docker.io/library/debian:bookworm-slim"
IMAGE = "lbsticky-test"
BASE = "lbsticky-test-base"


def output_of(*command, **options):
    """What the command wrote; CalledProcessError if it failed."""
    return subprocess.run(command, check=True, text=True, capture_output=True, timeout=900, **options).stdout


def debian_base():
    """A tarball with a minimal Debian, for want of a registry."""
    return output_of(pathlib.Path(__file__).parent / "debian-base.sh").strip()


class Docker:
    @staticmethod
    def why_not():
        try:
            output_of("docker", "info")
        except FileNotFoundError:
            return "docker is not installed"
        except subprocess.CalledProcessError:
            return "no Docker engine answers"

    def close(self):
        pass

    def build(self):
        try:
            output_of("docker", "pull", REGISTRY_BASE)
            base = REGISTRY_BASE
        except subprocess.CalledProcessError:
            base = BASE
            output_of("docker", "import", debian_base(), base)
        output_of("docker", "build", "--network=host", "--build-arg", f"BASE={base}", "-t", IMAGE, "-f", DOCKERFILE,
                  PROJECT)

    def config(self):
        return json.loads(output_of("docker", "image", "inspect", IMAGE))[0]["Config"]

    @contextlib.contextmanager
    def run(self, environment, files=(), command=(), hostname="lbsticky"):
        """Runs the image; the command, if there is one, instead of its own."""
        container = output_of("docker", "run", "-d", "--network=host", "--hostname", hostname,
                              *options(environment, files), *(["--entrypoint", command[0]] if command else []), IMAGE,
                              *command[1:]).strip()
        try:
            yield DockerContainer(container)
        finally:
            output_of("docker", "rm", "-f", container)


class DockerContainer:
    def __init__(self, container):
        self.container = container

    def log(self):
        return subprocess.run(["docker", "logs", self.container], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=True).stdout

    def execute(self, command, **environment):
        return subprocess.run(["docker", "exec", *options(environment), self.container, "sh", "-c", command]).returncode

    def stop(self):
        """Stops it by the image's stop signal and returns its exit status."""
        output_of("docker", "stop", self.container)
        return self.wait()

    def wait(self):
        return int(output_of("docker", "wait", self.container))


class Buildah:
    """Keeps images and containers in a folder of its own, and takes that away in the end."""

    isolation = ["--isolation=chroot", "--network=host"]

    @staticmethod
    def why_not():
        if os.geteuid() != 0:
            return "buildah's chroot isolation needs root"
        for tool in ("buildah", "podman"):
            try:
                output_of(tool, "--version")
            except FileNotFoundError:
                return f"{tool} is not installed"

    def __init__(self):
        # Not in /tmp, which may be small or allow no devices.
        self.folder = tempfile.TemporaryDirectory(prefix="lbsticky-containers-", dir="/var/tmp")
        storage = pathlib.Path(self.folder.name) / "storage.conf"
        # Without a driver= it takes the fastest that works here.
        storage.write_text(f'[storage]\nrunroot = "{self.folder.name}/run"\ngraphroot = "{self.folder.name}/images"\n')
        self.environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(storage)}

    def close(self):
        self.folder.cleanup()

    def command(self, *arguments):
        return output_of(*arguments, env=self.environment)

    def build(self):
        try:
            self.command("buildah", "pull", REGISTRY_BASE)
            base = REGISTRY_BASE
        except subprocess.CalledProcessError:
            base = f"localhost/{BASE}"
            self.command("podman", "import", debian_base(), base)
        # The other image format has no place for the health check.
        self.command("nice", "buildah", "bud", *self.isolation, "--format=docker", "--build-arg", f"BASE={base}",
                     "-t", IMAGE, "-f", DOCKERFILE, PROJECT)

    def config(self):
        return json.loads(self.command("buildah", "inspect", "--type=image", IMAGE))["Docker"]["config"]

    @contextlib.contextmanager
    def run(self, environment, files=(), command=(), hostname="lbsticky"):
        """Runs the image; the command, if there is one, instead of its own."""
        container = self.command("buildah", "from", IMAGE).strip()
        config = self.config()
        log = pathlib.Path(self.folder.name) / f"{container}.log"
        with log.open("w") as log_file:
            process = subprocess.Popen(
                ["buildah", "run", *self.isolation, "--hostname", hostname, *options(environment, files), container,
                 "--", "sh", "-c", 'echo $$ >/run/pid && exec "$@"', "sh",
                 *(command or [*config["Entrypoint"], *(config["Cmd"] or [])])],
                env=self.environment, stdout=log_file, stderr=subprocess.STDOUT)
        running = BuildahContainer(self, container, process, log, config["StopSignal"])
        try:
            yield running
        finally:
            if process.poll() is None:
                running.signal("TERM")
                running.wait()
            self.command("buildah", "rm", container)


class BuildahContainer:
    def __init__(self, engine, container, process, log, stop_signal):
        self.engine = engine
        self.container = container
        self.process = process
        self.log_file = log
        self.stop_signal = stop_signal

    def log(self):
        return self.log_file.read_text()

    def execute(self, command, **environment):
        return subprocess.run(["buildah", "run", *Buildah.isolation, *options(environment), self.container, "--",
                               "sh", "-c", command], env=self.engine.environment).returncode

    def signal(self, name):
        # There is no process space of its own in which it would be number 1, and buildah passes on no signal.
        self.execute(f"kill -s {name} $(cat /run/pid)")

    def stop(self):
        """Stops it by the image's stop signal and returns its exit status."""
        self.signal(self.stop_signal.removeprefix("SIG"))
        return self.wait()

    def wait(self):
        return self.process.wait(timeout=30)


def options(environment, files=()):
    """Environment variables, and files as (path here, path in the container), as docker and buildah take them."""
    return [word for name, value in environment.items() for word in ("-e", f"{name}={value}")] + \
           [word for here, there in files for word in ("-v", f"{here}:{there}:ro")]


def poll(question, what, seconds=20):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")
