"""An application and a client that are quick: for tests that make thousands of requests."""

import re
import secrets
import socket
import threading

from server import Answer


class QuickApplication:
    """Keeps its sessions in memory, as most do. Its answers: "made ID" to who has none, "known" to a session that it
    has made, "unknown" to any other, which it leaves as it is. A thread serves all the requests of a connection."""

    def __init__(self, route):
        self.route = route
        self.sessions = set()
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        received = b""
        while True:
            head, end, rest = received.partition(b"\r\n\r\n")
            if end:
                received = rest
                connection.sendall(self.answer(head))
                continue
            try:
                more = connection.recv(65536)
            except OSError:
                more = b""
            if not more:
                connection.close()
                return
            received += more

    def answer(self, head):
        sent = re.search(rb"^Cookie:.*\bsid=([^;\r]*)", head, re.MULTILINE)
        cookie = ""
        if not sent:
            id = secrets.token_hex(16)
            self.sessions.add(id)
            cookie = f"Set-Cookie: sid={id}; Path=/; HttpOnly\r\n"
            body = f"made {id}"
        else:
            body = "known" if sent[1].decode() in self.sessions else "unknown"
        return (f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nX-Member: {self.route}\r\n{cookie}\r\n"
                f"{body}").encode()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def members_of(applications, options=""):
    """The members that they are, for cluster()."""
    return [f"{application.url} route={application.route} {options}" for application in applications]


def ask(server, *headers, path="/", host="127.0.0.1"):
    """One request with these lines of headers, text or bytes, on a connection of its own. An Answer."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]
    request = b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return Answer(answer.decode("latin-1"))


def begin_session(server):
    """A new session: the header with which the client comes back."""
    answer = ask(server)
    assert answer.status == 200 and answer.body.startswith("made "), (answer.status, answer.body)
    [cookie] = answer.set_cookies
    return "Cookie: " + cookie.partition(";")[0]
