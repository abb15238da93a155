"""The example for MCP servers, taken as it stands: whatever a client does in its session reaches the server that made
it, by the header that the client sends, without a cookie."""

import json
import re

import pytest

from mcp_server import SESSION, McpServer
from server import BACKEND_IS_DOWN
from test_drift import EXAMPLES


@pytest.fixture
def members():
    """Two MCP servers."""
    running = [McpServer(f"server{number}") for number in (1, 2)]
    yield running
    for member in running:
        member.stop()


@pytest.fixture
def server(httpd, members):
    """httpd with the example."""
    [example] = [path.read_text() for path in EXAMPLES if path.name == "mcp.conf"]
    for number, member in enumerate(members, 101):
        assert f"http://192.168.1.{number}:8000" in example
        example = example.replace(f"http://192.168.1.{number}:8000", member.url)
    return httpd(example.replace("<VirtualHost *:80>", "<VirtualHost *>").replace("mcp_error.log", "error.log"),
                 expected=BACKEND_IS_DOWN)


class McpClient:
    """A client that keeps no cookies."""

    def __init__(self, server):
        self.server = server
        self.session = None
        answer = self.post("initialize", protocolVersion="2025-11-25", capabilities={},
                           clientInfo={"name": "client", "version": "1"})
        assert answer.status == 200 and answer.set_cookies == []
        self.session = answer.header(SESSION)
        self.member = json.loads(answer.body)["result"]["serverInfo"]["name"]
        assert self.post("notifications/initialized", id=None).status == 202

    def arguments(self):
        return ("--header", f"{SESSION}: {self.session}") if self.session else ()

    def post(self, method, id=1, **params):
        message = {"jsonrpc": "2.0", "method": method, "params": params, **({"id": id} if id else {})}
        return self.server.curl("/mcp", *self.arguments(), "--header", "Content-Type: application/json", "--header",
                                "Accept: application/json, text/event-stream", "--data", json.dumps(message))

    def call(self):
        """The text that a tool answers with; the status, if that is not 200."""
        answer = self.post("tools/call", name="count", arguments={})
        if answer.status != 200:
            return answer.status
        assert answer.header(SESSION) in (None, self.session)
        return json.loads(answer.body)["result"]["content"][0]["text"]

    def delete(self):
        return self.server.curl("/mcp", *self.arguments(), "--request", "DELETE").status

    def stream(self, send):
        """The request for events, which goes on: see next_event()."""
        return send(self.server, "/mcp", *self.arguments(), "--no-buffer", "--header", "Accept: text/event-stream")


def next_event(stream):
    """Waits for the next event of a stream that is still open."""
    for line in stream.curl.stdout:
        if line.startswith(b"data: "):
            assert stream.curl.poll() is None
            return line.removeprefix(b"data: ").decode().strip()
    raise AssertionError("the stream has ended")


def test_every_call_of_a_client_reaches_the_server_that_made_its_session(server, members):
    clients = [McpClient(server) for _ in range(6)]
    assert {client.member for client in clients} == {"server1", "server2"}
    for number in range(1, 5):
        assert [client.call() for client in clients] == [f"{client.member} {number}" for client in clients]
    for number, member in enumerate(members, 1):
        sessions = {client.session for client in clients if client.member == member.name}
        assert sessions == {f"{id}.mcp{number}" for id in member.sessions}
        # It has never seen an id but those that it has made.
        assert {id for _, id in member.asked_for} == {None, *member.sessions}


def test_events_of_a_session_come_while_its_stream_is_open(server, send):
    for _ in range(2):
        client = McpClient(server)
        stream = client.stream(send)
        for number in (1, 2, 3):
            assert client.call() == f"{client.member} {number}"
            assert next_event(stream) == f"{client.member} {number}"
        assert client.delete() == 204
        assert stream.curl.stdout.read().strip() == b"" and stream.curl.wait(20) == 0


def test_a_session_that_is_deleted_is_unknown_to_the_server_that_had_it(server, members):
    for _ in range(2):
        client = McpClient(server)
        assert client.delete() == 204
        assert (client.call(), client.delete()) == (404, 404)
        [asked] = [member.asked_for[-3:] for member in members if member.name == client.member]
        id = client.session.rpartition(".")[0]
        assert asked == [("DELETE", id), ("POST", id), ("DELETE", id)]


@pytest.mark.parametrize("session", ["0123456789abcdef" * 2, "0123456789abcdef.mcp1", "0123456789abcdef.mcp9", "x"])
def test_an_unknown_session_is_answered_404_by_a_member(server, members, session):
    client = McpClient(server)
    client.session = session
    answers = [client.post("tools/call", name="count", arguments={}) for _ in range(3)]
    assert [answer.status for answer in answers] == [404] * 3
    assert all("Session not found" in answer.body and answer.header(SESSION) is None for answer in answers)
    asked = [id for member in members for method, id in member.asked_for[-3:]]
    assert asked.count(re.sub(r"\.mcp1$", "", session)) == 3


def test_a_client_whose_server_is_gone_is_told_so_and_begins_anew_on_another(server, members):
    client = McpClient(server)
    [home] = [member for member in members if member.name == client.member]
    [other] = [member for member in members if member is not home]
    home.stop()
    assert client.call() == 404  # not a 503: by this clients know that they have to initialize again
    again = McpClient(server)
    assert again.member == other.name
    assert [again.call(), again.call()] == [f"{other.name} 1", f"{other.name} 2"]
