"""route=append: an application's session ids are given to clients with the route of the member that made them, and
handed to members without it. The application knows nothing of it, and nothing is stored."""

import re
import socketserver

import pytest

from application import Application
from server import BACKEND_IS_DOWN, STATUS, Client, cluster, wait_until, with_routes
from test_configuration import refusal, section, written
from test_cookie_secret import NEW, OLD, secrets, token
from test_decision_table import NOBODY_CAN_SERVE
from test_own_cookie import UPGRADES, cache, number_of, upgraded
from test_protocols import Ajp, FastCgi, by_http2, two_responders

APPEND = "LBStickySession sid route=append"
OFF = "LBStickyCookie off\n"


class InCookie:
    """Where a session id stands: a cookie."""

    directive = APPEND
    header = "Cookie"

    @staticmethod
    def sent(value):
        """curl's arguments for a client that has the id."""
        return "--header", f"Cookie: sid={value}".encode("latin-1")

    @staticmethod
    def made(value):
        """The header with which a member gives it."""
        return "Set-Cookie", f"sid={value}; Path=/; HttpOnly"

    @staticmethod
    def given(answer):
        """All that the client was given."""
        return [cookie.removeprefix("sid=").removesuffix("; Path=/; HttpOnly") for cookie in answer.set_cookies]

    @staticmethod
    def seen(member):
        """What that member saw in its last request; None: no such header."""
        [header] = member.requests[-1][2].get_all("Cookie") or [None]
        return header and header.removeprefix("sid=")


class InHeader:
    """The same: a header."""

    directive = "LBStickySession header:X-Session route=append"
    header = "X-Session"

    @staticmethod
    def sent(value):
        return "--header", f"X-Session: {value}".encode("latin-1")

    @staticmethod
    def made(value):
        return "X-Session", value

    @staticmethod
    def given(answer):
        return [value for key, value in answer.headers if key == "X-Session"]

    @staticmethod
    def seen(member):
        [header] = member.requests[-1][2].get_all("X-Session") or [None]
        return header


in_either = pytest.mark.parametrize("place", [InCookie, InHeader], ids=["cookie", "header"])


def all_give(members, *headers):
    for member in members:
        member.headers = list(headers)


def member_of(answer, members):
    """The one that has answered."""
    [member] = [member for member in members if member.name == answer.body]
    return member


# -- there and back -----------------------------------------------------------------------------------------------

IDS = {
    "plain": "abc",
    "one character": "1",
    "long": "x" * 1000,
    "dots": "a.b.c",
    "a dot at its end": "abc.",
    "what is nearly a route": "abc.node11",
    "a route in it": "abc.node1.x",
    "the name of a route": "node1",
    "as Express makes them": "s%3Aq1Zx-_.yN0%2Bk%2F",
    "a JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "base64": "YWJj==",
    "bytes beyond ASCII": "caf\xe9",
}


@in_either
@pytest.mark.parametrize("id", IDS.values(), ids=IDS)
def test_a_client_has_the_id_with_the_route_and_the_member_has_it_without(httpd, backends, place, id):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=place.directive))
    all_give(members, place.made(id))
    for number in (1, 2, 3):
        assert place.given(server.curl()) == [f"{id}.node{number}"]
    all_give(members)
    for number in (3, 1, 2, 3):
        answer = server.curl("/", *place.sent(f"{id}.node{number}"))
        assert (answer.body, answer.affinity, place.given(answer)) == (f"backend{number}", "route", [])
        assert place.seen(members[number - 1]) == id


@in_either
def test_the_separator_is_that_of_the_balancer(httpd, backends, place):
    members = backends(2)
    server = httpd(cluster(*with_routes(members), settings="lbmethod=sticky stickysessionsep=!", more=place.directive))
    all_give(members, place.made("abc.node1"))
    assert place.given(server.curl()) == ["abc.node1!node1"]
    answer = server.curl("/", *place.sent("abc.node1!node2"))
    assert (answer.body, place.seen(members[1])) == ("backend2", "abc.node1")


@in_either
def test_a_member_without_a_route_is_named_as_in_the_balancers_cookie(httpd, backends, place):
    members = backends(2)
    urls = [member.url for member in members]
    own = [httpd(cluster(url)).curl().set_cookies[0] for url in urls]
    names = [re.match(r"lbsticky_mycluster=\.([0-9a-f]{16});", cookie).group(1) for cookie in own]
    server = httpd(cluster(*urls, more=place.directive))  # without a warning that ids cannot name them
    all_give(members, place.made("abc"))
    assert [place.given(server.curl()) for _ in urls] == [[f"abc.{name}"] for name in names]
    for number in (1, 0):
        answer = server.curl("/", *place.sent(f"abc.{names[number]}"))
        assert (answer.body, answer.affinity) == (members[number].name, "route")
        assert place.seen(members[number]) == "abc"


@in_either
@pytest.mark.parametrize("status", [201, 302, 304, 401, 404, 500, 503])
def test_it_is_appended_whatever_status_a_member_answers(httpd, backends, place, status):
    [member] = backends(1)
    member.status, member.headers = status, [place.made("abc"), ("Location", "/elsewhere")]
    server = httpd(cluster(*with_routes([member]), more=place.directive))
    answer = server.curl()
    assert (answer.status, place.given(answer)) == (status, ["abc.node1"])


@in_either
def test_an_id_without_a_route_passes_as_it_is(httpd, backends, place):
    """That of a session from before route=append, or one that a client has made up."""
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=OFF + place.directive))
    for value in ("abc", "abc.gone", "abc.node", "abc.NODE1", "abc_node1"):
        answers = [server.curl("/", *place.sent(value)) for _ in range(3)]
        assert [(answer.body, answer.affinity) for answer in answers] == [(answers[0].body, "hash")] * 3
        assert place.seen(member_of(answers[0], members)) == value


def test_lines_have_each_a_word_of_their_own(httpd, backends):
    members = backends(2)
    server = httpd(cluster(*with_routes(members), more=f"{OFF}LBStickySession A header:X-A route=append\n"
                                                       "LBStickySession B header:X-B route=given\nLBStickySession C"))
    all_give(members, *(("Set-Cookie", f"{name}=1") for name in "ABC"), ("X-A", "1"), ("X-B", "1"))
    answer = server.curl()
    assert answer.set_cookies == ["A=1.node1", "B=1", "C=1"]
    assert (answer.header("X-A"), answer.header("X-B")) == ("1.node1", "1")
    answer = server.curl("/", "--header", "X-A: 1.node1", "--header", "X-B: 1.node1",
                         cookie="C=1.node1; B=1.node1; A=1.node2")
    assert answer.body == "backend2"
    headers = members[1].requests[-1][2]
    assert (headers["Cookie"], headers["X-A"], headers["X-B"]) == ("C=1.node1; B=1.node1; A=1", "1", "1.node1")


@in_either
def test_other_modules_are_told_the_route(httpd, backends, place):
    server = httpd(cluster(*with_routes(backends(2)), more=place.directive))
    answer = server.curl("/", *place.sent("abc.node2"))
    assert answer.session_sticky == {"Cookie": "sid", "X-Session": "header:X-Session"}[place.header]
    assert (answer.session_route, answer.route_changed) == ("node2", None)


@in_either
def test_the_access_log_shows_what_the_client_sent(httpd, backends, place):
    [member] = backends(1)
    server = httpd(f'LogFormat "%{{{place.header}}}i" ids\nCustomLog access.log ids\n'
                   + cluster(*with_routes([member]), more=place.directive))
    server.curl("/", *place.sent("abc.node1"))
    server.stop()
    assert place.seen(member) == "abc"
    assert (server.folder / "access.log").read_text().removeprefix("sid=") == "abc.node1\n"


# -- what members give --------------------------------------------------------------------------------------------

# Set-Cookie as the member writes it; ^ stands where the client finds the separator and the route.
FUTURE = "Wed, 09 Jun 2099 10:18:14 GMT"
SET_COOKIES = {
    "no attributes": "sid=abc^",
    "many attributes": "sid=abc^; Path=/app; Domain=example.com; Secure; HttpOnly; SameSite=Strict; Partitioned",
    "no blanks": "sid=abc^;Path=/;HttpOnly",
    "in quotes": 'sid="abc^"; Path=/',
    "in quotes alone": 'sid="abc^"',
    "kept for a time": "sid=abc^; Max-Age=60; Path=/",
    "kept until then": f"sid=abc^; Expires={FUTURE}",
    "kept for a time whatever Expires says": "sid=abc^; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60",
    "kept until nobody knows when": "sid=abc^; Expires=soon",
    "attributes like deletions": "sid=abc^; X-Max-Age=0; Path=/Max-Age=0",
    "an unknown route": "sid=abc.gone^; Path=/",
    "empty": "sid=; Path=/",
    "empty in quotes": 'sid=""; Path=/',
    "no value": "sid",
    "ends at once": "sid=abc; Max-Age=0",
    "ends at once, in small letters": "sid=abc;path=/;max-age=0",
    "ends before": "sid=abc; Path=/; Max-Age=-1",
    "ends at once whatever Expires says": f"sid=abc; Expires={FUTURE}; Max-Age=0",
    "ended in 1970": "sid=abc; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
    "ended in 1970, as PHP writes it": "sid=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/",
    "ended, as RFC 850 has it": "sid=abc; expires=Sunday, 06-Nov-94 08:49:37 GMT",
    "ended in 1970, as RFC 850 has it": "sid=abc; expires=Thursday, 01-Jan-70 00:00:00 GMT",
    "ended before 1970": "sid=abc; Expires=Wed, 31 Dec 1969 23:59:59 GMT",
    "ended long before 1970": "sid=abc; Expires=Mon, 01-Jan-1900 00:00:00 GMT",
    "empty and ended": "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/",
    "the other member's route": "sid=abc.node2; Path=/",
    "its own route": "sid=abc.node1; Path=/",
    "a route in quotes": 'sid="abc.node2"; Path=/',
    "other letters": "SID=abc; Path=/",
    "a longer name": "xsid=abc",
    "another longer name": "sidx=abc",
    "the name in a value": "other=sid=abc; Path=/",
    "the name in an attribute": "other=1; sid=abc",
    "another cookie": "theme=dark; Path=/",
}


@pytest.mark.parametrize("written_so", SET_COOKIES.values(), ids=SET_COOKIES)
def test_a_cookie_is_appended_to_exactly_where_it_is_a_session(httpd, backends, written_so):
    members = backends(2)
    all_give(members, ("Set-Cookie", written_so.replace("^", "")))
    server = httpd(cluster(*with_routes(members), more=OFF + APPEND))
    for number in (1, 2):
        assert server.curl().set_cookies == [written_so.replace("^", f".node{number}")]


def test_each_cookie_of_that_name_is_appended_to_and_the_order_stays(httpd, backends):
    members = backends(2)
    cookies = ["a=1", "sid=abc^; Path=/x", "b=2; Path=/", "sid=; Path=/old; Max-Age=0", "sid=def^; Path=/y", "a=1"]
    all_give(members, *(("Set-Cookie", cookie.replace("^", "")) for cookie in cookies))
    server = httpd(cluster(*with_routes(members), more=APPEND))
    assert server.curl().set_cookies == [cookie.replace("^", ".node1") for cookie in cookies]


# The response's headers of the name, and as the client has them.
RESPONSE_HEADERS = {
    "empty": ([""], [""]),
    "the other member's route": (["abc.node2"], ["abc.node2"]),
    "its own route": (["abc.node1"], ["abc.node1"]),
    "an unknown route": (["abc.gone"], ["abc.gone.node1"]),
    "in quotes": (['"abc"'], ['"abc.node1"']),
    "several": (["abc", "def"], ["abc.node1", "def.node1"]),
}


@pytest.mark.parametrize("made, given", RESPONSE_HEADERS.values(), ids=RESPONSE_HEADERS)
def test_a_header_is_appended_to_exactly_where_it_is_a_session(httpd, backends, made, given):
    members = backends(2)
    others = [("X-Sessions", "abc"), ("Session", "abc"), ("Set-Cookie", "X-Session=abc")]
    all_give(members, *(("X-Session", value) for value in made), *others)
    server = httpd(cluster(*with_routes(members), more=OFF + InHeader.directive))
    answer = server.curl()
    assert InHeader.given(answer) == given
    assert [header for header in others if header in answer.headers] == others


@pytest.mark.parametrize("name", ["x-session", "X-SESSION"])
def test_a_headers_name_is_the_same_in_small_and_capital_letters(httpd, backends, name):
    members = backends(2)
    all_give(members, (name, "abc"))
    server = httpd(cluster(*with_routes(members), more=InHeader.directive))
    assert server.curl().header("X-Session") == "abc.node1"
    assert server.curl("/", "--header", f"{name}: abc.node2").body == "backend2"
    assert InHeader.seen(members[1]) == "abc"


LONGEST = 4096  # bytes of a cookie's name and value together that browsers keep


def too_long(server):
    """How many ids were left alone for their length."""
    [count] = re.findall(r'^lbsticky_ids_too_long_total{balancer="mycluster"} (\d+)$',
                         server.curl("/lbsticky-status").body, re.MULTILINE)
    return int(count)


@pytest.mark.parametrize("spare", [0, 1, -1, -4], ids="{} bytes to spare".format)
def test_a_cookie_that_would_become_too_long_is_left_alone(httpd, backends, spare):
    members = backends(1)
    server = httpd(STATUS + cluster(*with_routes(members), more=OFF + APPEND))
    id = "x" * (LONGEST - len("sid") - len(".node1") - spare)
    all_give(members, InCookie.made(id))
    assert InCookie.given(server.curl()) == [id if spare < 0 else f"{id}.node1"]
    assert too_long(server) == (1 if spare < 0 else 0)
    server.curl("/", *InCookie.sent(f"{id}.node1"))
    assert InCookie.seen(members[0]) == id


def test_a_header_that_would_become_too_long_is_left_alone(httpd, backends):
    members = backends(1)
    server = httpd(STATUS + cluster(*with_routes(members), more=OFF + InHeader.directive))
    for length, suffix in ((4000, ".node1"), (4096, ""), (5000, "")):
        all_give(members, InHeader.made("x" * length))
        assert InHeader.given(server.curl()) == ["x" * length + suffix]
    assert too_long(server) == 2


# -- what members see ---------------------------------------------------------------------------------------------

# The client's Cookie header, and the second member's.
COOKIES = {
    "alone": ("sid=abc.node2", "sid=abc"),
    "among others": ("a=1; sid=abc.node2; b=2.node2", "a=1; sid=abc; b=2.node2"),
    "odd spacing": ('x=1;  y="2"; sid=abc.node2;z=3', 'x=1;  y="2"; sid=abc;z=3'),
    "in quotes": ('a=1; sid="abc.node2"; b=2', 'a=1; sid="abc"; b=2'),
    "several of the name": ("sid=abc.node2; a=1; sid=def.node2", "sid=abc; a=1; sid=def"),
    "several of several members": ("sid=abc.node2; sid=def.node1; sid=ghi.node3", "sid=abc; sid=def; sid=ghi"),
    "one with and one without a route": ("sid=old; sid=abc.node2", "sid=old; sid=abc"),
    "an unknown route first": ("sid=abc.gone; sid=abc.node2", "sid=abc.gone; sid=abc"),
    "similar names": ("xsid=1.node1; sid=abc.node2; sidx=2.node1; SID=3.node1",
                      "xsid=1.node1; sid=abc; sidx=2.node1; SID=3.node1"),
    "bytes beyond ASCII": ("a=\xe9; sid=\xe8.node2; b=\xff", "a=\xe9; sid=\xe8; b=\xff"),
}


@pytest.mark.parametrize("sent, seen", COOKIES.values(), ids=COOKIES)
def test_a_member_sees_no_route_in_any_cookie_of_that_name(httpd, backends, sent, seen):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=APPEND))
    answer = server.curl("/", "--header", f"Cookie: {sent}".encode("latin-1"))
    assert (answer.body, answer.affinity) == ("backend2", "route")
    assert members[1].requests[-1][2].get_all("Cookie") == [seen]


def test_several_lines_of_cookies_are_all_looked_through(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=APPEND))
    answer = server.curl("/", *("--header", "Cookie: a=1"), *("--header", "Cookie: sid=abc.node2"),
                         *("--header", "Cookie: sid=def.node3; b=2"))
    assert answer.body == "backend2"
    seen = ", ".join(members[1].requests[-1][2].get_all("Cookie"))
    assert re.split("[,;] ", seen) == ["a=1", "sid=abc", "sid=def", "b=2"]


@by_http2
def test_cookies_that_http2_splits_are_all_looked_through(httpd, backends):
    members = backends(3)
    server = httpd("Protocols h2c http/1.1\n" + cluster(*with_routes(members), more=APPEND), modules=["http2"])
    all_give(members, InCookie.made("new"))
    answer = server.curl("/", "--http2-prior-knowledge", "--write-out", " by %{http_version}",
                         *("--header", "cookie: a=1"), *("--header", "cookie: sid=abc.node2"),
                         *("--header", "cookie: sid=def.node3"), *("--header", "cookie: b=2"))
    assert (answer.body, InCookie.given(answer)) == ("backend2 by 2", ["new.node2"])
    assert members[1].requests[-1][2].get_all("Cookie") == ["a=1; sid=abc; sid=def; b=2"]


def test_a_fastcgi_application_sees_and_gives_ids_without_a_route(httpd, cleanup):
    seen = []

    class Responder(FastCgi):
        headers = "Set-Cookie: sid=abc; Path=/\r\nX-Session: def\r\n"

        def finish(self):
            seen.extend(self.server.requests)
            super().finish()

    members = [f"fcgi://127.0.0.1:{port} route=node{n}" for n, port in enumerate(two_responders(Responder, cleanup), 1)]
    server = httpd(cluster(*members, more="LBStickySession sid header:X-Session route=append"), modules=["proxy_fcgi"])
    answer = server.curl("/", "--header", "X-Session: ghi.node1", cookie="sid=abc.node2")
    assert (answer.body, answer.set_cookies) == ("backend2", ["sid=abc.node2; Path=/"])
    assert answer.header("X-Session") == "def.node2"
    [parameters] = wait_until(lambda: seen, "the application has ended")
    assert b"sid=abc" in parameters and b"ghi" in parameters
    assert b"abc.node" not in parameters and b"ghi.node" not in parameters


@pytest.mark.parametrize("page", ["", 'ErrorDocument 404 "Sorry"', "ErrorDocument 404 /sorry"])
def test_an_id_of_a_fastcgi_application_has_its_route_also_on_a_page_of_httpds_own(httpd, cleanup, page):
    """Which has the cookies of the application's."""
    class Responder(FastCgi):
        headers = "Status: 404 Not Found\r\nSet-Cookie: sid=abc; Path=/\r\nX-Session: def\r\n"

    members = [f"fcgi://127.0.0.1:{port} route=node{n}" for n, port in enumerate(two_responders(Responder, cleanup), 1)]
    server = httpd(f"ProxyErrorOverride On\n{page}\nProxyPass /sorry !\n"
                   + cluster(*members, more="LBStickySession sid header:X-Session route=append"),
                   modules=["proxy_fcgi"])
    for number in (1, 2):
        answer = server.curl()
        assert (answer.status, answer.set_cookies) == (404, [f"sid=abc.node{number}; Path=/"])
        assert answer.header("X-Session") == f"def.node{number}"


def test_a_servlet_container_sees_ids_without_a_route_over_ajp(httpd, cleanup):
    packets = []

    class Recording(Ajp):
        def finish(self):
            packets.extend(self.server.requests)
            super().finish()

    members = [f"ajp://127.0.0.1:{port} route=node{n}" for n, port in enumerate(two_responders(Recording, cleanup), 1)]
    server = httpd(cluster(*members, more=APPEND), modules=["proxy_ajp"])
    assert server.curl(cookie="sid=abc.node2").body == "backend2"
    server.stop()  # and with it the connection, which records the packet
    [packet] = packets
    assert Ajp.text(b"sid=abc") in packet


# -- in the URL ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/page;s=abc.node2", "/page;s=abc.node2?x=1", "/page?x=1&s=abc.node2"])
def test_an_id_in_the_url_is_read_with_its_route_and_not_rewritten(httpd, backends, path):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more="LBStickySession sid|s route=append"))
    answer = server.curl(path, cookie="sid=def.node3")
    assert (answer.body, answer.affinity) == ("backend2", "route")
    assert members[1].requests[-1][1] == path
    assert InCookie.seen(members[1]) == "def"


# -- with a secret ------------------------------------------------------------------------------------------------


@in_either
def test_with_a_secret_the_token_is_appended(httpd, backends, secrets, place):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{place.directive}\n{secrets(NEW, OLD)}"))
    all_give(members, place.made("abc"))
    for number in (1, 2, 3):
        [value] = place.given(server.curl())
        assert value == f"abc.{token(NEW, f'node{number}')}" and re.fullmatch(r"abc\.[-\w]{22}", value)
    for secret in (NEW, OLD):
        for number in (3, 1, 2):
            answer = server.curl("/", *place.sent(f"abc.{token(secret, f'node{number}')}"))
            assert (answer.body, answer.affinity) == (f"backend{number}", "route")
            assert place.seen(members[number - 1]) == "abc"


def test_requests_with_a_token_of_an_older_secret_are_counted(httpd, backends, secrets):
    """When it can be taken away."""
    members = backends(2)
    server = httpd(STATUS + cluster(*with_routes(members), more=f"{OFF}{APPEND}\n{secrets(NEW, OLD)}"))
    for value in ("abc", f"abc.{token(NEW, 'node1')}", f"abc.{token(OLD, 'node9')}"):
        server.curl(cookie=f"sid={value}")
    assert server.report()["cookies_outdated"] == 0
    for number in (1, 2):
        server.curl(cookie=f"sid=abc.{token(OLD, f'node{number}')}")
        assert server.report()["cookies_outdated"] == number


TOKEN = token(OLD, "node2")
FORGED = {
    "a plain route": "node2",
    "a token with one other character": ("B" if TOKEN[0] == "A" else "A") + TOKEN[1:],
    "a token of another secret": token(NEW, "node2"),
    "a token of no member's route": token(OLD, "node9"),
    "a token without its end": TOKEN[:-1],
    "a token with something behind it": f"{TOKEN}A",
    "a token in other letters": TOKEN.swapcase(),
}


@in_either
@pytest.mark.parametrize("suffix", FORGED.values(), ids=FORGED)
def test_what_the_secret_did_not_make_is_no_route(httpd, backends, secrets, place, suffix):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{OFF}{place.directive}\n{secrets(OLD)}"))
    answers = [server.curl("/", *place.sent(f"{number:032x}.{suffix}")) for number in range(12)]
    assert {answer.affinity for answer in answers} == {"hash"}
    assert len({answer.body for answer in answers}) > 1
    assert place.seen(member_of(answers[-1], members)) == f"{11:032x}.{suffix}"


@in_either
def test_with_a_secret_an_id_that_ends_in_a_token_is_left_alone_and_one_that_ends_in_a_route_is_not(
        httpd, backends, secrets, place):
    members = backends(2)
    server = httpd(cluster(*with_routes(members), more=f"{place.directive}\n{secrets(OLD)}"))
    for made, given in ((f"abc.{TOKEN}", f"abc.{TOKEN}"), ("abc.node2", f"abc.node2.{token(OLD, 'node1')}")):
        all_give(members[:1], place.made(made))
        all_give(members[1:])
        [value] = [value for _ in members for value in place.given(server.curl())]
        assert value == given


def test_with_a_secret_the_route_of_a_line_without_append_is_a_plain_one(httpd, backends, secrets):
    server = httpd(cluster(*with_routes(backends(3)), more=f"{APPEND}\nLBStickySession J\n{secrets(OLD)}"))
    assert server.curl(cookie="J=abc.node2").affinity == "route"
    assert server.curl(cookie=f"J=abc.{TOKEN}").affinity == "hash"


def test_with_a_secret_a_token_in_the_url_is_read(httpd, backends, secrets):
    server = httpd(cluster(*with_routes(backends(3)), more=f"{APPEND}\n{secrets(OLD)}"))
    answer = server.curl(f"/page;sid=abc.{TOKEN}")
    assert (answer.body, answer.affinity) == ("backend2", "route")
    assert server.curl("/page;sid=abc.node2").affinity == "hash"


# -- the balancer's own cookie beside it --------------------------------------------------------------------------

# What LBStickyCookie says, and the names of the cookies that a client is given with an id or once it has one.
OWN_COOKIES = {
    "auto": [],
    "off": [],
    "mine": ["mine"],
}


@in_either
@pytest.mark.parametrize("word, own", OWN_COOKIES.items())
def test_only_a_cookie_that_is_named_is_given_beside_an_id_with_an_appended_route(httpd, backends, place, word, own):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{place.directive}\nLBStickyCookie {word}"))

    def names(*arguments):
        return [cookie.split("=")[0] for cookie in server.curl("/", *arguments).set_cookies]

    all_give(members, place.made("abc"))
    with_id = (["sid"] if place is InCookie else []) + own
    assert names() == with_id
    assert names(*place.sent("old")) == with_id
    assert names(*place.sent("old.node2")) == with_id
    all_give(members)
    assert names(*place.sent("abc.node2")) == own
    assert names() == own  # no session, and none made


def test_auto_gives_a_cookie_where_another_id_counts_whose_route_nobody_appends(httpd, backends):
    members = backends(2)
    server = httpd(cluster(*with_routes(members), more=f"LBStickySession A\n{APPEND}"))
    all_give(members, ("Set-Cookie", "A=1"), ("Set-Cookie", "sid=abc"))
    assert server.curl().set_cookies == ["A=1", "sid=abc.node1",
                                         "lbsticky_mycluster=.node1; Path=/; HttpOnly; SameSite=Lax"]


def test_a_named_cookie_and_an_appended_route_are_both_taken_off(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{APPEND}\nLBStickyCookie mine"))
    answer = server.curl(cookie="a=1; mine=.node1; sid=abc.node2; mine=.node3; b=2")
    assert answer.body == "backend2"
    assert members[1].requests[-1][2].get_all("Cookie") == ["a=1; sid=abc; b=2"]


# -- a member that cannot serve -----------------------------------------------------------------------------------


@in_either
def test_a_session_whose_member_is_down_comes_home(httpd, backends, place):
    members = backends(3)
    server = httpd(cluster(*with_routes(members, "retry=0"), more=place.directive), expected=BACKEND_IS_DOWN)
    id = "0123456789abcdef"

    def asked():
        answer = server.curl("/", *place.sent(f"{id}.node2"))
        assert place.seen(member_of(answer, members)) == id
        return answer.body, answer.affinity, answer.set_cookies

    assert asked() == ("backend2", "route", [])
    members[1].stop()
    elsewhere = [asked() for _ in range(4)]
    assert elsewhere == [(elsewhere[0][0], "failover", [])] * 4
    members[1].start()
    assert asked() == ("backend2", "route", [])


@in_either
def test_an_id_that_is_made_where_a_session_failed_over_stays_there(httpd, backends, place):
    members = backends(3)
    server = httpd(cluster(*with_routes(members, "retry=0"), more=place.directive), expected=BACKEND_IS_DOWN)
    all_give(members, place.made("new"))
    members[1].stop()
    answer = server.curl("/", *place.sent("0123456789abcdef.node2"))
    number = number_of(answer)
    assert number != 2 and place.given(answer) == [f"new.node{number}"]
    members[1].start()
    for _ in range(3):
        answer = server.curl("/", *place.sent(f"new.node{number}"))
        assert (number_of(answer), answer.affinity) == (number, "route")


@in_either
def test_a_session_that_is_served_elsewhere_for_a_request_stays_at_home(httpd, backends, send, place):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{place.directive}\nLBStickyLimit all=1"))
    members[0].gate.clear()
    send(server, "/slow", *place.sent("0123456789abcdef.node1"))
    wait_until(lambda: members[0].requests, "the member has the first request")
    for id, home in (("0123456789abcdef", True), ("new", False)):
        all_give(members, place.made(id))
        answer = server.curl("/", *place.sent("0123456789abcdef.node1"))
        assert answer.affinity == "overload" and place.seen(member_of(answer, members)) == "0123456789abcdef"
        assert place.given(answer) == [f"{id}.node1" if home else f"{id}.node{number_of(answer)}"]


@in_either
def test_a_draining_member_keeps_its_sessions_and_gets_no_others(httpd, backends, place):
    a, b, c = with_routes(backends(3))
    server = httpd(cluster(a, f"{b} status=+N", c, more=place.directive))
    assert server.bodies(3, *place.sent("abc.node2")) == ["backend2"] * 3
    assert set(server.bodies(4)) == {"backend1", "backend3"}


# -- what httpd does itself ---------------------------------------------------------------------------------------

PAGES = {
    "httpd's own page": "",
    "a text": 'ErrorDocument 503 "Sorry"\nErrorDocument 404 "Sorry"',
    "a redirect": "ErrorDocument 503 http://127.0.0.1/sorry\nErrorDocument 404 http://127.0.0.1/sorry",
}


@in_either
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_nothing_is_appended_to_what_httpd_answers_itself(httpd, backends, place, page):
    members = backends(2)
    key, value = place.made("own")
    server = httpd(f'Header always set {key} "{value}"\n{page}\n'
                   + cluster(*with_routes(members), more=place.directive),
                   expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    for member in members:
        member.stop()
    for arguments in ((), place.sent("abc"), place.sent("abc.node1"), place.sent("abc.gone")):
        answer = server.curl("/", *arguments)
        assert (answer.status, place.given(answer)) == (302 if "http:" in page else 503, ["own"])
    assert all(not member.requests for member in members)


@in_either
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_of_httpds_own_instead_of_the_members_gives_no_id(httpd, backends, place, page):
    [member] = backends(1)
    member.status, member.headers = 404, [place.made("abc")]
    server = httpd(f"ProxyErrorOverride On\n{page}\n" + cluster(*with_routes([member]), more=place.directive))
    for arguments in ((), place.sent("abc.node1")):
        answer = server.curl("/", *arguments)
        assert (answer.status, place.given(answer)) == (302 if "http:" in page else 404, [])
        assert place.seen(member) == (arguments and "abc" or None)


@in_either
def test_an_error_page_that_another_balancer_serves_is_asked_for_with_the_same_id(httpd, backends, place):
    a, b, c = backends(3)
    server = httpd("ErrorDocument 503 /sorry\n"
                   + cluster(*with_routes([b, c]), name="sorry", path="/sorry", more=place.directive)
                   + cluster(f"{a.url} route=nodeA", more=place.directive),
                   expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    a.stop()
    all_give([b, c], place.made("new"))
    for number in (1, 2, 2, 1):
        answer = server.curl("/", *place.sent(f"abc.node{number}"))
        assert (number_of(answer), place.given(answer)) == (number + 1, [f"new.node{number}"])
        assert place.seen((b, c)[number - 1]) == "abc"


CACHE = "CacheHeader On\nCacheIgnoreNoLastMod On\n"
quickly_or_not = pytest.mark.parametrize("quick", ["On", "Off"], ids=["quick handler", "normal handler"])


@in_either
@quickly_or_not
def test_what_a_cache_holds_for_an_id_it_finds_again(httpd, backends, cache, place, quick):
    [member] = backends(1)
    member.headers = [("Cache-Control", "max-age=600"), ("Vary", place.header)]
    configuration, modules = cache
    server = httpd(f"{configuration}{CACHE}CacheQuickHandler {quick}\n"
                   + cluster(*with_routes([member]), more=place.directive), modules=modules)
    asked = ["abc.node1", "abc.node1", "def.node1", "abc.node1", "def.node1"]
    hits = [server.curl("/page", *place.sent(value)).header("X-Cache")[:4].strip() for value in asked]
    assert hits == ["MISS", "HIT", "MISS", "HIT", "HIT"]
    assert len(member.requests) == 2 and place.seen(member) == "def"


@in_either
@quickly_or_not
def test_an_id_that_comes_out_of_a_cache_is_of_use(httpd, backends, cache, place, quick):
    members = backends(2)
    configuration, modules = cache
    server = httpd(f"{configuration}{CACHE}CacheQuickHandler {quick}\n"
                   + cluster(*with_routes(members), more=place.directive), modules=modules)
    all_give(members, ("Cache-Control", "max-age=600"), place.made("abc"))
    first = server.curl("/page")
    assert (first.header("X-Cache")[:4], place.given(first)) == ("MISS", ["abc.node1"])
    for arguments in ((), place.sent("abc.node1"), place.sent("def.node2")):
        hit = server.curl("/page", *arguments)
        assert (hit.header("X-Cache")[:3], hit.body) == ("HIT", "backend1")
        [value] = place.given(hit)
        answer = server.curl(f"/other/{len(arguments)}/{len(members[0].requests)}", *place.sent(value))
        assert answer.status == 200 and place.seen(member_of(answer, members)) == "abc"


@UPGRADES
def test_a_101_passes_as_it_is_and_its_request_goes_without_the_route(httpd, cleanup, scheme, option, modules):
    seen = []

    class Upgrading(socketserver.StreamRequestHandler):
        def handle(self):
            seen.append((self.server.name, b"".join(iter(self.rfile.readline, b"\r\n")).decode()))
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                             b"Set-Cookie: sid=new; Path=/\r\nX-Session: new\r\n\r\n")
            self.rfile.read(1)  # the client's good-bye

    members = [f"{scheme}://127.0.0.1:{port} route=node{number} {option}"
               for number, port in enumerate(two_responders(Upgrading, cleanup), 1)]
    server = httpd(cluster(*members, more=APPEND), modules=modules)
    for number in (2, 1, 2):
        assert upgraded(server, f"a=1; sid=abc.node{number}") == ["sid=new; Path=/"]
        name, head = seen.pop()
        assert name == f"backend{number}"
        assert re.findall(r"^Cookie: (.*)\r$", head, re.MULTILINE) == ["a=1; sid=abc"]


# -- other modules that change the same headers ---------------------------------------------------------------------


def test_paths_and_domains_of_cookies_are_mapped_beside_it(httpd, backends):
    members = backends(2)
    server = httpd("ProxyPassReverseCookiePath / /app/\nProxyPassReverseCookieDomain inner.example outer.example\n"
                   + cluster(*with_routes(members), more=APPEND, path="/app"))
    all_give(members, ("Set-Cookie", "sid=abc; Domain=inner.example; Path=/; HttpOnly"), ("Set-Cookie", "a=1; Path=/"))
    assert server.curl("/app").set_cookies == ["sid=abc.node1; Domain=outer.example; Path=/app/; HttpOnly",
                                               "a=1; Path=/app/"]


def test_headers_that_mod_headers_edits_are_appended_to_and_read(httpd, backends):
    """A site that marks its cookies, on the way out and back."""
    members = backends(3)
    server = httpd('Header edit Set-Cookie "^sid=([^;]*)(.*)" "sid=v2-$1$2; SameSite=Strict"\n'
                   'RequestHeader edit Cookie "\\bsid=v2-" "sid="\n' + cluster(*with_routes(members), more=APPEND))
    all_give(members, ("Set-Cookie", "sid=abc; Path=/"), ("Set-Cookie", "a=1"))
    for number in (1, 2, 3):
        assert server.curl().set_cookies == [f"sid=v2-abc.node{number}; Path=/; SameSite=Strict", "a=1"]
    answer = server.curl(cookie="a=1; sid=v2-abc.node2")
    assert (answer.body, answer.affinity) == ("backend2", "route")
    assert members[1].requests[-1][2].get_all("Cookie") == ["a=1; sid=abc"]


def test_an_id_in_a_header_that_mod_headers_edits_is_appended_to_and_read(httpd, backends):
    members = backends(3)
    server = httpd('Header edit X-Session ^ v2-\nRequestHeader edit X-Session ^v2- ""\n'
                   + cluster(*with_routes(members), more=InHeader.directive))
    all_give(members, ("X-Session", "abc"))
    assert InHeader.given(server.curl()) == ["v2-abc.node1"]
    answer = server.curl("/", *InHeader.sent("v2-abc.node2"))
    assert (answer.body, InHeader.seen(members[1])) == ("backend2", "abc")


@pytest.mark.parametrize("verb", ["add", "append", "merge", "set"])
def test_a_cookie_that_mod_headers_puts_into_a_request_goes_without_the_route(httpd, backends, verb):
    members = backends(3)
    server = httpd(f'RequestHeader {verb} Cookie "sid=abc.node2"\n' + cluster(*with_routes(members), more=APPEND))
    answer = server.curl(cookie="a=1")
    assert (answer.body, answer.affinity) == ("backend2", "route")
    seen = re.split("[,;] ", ", ".join(members[1].requests[-1][2].get_all("Cookie")))
    assert seen == (["sid=abc"] if verb == "set" else ["a=1", "sid=abc"])


# -- several front ends -------------------------------------------------------------------------------------------


@pytest.fixture
def applications():
    """applications(kind, count): so many of them, with the routes node1, node2, …"""
    running = []

    def start(kind, count):
        running.extend(Application(kind, f"node{number}") for number in range(1, count + 1))
        return running[-count:]

    yield start
    for application in running:
        application.stop()


KINDS = {"PHP": "PHPSESSID", "Express": "connect.sid"}  # those whose ids know nothing of routes
of_each_kind = pytest.mark.parametrize("kind, name", KINDS.items(), ids=KINDS)


def counted(tmp_path, *servers, clients=3, requests=6):
    """What clients with a jar each read who ask one server after the other; between them somebody else does."""
    counters = []
    for n in range(clients):
        client = Client(tmp_path, f"jar{n}")
        counters.append([])
        for number in range(requests):
            server = servers[number % len(servers)]
            counters[-1].append(client.curl(server).body)
            server.bodies(1)
    return counters


@of_each_kind
def test_two_front_ends_have_the_same_sessions(httpd, applications, tmp_path, kind, name):
    members = with_routes(applications(kind, 3))
    more = f"{OFF}LBStickySession {name} route=append"
    one, two = httpd(cluster(*members, more=more)), httpd(cluster(*reversed(members), more=more))
    assert counted(tmp_path, one, two) == [["1", "2", "3", "4", "5", "6"]] * 3
    # Of each client the first request goes where its turn is; those between are of nobody.
    choices = [affinity for server in (one, two) for _, affinity, _ in server.choices()]
    assert (choices.count("route"), choices.count("new")) == (3 * 5, 3 + 3 * 6)


@of_each_kind
def test_front_ends_behind_a_stock_one_keep_the_sessions(httpd, applications, tmp_path, kind, name):
    members = with_routes(applications(kind, 3))
    more = f"{OFF}LBStickySession {name} route=append"
    ours = [httpd(cluster(*members, more=more)) for _ in range(2)]
    stock = httpd(cluster(*(f"{server.url} route=front{n}" for n, server in enumerate(ours, 1)),
                          settings=f"lbmethod=byrequests stickysession={name}"))
    assert counted(tmp_path, stock) == [["1", "2", "3", "4", "5", "6"]] * 3
    assert all(len(server.choices()) > 6 for server in ours)


def test_a_stock_front_end_finds_the_member_that_was_appended(httpd, backends, tmp_path):
    members = backends(3)
    ours = httpd(cluster(*with_routes(members), more=APPEND))
    stock = httpd(cluster(*with_routes(members), settings="lbmethod=byrequests stickysession=sid"))
    for n in range(3):
        all_give(members, InCookie.made(f"session{n}"))
        client = Client(tmp_path, f"jar{n}")
        first = client.curl(ours)
        assert InCookie.given(first) == [f"session{n}.node{n + 1}"]
        all_give(members)
        for server in (stock, stock, ours, stock, ours):
            assert client.curl(server).body == first.body
        assert InCookie.seen(members[n]) == f"session{n}"


# -- what is refused ----------------------------------------------------------------------------------------------

WORDS = ("given", "append")
REFUSED = {
    "LBStickySession sid route=nonsense": "route=nonsense",
    "LBStickySession sid route=": "route=",
    "LBStickySession sid route=append,given": "route=append,given",
    "LBStickySession header:X-Session route=taken": "route=taken",
}


@pytest.mark.parametrize("line, value", REFUSED.items(), ids=REFUSED)
def test_httpd_refuses_another_word_and_says_which_there_are(written, line, value):
    said = refusal(written(section(line)))
    assert said.startswith(f"LBStickySession: '{value}' is not allowed: ")
    assert [word for word in WORDS if not re.search(rf"\b{word}\b", said.split("not allowed: ")[1])] == []


@pytest.mark.parametrize("line", ["route=append", "route=append sid", "route=given sid"])
def test_httpd_refuses_the_word_where_no_name_stands_before_it(written, line):
    said = refusal(written(section(f"LBStickySession {line}")))
    assert said.startswith(f"LBStickySession: '{line.split()[0]}' is not allowed: ")


@pytest.mark.parametrize("names", ['"expr:%{REMOTE_USER}"', 'sid "expr:%{REMOTE_USER}"', '"expr:%{REMOTE_USER}" sid'])
def test_httpd_refuses_to_append_to_what_an_expression_says(written, names):
    said = refusal(written(section(f"LBStickySession {names} route=append")))
    assert said.startswith("LBStickySession: 'route=append' is not allowed: ") and "expression" in said


@pytest.mark.parametrize("line", ["sid route=append A", "sid route=append route=append", "sid route=given A"])
def test_httpd_refuses_what_stands_behind_the_word(written, line):
    said = refusal(written(section(f"LBStickySession {line}")))
    assert said.startswith(f"LBStickySession: '{line.split()[1]}' is not allowed: ")


@pytest.mark.parametrize("line", ["sid route=append", "sid|s A header:X-Session route=append", "sid route=given",
                                  '"expr:%{REMOTE_USER}" route=given'])
def test_httpd_takes_the_word_behind_names(written, line):
    server = written(section(f"LBStickySession {line}", "BalancerMember http://127.0.0.1:1 route=node1",
                             "ProxySet lbmethod=sticky") + "ProxyPass / balancer://mycluster/\n")
    assert server.check_configuration() == (0, "Syntax OK\n")
