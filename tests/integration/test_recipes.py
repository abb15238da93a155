"""What the README and the examples show beside balancers, taken from there as it stands, does what is said of it."""

import re

import pytest

from server import cluster, with_routes
from test_drift import EXAMPLES, README, indented_blocks
from test_protocols import WebSocket, websocket_backends


def recipe(words):
    """The block of the README that holds the words."""
    [block] = [block for block in indented_blocks(README.read_text()) if words in block]
    return block


@pytest.mark.parametrize("cookie", ["SRV=node2|Zx3AB", "SRV=node2|Zx3AB|Zx3AA", "a=b; SRV=node2|Zx3AB; c=d", "SRV=node2"])
def test_a_cookie_of_haproxys_with_dates_is_understood(httpd, backends, cookie):
    server = httpd(recipe("SRV=") + cluster(*with_routes(backends(3)), more="LBStickyCookie SRV"))
    for _ in range(2):
        answer = server.curl(cookie=cookie)
        assert (answer.body, answer.affinity, answer.set_cookies) == ("backend2", "cookie", [])


def test_requests_stick_by_a_header_that_an_expression_names(httpd, backends):
    [row] = re.findall(r"^\| nginx `hash \$http_x_tenant consistent`.*\| `(.*)` and `(.*)` \|$",
                       README.read_text(), re.MULTILINE)
    server = httpd(cluster(*with_routes(backends(3)), more="\n".join(row)))
    for tenant in ("acme", "acme.eu", "gamma.node1", "delta"):
        answers = [server.curl("/", "--header", f"X-Tenant: {tenant}", cookie=cookie) for cookie in (None, "a=b", "c=d")]
        assert [(answer.body, answer.affinity) for answer in answers] == [(answers[0].body, "hash")] * 3
    assert server.curl(cookie="a=b").affinity == "new"


@pytest.mark.parametrize("verb", ["append", "add"])
def test_requests_stick_by_a_header_that_is_made_a_cookie(httpd, backends, verb):
    server = httpd(f"""
        SetEnvIf X-Tenant "(.+)" TENANT=$1
        RequestHeader {verb} Cookie "tenant=%{{TENANT}}e" env=TENANT
        """ + cluster(*with_routes(backends(3)), more="LBStickySession tenant\nLBStickyCookie off"))
    for tenant in ("acme", "beta", "gamma", "delta"):
        answers = [server.curl("/", "--header", f"X-Tenant: {tenant}", cookie=cookie) for cookie in (None, "a=b", "c=d")]
        assert [(answer.body, answer.affinity) for answer in answers] == [(answers[0].body, "hash")] * 3
    assert server.curl(cookie="a=b").affinity == "new"


def test_a_client_of_socket_io_polls_where_its_websocket_ends(httpd, websocket_backends):
    [example] = [path.read_text() for path in EXAMPLES if path.name == "socket-io.conf"]
    for number, port in enumerate(websocket_backends(2), 101):
        assert f"192.168.1.{number}:3000" in example
        example = example.replace(f"192.168.1.{number}:3000", f"127.0.0.1:{port}")
    server = httpd(example.replace("<VirtualHost *:80>", "<VirtualHost *>").replace("chat_error.log", "error.log"))
    for number in (1, 2, 1, 2):
        poll = server.curl("/socket.io/?EIO=4&transport=polling")  # its status is of no matter: they know WebSockets
        [given] = poll.set_cookies
        with WebSocket(server, "/socket.io/?EIO=4&transport=websocket", given.split(";")[0]) as connection:
            assert connection.ask("hello") == f"backend{number} hello"
    assert [affinity for _, affinity, _ in server.choices()] == ["new", "cookie"] * 4
