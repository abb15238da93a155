"""Sessions stick whatever clients and members speak."""

import asyncio
import base64
import collections
import contextlib
import hashlib
import os
import pathlib
import socket
import socketserver
import struct
import subprocess
import threading

import pytest
import websockets

from server import RESOLVERS, STATUS, by_either, cluster, wait_until

SESSION = "JSESSIONID=12345"


# -- what members speak -------------------------------------------------------------------------------------------

class FastCgi(socketserver.StreamRequestHandler):
    """A FastCGI responder that says who it is (FastCGI 1.0, sections 3 and 6.2)."""

    headers = ""  # further ones, each with its line end

    def handle(self):
        parameters = b""
        while True:
            _, kind, request, length, padding = struct.unpack(">BBHHBx", self.rfile.read(8))
            content = self.rfile.read(length + padding)[:length]
            if kind == 4:
                parameters += content
            if kind == 5 and not content:  # the end of the request's body
                break
        self.server.requests.append(parameters)

        def record(what, data):
            self.wfile.write(struct.pack(">BBHHBx", 1, what, request, len(data), 0) + data)

        record(6, f"Content-Type: text/plain\r\n{self.headers}\r\n{self.server.name}".encode())
        record(6, b"")
        record(3, bytes(8))


class Ajp(socketserver.StreamRequestHandler):
    """An AJP 1.3 responder that says who it is, to requests without a body."""

    def handle(self):
        while header := self.rfile.read(4):
            self.server.requests.append(self.rfile.read(struct.unpack(">xxH", header)[0]))
            name = self.server.name.encode()
            self.send(b"\x04" + struct.pack(">H", 200) + self.text(b"OK") + struct.pack(">H", 1)
                      + self.text(b"Content-Type") + self.text(b"text/plain"))
            self.send(b"\x03" + self.text(name))
            self.send(b"\x05\x01")

    def send(self, data):
        self.wfile.write(b"AB" + struct.pack(">H", len(data)) + data)

    @staticmethod
    def text(data):
        return struct.pack(">H", len(data)) + data + b"\0"


class Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def two_responders(handler, cleanup):
    for number in (1, 2):
        listener = Listener(("127.0.0.1", 0), handler)
        listener.name, listener.requests = f"backend{number}", []
        threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        cleanup.callback(listener.server_close)
        cleanup.callback(listener.shutdown)
        yield listener.server_address[1]


def http_members(backends, **_):
    return [backend.url for backend in backends(2)], "", []


def https_members(backends, certificate, **_):
    return ([backend.url for backend in backends(2, tls=certificate)],
            f"SSLProxyEngine On\nSSLProxyCACertificateFile {certificate[0]}\nSSLProxyVerify require", ["ssl"])


def h2c_members(httpd, backends, **_):
    # httpd itself speaks HTTP/2 for them.
    gateways = [httpd(f"Protocols h2c http/1.1\nProxyPass / {backend.url}/", mpm="event", modules=["http2"])
                for backend in backends(2)]
    return [gateway.url.replace("http:", "h2c:") for gateway in gateways], "", ["proxy_http2"]


def h2_members(tls_server, backends, certificate, **_):
    gateways = [tls_server(f"Protocols h2 http/1.1\nProxyPass / {backend.url}/", mpm="event", modules=["http2"])
                for backend in backends(2)]
    return ([gateway.url.replace("https:", "h2:") for gateway in gateways],
            f"SSLProxyEngine On\nSSLProxyCACertificateFile {certificate[0]}\nSSLProxyVerify require",
            ["ssl", "proxy_http2"])


def unix_members(backends, open_folder, **_):
    return [backend.url for backend in backends(2, unix=open_folder)], "", []


def fcgi_members(cleanup, **_):
    return [f"fcgi://127.0.0.1:{port}" for port in two_responders(FastCgi, cleanup)], "", ["proxy_fcgi"]


def ajp_members(cleanup, **_):
    return [f"ajp://127.0.0.1:{port}" for port in two_responders(Ajp, cleanup)], "", ["proxy_ajp"]


KINDS = {"http": http_members, "https": https_members, "h2c": h2c_members, "h2": h2_members,
         "unix sockets": unix_members, "fcgi": fcgi_members, "ajp": ajp_members}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def site_of_a_kind(request, httpd, tls_server, backends, certificate, open_folder, cleanup):
    """site_of_a_kind(cluster's options): httpd before two members that speak one of all protocols."""
    urls, configuration, modules = request.param(httpd=httpd, tls_server=tls_server, backends=backends,
                                                 certificate=certificate, open_folder=open_folder, cleanup=cleanup)
    members = [f'"{url}" route=node{number}' for number, url in enumerate(urls, 1)]
    return lambda **options: httpd(configuration + cluster(*members, **options), modules=modules)


@by_either
def test_sessions_stick_whatever_members_speak(site_of_a_kind, resolver):
    server = site_of_a_kind(**resolver)
    assert server.bodies(4) == ["backend1", "backend2"] * 2
    for number in (2, 1):
        answer = server.curl(cookie=f"{SESSION}.node{number}")
        assert (answer.status, answer.body, answer.affinity) == (200, f"backend{number}", "route")
    assert len(set(server.bodies(6, cookie=SESSION))) == 1
    assert server.curl(cookie=SESSION).affinity == "hash"
    assert server.curl("/app;JSESSIONID=1.node2?a=b").body == "backend2"


# -- WebSockets ---------------------------------------------------------------------------------------------------

@pytest.fixture
def websocket_backends():
    """websocket_backends(n): ports where WebSocket servers answer each message with their name and the message."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = []

    def start(count):
        for number in range(1, count + 1):
            async def answer(connection, *_, name=f"backend{number}"):
                async for message in connection:
                    await connection.send(f"{name} {message}")

            async def serve(handler=answer):
                return await websockets.serve(handler, "127.0.0.1", 0)
            servers.append(asyncio.run_coroutine_threadsafe(serve(), loop).result())
        return [server.sockets[0].getsockname()[1] for server in servers[-count:]]

    async def close():
        for server in servers:
            server.close()
            await server.wait_closed()

    yield start
    asyncio.run_coroutine_threadsafe(close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class WebSocket:
    """A WebSocket client (RFC 6455) of few words: text messages of at most 125 bytes."""

    def __init__(self, server, path="/", cookie=None):
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket = socket.create_connection(("127.0.0.1", server.port), 60)
        self.file = self.socket.makefile("rb")
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: Upgrade\r\n"
                             f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                             + (f"Cookie: {cookie}\r\n" if cookie else "") + "\r\n").encode())
        head = b"".join(iter(self.file.readline, b"\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 "), head
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        assert accept in head

    def send(self, kind, data):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        self.socket.sendall(bytes([0x80 | kind, 0x80 | len(data)]) + mask + masked)

    def receive(self, kind):
        received, length = self.file.read(2)
        assert received == 0x80 | kind and length < 126
        return self.file.read(length)

    def ask(self, message):
        self.send(1, message.encode())
        return self.receive(1).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.socket, self.file:
            self.send(8, struct.pack(">H", 1000))  # good-bye, and wait for the answer and the end
            self.receive(8)
            assert self.file.read() == b""


@by_either
@pytest.mark.parametrize("scheme, option, modules", [
    ("ws", "", ["proxy_wstunnel"]),
    ("http", "upgrade=websocket", []),
], ids=["mod_proxy_wstunnel", "mod_proxy_http"])
def test_a_websocket_upgrade_sticks(httpd, websocket_backends, scheme, option, modules, resolver):
    members = [f"{scheme}://127.0.0.1:{port} route=node{number} {option}"
               for number, port in enumerate(websocket_backends(2), 1)]
    server = httpd(cluster(*members, **resolver), modules=modules)

    def reached(cookie=None, path="/"):
        with WebSocket(server, path, cookie) as connection:
            return [connection.ask(message) for message in ("one", "two")]

    def from_backend(number):
        return [f"backend{number} one", f"backend{number} two"]

    assert [reached() for _ in range(4)] == [from_backend(1), from_backend(2)] * 2
    assert [reached(f"{SESSION}.node2") for _ in range(3)] == [from_backend(2)] * 3
    assert reached(path="/chat;JSESSIONID=1.node1") == from_backend(1)
    by_hash = [reached(SESSION) for _ in range(4)]
    assert by_hash == [by_hash[0]] * 4
    assert [affinity for _, affinity, _ in server.choices()] == ["new"] * 4 + ["route"] * 4 + ["hash"] * 4


def test_a_websocket_and_the_pages_around_it_reach_the_same_member(httpd, backends, websocket_backends):
    pages, sockets = backends(2), websocket_backends(2)
    resolver = RESOLVERS["LBStickySession"]
    server = httpd(cluster(*(f"ws://127.0.0.1:{port} route=node{n}" for n, port in enumerate(sockets, 1)),
                           name="sockets", path="/chat", **resolver)
                   + cluster(*(f"{page.url} route=node{n}" for n, page in enumerate(pages, 1)), **resolver),
                   modules=["proxy_wstunnel"])
    for number in range(6):
        cookie = f"JSESSIONID=session{number}"
        page = server.curl(cookie=cookie).body
        with WebSocket(server, "/chat", cookie) as connection:
            assert connection.ask("hello") == f"{page} hello"


@by_either
@pytest.mark.parametrize("scheme, option, modules", [
    ("ws", "", ["proxy_wstunnel"]),
    ("http", "upgrade=websocket", []),
], ids=["mod_proxy_wstunnel", "mod_proxy_http"])
@pytest.mark.parametrize("says_good_bye", [True, False], ids=["closed", "cut off"])
def test_a_websocket_is_in_flight_until_it_has_ended(httpd, websocket_backends, scheme, option, modules, resolver,
                                                     says_good_bye):
    members = [f"{scheme}://127.0.0.1:{port} route=node{number} {option}"
               for number, port in enumerate(websocket_backends(2), 1)]
    server = httpd(STATUS + cluster(*members, **resolver), modules=modules, processes=3)

    def in_flight():
        return [worker["in_flight"] for worker in server.report()["workers"]]

    with contextlib.ExitStack() as connections:
        one, other = (WebSocket(server, cookie=f"{SESSION}.node{n}") for n in (1, 2))
        if says_good_bye:
            connections.enter_context(one)
        assert (one.ask("hello"), other.ask("hello")) == ("backend1 hello", "backend2 hello")
        assert in_flight() == [1, 1]
    if not says_good_bye:
        one.file.close()
        one.socket.close()
    wait_until(lambda: in_flight() == [0, 1], "the one has ended, and the other has not")
    with other:
        assert other.ask("still here") == "backend2 still here"
    wait_until(lambda: in_flight() == [0, 0], "both have ended")


# -- what clients speak -------------------------------------------------------------------------------------------

def two_nodes(backends, resolver=RESOLVERS["LBStickySession"]):
    return cluster(*(f"{backend.url} route=node{n}" for n, backend in enumerate(backends(2), 1)), **resolver)


@by_either
def test_a_session_sticks_behind_an_https_front_end(tls_server, certificate, backends, resolver):
    server = tls_server(two_nodes(backends, resolver))
    trust = "--cacert", str(certificate[0])
    assert server.bodies(4, *trust) == ["backend1", "backend2"] * 2
    assert server.bodies(4, *trust, cookie=f"{SESSION}.node2") == ["backend2"] * 4
    assert len(set(server.bodies(6, *trust, cookie=SESSION))) == 1


by_http2 = pytest.mark.not_with("prefork", "mod_http2 needs threads")


@pytest.fixture(params=["h2", "h2c", "h2c by upgrade"])
def h2(request, tls_server, httpd, certificate, backends):
    """A Server with two members that is asked by HTTP/2, and curl's arguments for it."""
    configuration = "Protocols h2 h2c http/1.1\n" + two_nodes(backends)
    if request.param == "h2":
        return tls_server(configuration, modules=["http2"]), ("--http2", "--cacert", str(certificate[0]))
    arguments = "--http2" if request.param == "h2c by upgrade" else "--http2-prior-knowledge",
    return httpd(configuration, modules=["http2"]), arguments


@by_http2
def test_a_session_of_an_http2_client_sticks(h2):
    server, arguments = h2

    def reached(cookie=None):
        answer = server.curl("/", *arguments, "--write-out", " by %{http_version}", cookie=cookie)
        return answer.body, answer.affinity

    assert [reached() for _ in range(4)] == [("backend1 by 2", "new"), ("backend2 by 2", "new")] * 2
    assert [reached(f"{SESSION}.node2") for _ in range(3)] == [("backend2 by 2", "route")] * 3
    assert [reached(f"{SESSION}.node1") for _ in range(3)] == [("backend1 by 2", "route")] * 3
    by_hash = {reached(SESSION) for _ in range(6)}
    assert len(by_hash) == 1 and {affinity for _, affinity in by_hash} == {"hash"}


@by_http2
@pytest.mark.parametrize("h2", ["h2"], indirect=True)
def test_parallel_streams_of_one_http2_connection_go_each_where_it_belongs(h2, tmp_path):
    server, arguments = h2
    sessions = [f"{SESSION}.node1", f"{SESSION}.node2", "JSESSIONID=a", "JSESSIONID=b"]
    alone = {cookie: server.curl("/", *arguments, cookie=cookie).body for cookie in sessions}

    cookies = [None, *sessions] * 40
    command = ["curl", "--silent", "--show-error", "--no-progress-meter", "--parallel", "--parallel-max", "100"]
    for number, cookie in enumerate(cookies):
        command += ["--next"] if number else []
        command += [*arguments, "--output", str(tmp_path / str(number)), "--write-out", "%{num_connects}\n"]
        command += ["--cookie", cookie] if cookie else []
        command += [f"{server.url}/?n={number}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert sum(map(int, result.stdout.split())) == 1, "there was to be one connection"

    reached = collections.defaultdict(collections.Counter)
    for number, cookie in enumerate(cookies):
        reached[cookie][(tmp_path / str(number)).read_text()] += 1
    assert reached.pop(None) == {"backend1": 20, "backend2": 20}
    assert reached == {cookie: {body: 40} for cookie, body in alone.items()}


@by_http2
def test_many_streams_of_several_http2_connections_are_shared_out_exactly(httpd, backends):
    members = backends(2)
    lines = f"{members[0].url} route=node1", f"{members[1].url} route=node2 loadfactor=3"
    server = httpd("Protocols h2c\n" + cluster(*lines, **RESOLVERS["LBStickySession"]), processes=3, modules=["http2"])
    for cookie, shares in ((None, (100, 300)), (f"{SESSION}.node1", (400, 0)), (f"{SESSION}.node2", (0, 400))):
        for member in members:
            member.requests.clear()
        result = subprocess.run(["h2load", "--requests=400", "--clients=5", "--max-concurrent-streams=20",
                                 *([f"--header=cookie: {cookie}"] if cookie else []), f"{server.url}/"],
                                capture_output=True, text=True)
        assert "400 2xx" in result.stdout, result.stdout + result.stderr
        assert tuple(len(member.requests) for member in members) == shares


def test_requests_on_one_connection_go_each_where_it_belongs(httpd, backends):
    server = httpd(two_nodes(backends))
    command = ["curl", "--silent", "--show-error", "--write-out", " %{num_connects}\n"]
    cookies = [None, f"{SESSION}.node2", None, f"{SESSION}.node1", None, f"{SESSION}.node1", None]
    for number, cookie in enumerate(cookies):
        command += ["--next", "--silent", "--write-out", " %{num_connects}\n"] if number else []
        command += ["--cookie", cookie] if cookie else []
        command += [f"{server.url}/"]
    lines = [line.split() for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines()]
    assert [body for body, _ in lines] == [f"backend{number}" for number in (1, 2, 2, 1, 1, 1, 2)]
    assert [connects for _, connects in lines] == ["1"] + ["0"] * 6


# -- what requests look like --------------------------------------------------------------------------------------

MEGABYTE = os.urandom(1 << 20)
BODY = "--data-binary", "@body", "--header", "Content-Type: application/octet-stream"


@by_either
@pytest.mark.parametrize("arguments, method, body", [
    (("--head",), "HEAD", b""),
    (("--request", "OPTIONS"), "OPTIONS", b""),
    (("--data", "a=b"), "POST", b"a=b"),
    ((*BODY, "--header", "Expect:"), "POST", MEGABYTE),
    ((*BODY, "--header", "Expect:", "--header", "Transfer-Encoding: chunked"), "POST", MEGABYTE),
    ((*BODY, "--header", "Expect: 100-continue"), "POST", MEGABYTE),
    ((*BODY, "--header", "Expect: 100-continue", "--header", "Transfer-Encoding: chunked"), "POST", MEGABYTE),
    (("--request", "PUT", *BODY), "PUT", MEGABYTE),
], ids=["HEAD", "OPTIONS", "POST of a form", "POST of 1 MB", "chunked POST of 1 MB", "POST of 1 MB after 100 Continue",
        "chunked POST of 1 MB after 100 Continue", "PUT of 1 MB"])
def test_a_session_sticks_whatever_the_method_and_the_body(httpd, backends, tmp_path, monkeypatch, resolver, arguments,
                                                           method, body):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("body").write_bytes(MEGABYTE)
    members = backends(2)
    server = httpd(cluster(*(f"{member.url} route=node{n}" for n, member in enumerate(members, 1)), **resolver))
    for cookie in (f"{SESSION}.node2", f"{SESSION}.node2", None, None, None):
        answer = server.curl("/", *arguments, cookie=cookie)
        assert answer.status == 200 and (method == "HEAD") == (answer.body == "")
    assert [member.bodies for member in members] == [[body] * 2, [body] * 3]
    assert {request[0] for member in members for request in member.requests} == {method}
