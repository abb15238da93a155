"""LBStickySecretFile: cookies that nobody can make who does not know the secret."""

import base64
import hashlib
import hmac
import os
import re

import pytest

from server import STATUS, Client, cluster, with_routes
from test_configuration import refusal, section, written
from test_graceful_restart import restart

NAME = "lbsticky_mycluster"
OLD = "the-first-of-all-secrets-used-here"
NEW = "another one, with blanks and \xe9 in it: 0123456789"


def token(secret, route):
    """RFC 2104 with SHA-256, its first 128 bits in base64url (RFC 4648, section 5) without padding."""
    code = hmac.new(secret.encode(), route.encode(), hashlib.sha256).digest()[:16]
    return base64.urlsafe_b64encode(code).decode().rstrip("=")


def cookie(secret, route):
    return f"{NAME}={token(secret, route)}"


def given(secret, route):
    return [f"{cookie(secret, route)}; Path=/; HttpOnly; SameSite=Lax"]


@pytest.fixture
def secrets(tmp_path):
    """secrets(line, …): writes a file with these secrets; the directive that names it."""
    path = tmp_path / "secrets"

    def write(*lines, ending="\n", mode=0o600):
        path.write_bytes("".join(f"{line}{ending}" for line in lines).encode())
        path.chmod(mode)
        return f"LBStickySecretFile {path}"

    write.path = path
    return write


@pytest.mark.parametrize("secret", [OLD, NEW, "s" * 32, "s" * 64, "s" * 65, "s" * 1000], ids=lambda s: f"{len(s)} long")
def test_the_value_is_the_code_of_the_route_under_the_secret(httpd, backends, secrets, secret):
    server = httpd(cluster(*with_routes(backends(2)), more=secrets(secret)))
    for _ in range(4):
        answer = server.curl()
        assert len(token(secret, answer.route)) == 22
        assert answer.set_cookies == given(secret, answer.route)


def test_a_token_is_in_the_alphabet_that_cookies_and_urls_allow(httpd, backends, secrets):
    (backend,) = backends(1)
    assert token(OLD, "node9") == "Rrc9OIxOpICPTGQm_mj-zQ"  # plain base64 has / and + there
    server = httpd(cluster(f"{backend.url} route=node9", more=secrets(OLD)))
    assert server.curl().set_cookies == given(OLD, "node9")
    assert server.curl(cookie=cookie(OLD, "node9")).affinity == "cookie"


def test_a_client_stays_with_the_member_that_its_token_names(httpd, backends, secrets):
    server = httpd(cluster(*with_routes(backends(3)), more=secrets(OLD)))
    for number in (2, 3, 1, 2):
        answer = server.curl(cookie=cookie(OLD, f"node{number}"))
        assert (answer.body, answer.affinity, answer.set_cookies) == (f"backend{number}", "cookie", [])


def test_routes_with_all_that_may_stand_in_them_have_a_token_each(httpd, backends, secrets):
    routes = ["a+b/c=", "node.1", "n" * 60]
    members = [f"{backend.url} route={route}" for backend, route in zip(backends(3), routes)]
    server = httpd(cluster(*members, more=secrets(OLD)), expected=["the separator between session id and route"])
    for number, route in enumerate(routes, 1):
        assert server.curl(cookie=cookie(OLD, route)).body == f"backend{number}"


TOKEN = token(OLD, "node1")
FORGED = {
    "the route": "node1",
    "the route behind a dot": ".node1",
    "a token behind a dot": f".{TOKEN}",
    "a token without its end": TOKEN[:-1],
    "a token without its beginning": TOKEN[1:],
    "a token with something behind it": f"{TOKEN}A",
    "a token with padding": f"{TOKEN}==",
    "a token with other letters": TOKEN.swapcase(),
    "a token with one other character": ("B" if TOKEN[0] == "A" else "A") + TOKEN[1:],
    "a token of a route that no member has": token(OLD, "node4"),
    "a token under another secret": token(NEW, "node1"),
    "the code in hexadecimal": hmac.new(OLD.encode(), b"node1", hashlib.sha256).hexdigest(),
    "all zeros": "A" * 22,
    "nothing": "",
}


@pytest.mark.parametrize("value", FORGED.values(), ids=FORGED)
def test_a_value_that_the_secret_did_not_make_is_no_cookie(httpd, backends, secrets, value):
    server = httpd(cluster(*with_routes(backends(3)), more=secrets(OLD)))
    for _ in range(2):
        answer = server.curl(cookie=f"{NAME}={value}")
        assert (answer.affinity, answer.set_cookies) == ("new", given(OLD, answer.route))
    server.graceful()
    assert server.own_cookies() == (2, 2)


def test_a_member_without_a_route_has_the_token_of_the_id_made_from_its_url(httpd, backends, secrets):
    members = [backend.url for backend in backends(2)]
    open_value = httpd(cluster(*members)).curl()
    id_of_url = re.match(rf"{NAME}=\.([0-9a-f]{{16}});", open_value.set_cookies[0]).group(1)
    server = httpd(cluster(*members, more=secrets(OLD)))
    answer = server.curl(cookie=cookie(OLD, id_of_url))
    assert (answer.body, answer.affinity) == (open_value.body, "cookie")
    assert [answer.set_cookies[0] for answer in (server.curl(), server.curl())].count(given(OLD, id_of_url)[0]) == 1


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CR LF"])
def test_lines_may_end_as_they_do_on_any_system(httpd, backends, secrets, ending):
    server = httpd(cluster(*with_routes(backends(1)), more=secrets(OLD, NEW, ending=ending)))
    assert server.curl().set_cookies == given(OLD, "node1")
    assert server.curl(cookie=cookie(NEW, "node1")).affinity == "cookie"


def test_the_last_line_needs_no_end(httpd, backends, secrets):
    server = httpd(cluster(*with_routes(backends(1)), more=secrets(OLD, ending="")))
    assert server.curl().set_cookies == given(OLD, "node1")


def test_a_path_is_relative_to_the_server_root(httpd, backends, secrets):
    secrets(OLD)
    server = httpd(cluster(*with_routes(backends(1)), more="LBStickySecretFile ../secrets"))
    assert server.curl().set_cookies == given(OLD, "node1")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660], ids=oct)
def test_owner_and_group_may_read_the_file(httpd, backends, secrets, mode):
    server = httpd(cluster(*with_routes(backends(1)), more=secrets(OLD, mode=mode)))
    assert server.curl().set_cookies == given(OLD, "node1")


# -- rotation -----------------------------------------------------------------------------------------------------


def test_a_cookie_of_an_older_secret_is_given_again_under_the_first(httpd, backends, secrets):
    more = f"{secrets(NEW, OLD)}\nLBStickySession JSESSIONID"  # which is where it is needed, but this is: to all
    server = httpd(STATUS + cluster(*with_routes(backends(2)), more=more))
    for number, session in enumerate(("", "; JSESSIONID=12345", "; JSESSIONID=12345.node2"), 1):
        answer = server.curl(cookie=cookie(OLD, "node2") + session)
        assert (answer.body, answer.set_cookies) == ("backend2", given(NEW, "node2"))
        assert server.report()["cookies_outdated"] == number
    answer = server.curl(cookie=cookie(NEW, "node2"))
    assert (answer.body, answer.affinity, answer.set_cookies) == ("backend2", "cookie", [])
    assert server.report()["cookies_outdated"] == 3


def test_no_client_moves_while_a_secret_is_replaced_on_one_front_end_after_the_other(httpd, backends, tmp_path):
    """The steps of the README: behind the old one everywhere, then to the front everywhere, then the old one away."""
    members = with_routes(backends(3))
    files = [tmp_path / "secrets1", tmp_path / "secrets2"]

    def write(number, *lines):
        files[number].touch(0o600)
        files[number].write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    configurations = []
    for number in range(2):
        write(number, OLD)
        configurations.append(STATUS + cluster(*members, more=f"LBStickySecretFile {files[number]}"))
    front_ends = [httpd(configuration) for configuration in configurations]
    clients = []

    def nobody_moves():
        for n in range(4):  # newcomers, who begin at either front end
            client = Client(tmp_path, f"jar{len(clients)}")
            clients.append((client, client.curl(front_ends[n % 2]).body))
        for _ in range(2):
            for client, home in clients:
                for server in front_ends:
                    answer = client.curl(server)
                    assert (answer.body, answer.affinity) == (home, "cookie")

    nobody_moves()
    for step in ([OLD, NEW], [NEW, OLD], [NEW]):
        for number, server in enumerate(front_ends):
            write(number, *step)
            restart(server, configurations[number])
            nobody_moves()
        if step == [NEW, OLD]:  # by now all have been given a new one, and the number that shows it stands still
            outdated = [server.report()["cookies_outdated"] for server in front_ends]
            assert sum(outdated) > 0
            nobody_moves()
            assert [server.report()["cookies_outdated"] for server in front_ends] == outdated


def test_after_a_restart_without_the_file_a_token_is_no_cookie(httpd, backends, secrets):
    members = with_routes(backends(2))
    server = httpd(cluster(*members, more=secrets(OLD)))
    restart(server, cluster(*members))
    assert server.curl(cookie=cookie(OLD, "node1")).affinity == "new"
    assert server.curl(cookie=f"{NAME}=.node2").affinity == "cookie"


def test_front_ends_with_the_same_secret_understand_each_others_cookies(httpd, backends, secrets, tmp_path):
    members = with_routes(backends(3))
    directive = secrets(OLD)
    one, two = httpd(cluster(*members, more=directive)), httpd(cluster(*reversed(members), more=directive))
    for n in range(3):
        client = Client(tmp_path, f"jar{n}")
        first = client.curl(one)
        answer = client.curl(two)
        assert (answer.body, answer.affinity, answer.set_cookies) == (first.body, "cookie", [])


def test_each_balancer_has_secrets_of_its_own(httpd, backends, secrets):
    members = with_routes(backends(1))
    server = httpd(cluster(*members, name="one", path="/one", more=f"{secrets(OLD)}\nLBStickyCookie mine")
                   + cluster(*members, name="two", path="/two", more="LBStickyCookie mine"))
    assert [server.curl(path).set_cookies[0].split(";")[0] for path in ("/one", "/two")] == [
        f"mine={token(OLD, 'node1')}", "mine=.node1"]


# -- what is refused ----------------------------------------------------------------------------------------------

AT_LEAST = "characters: a secret has at least 32"

# The lines of the file, and what is said of them.
BAD_SECRETS = {
    "none": ([], "is empty: it holds one secret a line"),
    "an empty line": ([""], f"line 1 has 0 {AT_LEAST}"),
    "one that is too short": (["x" * 31], f"line 1 has 31 {AT_LEAST}"),
    "a second that is too short": ([OLD, "short"], f"line 2 has 5 {AT_LEAST}"),
    "an empty line between": ([OLD, "", NEW], f"line 2 has 0 {AT_LEAST}"),
    "an empty line at the end": ([OLD, NEW, ""], f"line 3 has 0 {AT_LEAST}"),
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CR LF"])
@pytest.mark.parametrize("lines, said", BAD_SECRETS.values(), ids=BAD_SECRETS)
def test_httpd_refuses_a_file_with_bad_secrets(written, secrets, lines, said, ending):
    directive = secrets(*lines, ending=ending)
    assert refusal(written(section(directive))) == f"LBStickySecretFile: '{secrets.path}' {said}"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o606, 0o777], ids=oct)
def test_httpd_refuses_a_file_that_everyone_can_read_or_write(written, secrets, mode):
    directive = secrets(OLD, mode=mode)
    assert refusal(written(section(directive))) == (
        f"LBStickySecretFile: '{secrets.path}' can be read or written by everyone: "
        "only its owner and group may (chmod 640)")


def test_httpd_refuses_a_file_that_is_not_there(written, tmp_path):
    assert refusal(written(section(f"LBStickySecretFile {tmp_path}/gone"))) == (
        f"LBStickySecretFile: '{tmp_path}/gone' cannot be read: No such file or directory")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_httpd_refuses_what_is_not_a_file(written, tmp_path, make):
    path = tmp_path / "it"
    make(path, 0o600)
    assert refusal(written(section(f"LBStickySecretFile {path}"))) == f"LBStickySecretFile: '{path}' is not a file"


@pytest.mark.parametrize("arguments", ["", "one two"], ids=["no path", "two paths"])
def test_httpd_refuses_anything_but_one_path(written, arguments):
    assert refusal(written(section(f"LBStickySecretFile {arguments}"))) == (
        "LBStickySecretFile takes one argument, a file with one secret a line, each of at least 32 characters, "
        "which signs the balancer's cookie")


def test_no_secret_is_shown_in_what_httpd_says_of_the_file(written, secrets):
    said = refusal(written(section(secrets(OLD, "a-short-secret"))))
    assert OLD not in said and "a-short-secret" not in said
