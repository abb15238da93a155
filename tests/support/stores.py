"""Real stores, for tests."""

import contextlib
import socket
import subprocess
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=20):
    """The first true value of condition()."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition()}")


class Store:
    """A real store on a port. `options` are words of its command line."""

    name = ""

    def __init__(self, folder, port=None, *options):
        self.port = port or free_port()
        self.folder = folder
        self.options = options
        self.process = None

    @property
    def address(self):
        return f"{self.name}://127.0.0.1:{self.port}"

    def start(self):
        log = open(self.folder / f"{self.name}-{self.port}.log", "ab")
        self.process = subprocess.Popen(self.command(), cwd=self.folder, stdout=log, stderr=log)
        wait_until(self.answers)
        return self

    def answers(self):
        assert self.process.poll() is None, (self.folder / f"{self.name}-{self.port}.log").read_text()
        try:
            return self.ask("PING" if self.name == "redis" else "version")
        except OSError:
            return None

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def ask(self, *lines):
        """What it answers to the last of some lines."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            for line in lines:
                connection.sendall(line.encode() + b"\r\n")
                answer = connection.recv(65536).decode()
            return answer.strip()


class Redis(Store):
    name = "redis"

    def command(self):
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self.options]

    def keys(self, *before):
        return int(self.ask(*before, "DBSIZE")[1:])


class Memcached(Store):
    name = "memcached"

    def command(self):
        return ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(self.port), *self.options]

    def keys(self):
        return int(next(line.split()[2] for line in self.ask("stats").splitlines() if " curr_items " in line))


KINDS = {"redis": Redis, "memcached": Memcached}


@contextlib.contextmanager
def starter(folder):
    """start(kind, *options, port=None): a real store that is started; those that still run at the end are stopped."""
    stores = []

    def start(kind, *options, port=None):
        store = KINDS[kind](folder, port, *options)
        stores.append(store)
        return store.start()

    try:
        yield start
    finally:
        for store in stores:
            store.stop()
