"""Real stores, servers that pretend to be one, and a user of the module's client."""

import json
import os
import pathlib
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LBSTICKY_BUILD", ROOT / "build/ci"))


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


class Driver:
    """Speaks to store_driver, which uses the store at that address."""

    def __init__(self, *words):
        self.process = subprocess.Popen([BUILD / "tests/store/store_driver", *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def look(self, key):
        return self(f"look {key}")["value"]

    def put(self, key, value, life=600, mode="set"):
        """Has it stored, and waits until it is."""
        before = self.counts()["stored"]
        self(f"put {life} {mode} {key} {value}")
        wait_until(lambda: self.counts()["stored"] == before + 1)

    def work(self, threads, seconds, name="key"):
        return self(f"work {threads} {seconds} {name}")

    def counts(self):
        return self("counts")

    def events(self):
        return [event for event, _ in self.counts()["events"]]

    def end(self):
        """How many milliseconds that took."""
        took = self("end")["took"]
        assert self.process.wait() == 0
        return took


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


class Pretender:
    """Listens on a port and treats each connection as `handle(connection, kind)` does, until it returns."""

    def __init__(self, port, handle, kind, backlog=128):
        self.ended = threading.Event()
        self.handle, self.kind = handle, kind
        self.connections = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(backlog)
        if handle:
            threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.ended.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            self.handle(connection, self.kind, self.ended)
        except OSError:
            pass
        finally:
            connection.close()

    def stop(self):
        self.ended.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in self.connections:
            # Reset, so that the port is free at once.
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            except OSError:
                pass
