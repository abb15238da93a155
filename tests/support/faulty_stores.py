"""What may be wrong with a store: servers that pretend to be one, ports where nobody answers, stores that are full."""

import socket
import threading
import time


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


def to_each_request(answer):
    """A handler that gives the same answer to each thing that comes."""
    def handle(connection, kind, _):
        while connection.recv(65536):
            connection.sendall(answer[kind] if isinstance(answer, dict) else answer)
    return handle


def silent(_connection, _kind, ended):
    ended.wait()


def after_five_seconds(connection, kind, ended):
    while connection.recv(65536):
        if ended.wait(5):
            return
        connection.sendall({"redis": b"$-1\r\n", "memcached": b"END\r\n"}[kind])


def closes_in_the_middle(connection, kind, _):
    connection.recv(65536)
    connection.sendall({"redis": b"$10\r\n1 no", "memcached": b"VALUE key 0 10\r\n1 no"}[kind])


def closes_at_once(_connection, _kind, _ended):
    pass


def byte_by_byte(connection, kind, ended):
    connection.recv(65536)
    for byte in {"redis": b"$1000\r\n", "memcached": b"VALUE key 0 1000\r\n"}[kind] + b"x" * 1000:
        if ended.wait(0.005):
            return
        connection.sendall(bytes([byte]))


def long_value(claimed, sent):
    return {"redis": b"$%d\r\n" % claimed + b"x" * sent,
            "memcached": b"VALUE key 0 %d\r\n" % claimed + b"x" * sent + b"\r\nEND\r\n"}


PRETENDERS = {
    "accepts and never answers": silent,
    "answers after 5 s": after_five_seconds,
    "closes at once": closes_at_once,
    "closes in the middle": closes_in_the_middle,
    "answers nonsense": to_each_request(b"\0\xff nonsense \r\n\r\n"),
    "answers another question": to_each_request({"redis": b":17\r\n", "memcached": b"TOUCHED\r\n"}),
    "answers an error": to_each_request({"redis": b"-ERR broken\r\n", "memcached": b"SERVER_ERROR broken\r\n"}),
    "answers twice": to_each_request({"redis": b"$-1\r\n$-1\r\n", "memcached": b"END\r\nEND\r\n"}),
    "answers a list without end": to_each_request({"redis": b"*2000000000\r\n", "memcached": b"VALUE\r\n" * 1000}),
    "answers a value that is too long": to_each_request(long_value(2000, 2000)),
    "claims a value that is far too long": to_each_request(long_value(2_000_000_000, 100_000)),
    "answers byte by byte": byte_by_byte,
}


class Unreachable:
    """Drops what comes: its backlog is full."""

    def __init__(self, port, kind):
        self.listener = Pretender(port, None, kind, backlog=0)
        self.fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            self.fillers.append(filler)
        time.sleep(0.1)

    def stop(self):
        for filler in self.fillers:
            filler.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            filler.close()
        self.listener.stop()


class Nobody:
    """Refuses connections."""

    def stop(self):
        pass


FAULTS = ["refuses connections", "drops packets", *PRETENDERS]


def begin_fault(fault, port, kind):
    """What stands on that port in the place of a store, until it is stopped."""
    if fault == "refuses connections":
        return Nobody()
    if fault == "drops packets":
        return Unreachable(port, kind)
    return Pretender(port, PRETENDERS[fault], kind)


def fill(store):
    """Fills memcached with values as long as those that are put."""
    with socket.create_connection(("127.0.0.1", store.port), timeout=5) as connection:
        for begin in range(0, 40_000, 500):
            connection.sendall(b"".join(b"add fill:%06d 0 600 9 noreply\r\n1 node1 1\r\n" % number
                                        for number in range(begin, begin + 500)))
        connection.sendall(b"version\r\n")
        while b"VERSION" not in connection.recv(65536):
            pass
