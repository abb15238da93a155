"""route=learn: the balancer remembers which member gave an id that cannot carry a route."""

import concurrent.futures
import json
import os
import re
import signal
import socketserver
import subprocess
import threading
import time
import xml.etree.ElementTree

import pytest

import quick
from application import Application
from mcp_server import McpServer
from server import BACKEND_IS_DOWN, STATUS, Client, cluster, wait_until, with_routes
from test_append import (IDS, OWN_COOKIES, PAGES, SET_COOKIES, InCookie as AppendedInCookie,
                         InHeader as AppendedInHeader, all_give)
from test_configuration import refusal, section, warnings, written
from test_decision_table import NOBODY_CAN_SERVE
from test_graceful_restart import restart
from test_in_flight import ROOM
from test_mcp import McpClient
from test_own_cookie import UPGRADES, number_of, upgraded
from test_protocols import FastCgi, two_responders
from test_state import SERVER_STATUS, TAG
from test_virtual_hosts import bodies as bodies_of_host, host as host_of

OFF = "LBStickyCookie off\n"
LEARN = "LBStickySession sid route=learn\n"


class InCookie(AppendedInCookie):
    directive = LEARN


class InHeader(AppendedInHeader):
    directive = "LBStickySession header:X-Session route=learn\n"


in_either = pytest.mark.parametrize("place", [InCookie, InHeader], ids=["cookie", "header"])


def give(server, members, number, *ids, place=InCookie):
    """The member with that number gives these ids, each to a client that had none."""
    member = members[number - 1]
    for id in ids:
        before = len(member.requests)
        member.headers = [place.made(id)]
        for _ in members:
            quick.ask(server)
        member.headers = []
        assert len(member.requests) == before + 1, "each has its turn"


def asked(server, id, place=InCookie):
    """(number of the member, affinity) of a request with that id."""
    answer = quick.ask(server, place.sent(id)[1])
    assert answer.status == 200
    return number_of(answer), answer.affinity


def learned(server):
    return server.report()["learned"]


@pytest.fixture
def quick_applications():
    """quick_applications(count): so many of them, with the routes node1, node2, …"""
    running = []

    def start(count):
        running.extend(quick.QuickApplication(f"node{number}") for number in range(1, count + 1))
        return running

    yield start
    for application in running:
        application.stop()


# -- learned before the response leaves -----------------------------------------------------------------------------


def test_the_next_request_finds_the_member_that_gave_the_id(httpd, tmp_path):
    applications = [Application("PHP", f"node{number}") for number in (1, 2)]
    server = httpd(STATUS + cluster(*[f"{one.url} route={one.route}" for one in applications],
                                    more="LBStickySession PHPSESSID route=learn\n"))
    clients = [Client(tmp_path, f"jar{n}") for n in range(10)]
    for number in range(1, 4):
        assert [client.curl(server).body for client in clients] == [str(number)] * 10
    assert [affinity for _, affinity, _ in server.choices()] == ["new"] * 10 + ["learned"] * 20
    assert learned(server)["sessions"] == 10
    for application in applications:
        application.stop()


# How many sessions there are; by hand it may be a million.
SESSIONS = int(os.environ.get("LBSTICKY_SESSIONS", "10000"))


def test_of_ten_thousand_sessions_each_is_found_by_the_request_that_follows_at_once(httpd, quick_applications):
    """Most often by another process than that in which it began."""
    server = httpd('LogFormat "%P %{Set-Cookie}o %{Cookie}i" ids\nCustomLog access.log ids\n' + STATUS
                   + cluster(*quick.members_of(quick_applications(3)), more=OFF + LEARN), processes=4, log_level="warn")

    def missed(sessions):
        return sum(told != ("known", "learned") for told in map(next_request, range(sessions)))

    def next_request(_):
        answer = quick.ask(server, quick.begin_session(server))
        return answer.body, answer.affinity

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(missed, [SESSIONS // 4] * 4)) == 0
    # Into one of the 8,192 sets of eight places a ninth may come.
    assert learned(server)["sessions"] + learned(server)["evicted"] == SESSIONS and learned(server)["dropped"] == 0
    server.stop()
    log = (server.folder / "access.log").read_text()
    began = {id: process for process, id in re.findall(r"^(\d+) sid=(\w+);", log, re.MULTILINE)}
    asked_for = {id: process for process, id in re.findall(r"^(\d+) - sid=(\w+)$", log, re.MULTILINE)}
    assert began.keys() == asked_for.keys() and len(began) == SESSIONS
    assert sum(began[id] != asked_for[id] for id in began) > SESSIONS / 10


@in_either
def test_an_id_is_found_whatever_it_is_and_passes_as_it_is(httpd, backends, place):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=OFF + place.directive), processes=3)
    for id in (*IDS.values(), "x" * 4096):
        for number in (2, 3):  # another member gives the same one: it counts
            members[number - 1].headers = [place.made(id)]
            given = [place.given(quick.ask(server)) for _ in members]
            assert sorted(given) == [[], [], [id]]
            members[number - 1].headers = []
            assert [asked(server, id, place) for _ in range(3)] == [(number, "learned")] * 3, id
            assert place.seen(members[number - 1]) == id


@in_either
@pytest.mark.parametrize("status", [201, 302, 304, 401, 404, 500, 503])
def test_it_is_learned_whatever_status_a_member_answers(httpd, backends, place, status):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=OFF + place.directive))
    members[1].status = status
    give(server, members, 2, "abc", place=place)
    answer = server.curl("/", *place.sent("abc"))
    assert (answer.status, answer.affinity) == (status, "learned")
    assert place.seen(members[1]) == "abc"


def test_members_need_no_routes(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*[member.url for member in members], more=OFF + LEARN))  # and httpd warns of nothing
    for number in (1, 2, 3):
        give(server, members, number, f"session{number}")
    assert [asked(server, f"session{number}") for number in (3, 1, 2)] == [(n, "learned") for n in (3, 1, 2)]


@in_either
def test_a_member_that_gives_the_same_id_each_time_keeps_its_session(httpd, backends, place):
    members = backends(3)
    server = httpd(STATUS + cluster(*with_routes(members), more=OFF + place.directive))
    give(server, members, 2, "abc", place=place)
    all_give(members, place.made("abc"))
    assert [asked(server, "abc", place) for _ in range(6)] == [(2, "learned")] * 6
    assert learned(server)["sessions"] == 1


def test_ids_are_told_apart_by_their_names_and_in_each_letter(httpd, backends):
    members = backends(2)
    server = httpd(cluster(*with_routes(members),
                           more=f"{OFF}{LEARN}LBStickySession header:X-Session other route=learn\n"))
    give(server, members, 1, "abc")
    give(server, members, 2, "abc", place=InHeader)
    assert (asked(server, "abc"), asked(server, "abc", InHeader)) == ((1, "learned"), (2, "learned"))
    assert server.curl(cookie="other=abc").affinity == "hash"
    assert [asked(server, id)[1] for id in ("Abc", "ab", "abcd", "sid=abc")] == ["hash"] * 4


# -- what is learned ------------------------------------------------------------------------------------------------


def test_of_what_a_member_sets_exactly_sessions_are_learned(httpd, backends):
    members = backends(2)
    server = httpd(cluster(*with_routes(members), more=OFF + LEARN))
    for number, (what, cookie) in enumerate(SET_COOKIES.items()):
        cookie = cookie.replace("abc", f"session{number}")
        is_session = "^" in cookie  # where one that is appended would stand
        given = re.match(r'sid="?([^;"^]*)', cookie)
        id = re.sub(r"\.node\d$", "", given[1] if given else "") or f"session{number}"
        all_give(members, ("Set-Cookie", cookie.replace("^", "")))
        quick.ask(server)
        all_give(members)
        assert asked(server, id)[1] == ("learned" if is_session else "hash"), what


# What a member sets, and of the ids a, b, c what is learned.
SEVERAL = {
    "two": (["sid=a", "sid=b"], "b"),
    "two paths": (["sid=a; Path=/x", "sid=b; Path=/y", "other=1"], "b"),
    "a deletion first": (["sid=; Path=/old; Max-Age=0", "sid=b"], "b"),
    "a deletion last": (["sid=a", "sid=a; Max-Age=0"], ""),
    "an empty one last": (["sid=a", "sid="], ""),
    "one with a route last": (["sid=a", "sid=b.node1"], ""),
    "one with a route first": (["sid=a.node1", "sid=b"], "b"),
    "three": (["sid=a", "sid=b", "sid=c"], "c"),
}


@pytest.mark.parametrize("cookies, kept", SEVERAL.values(), ids=SEVERAL)
def test_of_several_cookies_the_last_one_counts(httpd, backends, cookies, kept):
    members = backends(2)
    all_give(members, *(("Set-Cookie", cookie) for cookie in cookies))
    server = httpd(cluster(*with_routes(members), more=OFF + LEARN))
    server.curl()
    all_give(members)
    assert {id for id in "abc" if asked(server, id)[1] == "learned"} == set(kept)


def test_of_several_headers_the_last_one_counts(httpd, backends):
    members = backends(2)
    all_give(members, ("X-Session", "a"), ("x-session", "b"), ("X-Sessions", "c"))
    server = httpd(cluster(*with_routes(members), more=OFF + InHeader.directive))
    server.curl()
    all_give(members)
    assert [asked(server, id, InHeader)[1] for id in "abc"] == ["hash", "learned", "hash"]


@in_either
def test_a_session_that_its_member_ends_is_where_it_was_until_it_is_forgotten(httpd, backends, place):
    """A deletion names no id: the one of the request goes on to find its member, which knows that it is over."""
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=OFF + place.directive))
    give(server, members, 2, "abc", place=place)
    all_give(members, place.made(""))
    assert [asked(server, "abc", place) for _ in range(3)] == [(2, "learned")] * 3


@in_either
def test_nothing_is_learned_from_a_try_that_failed(httpd, backends, place):
    members = backends(3)
    server = httpd(STATUS + cluster(*with_routes(members, "retry=0"), more=OFF + place.directive),
                   expected=BACKEND_IS_DOWN)
    members[0].stop()
    members[1].stop()
    all_give(members, place.made("abc"))
    answer = server.curl()  # the first or the second was to serve it
    while len(re.findall("affinity new", server.log())) < 2:
        answer = server.curl()
    assert answer.body == "backend3"
    all_give(members)
    for member in members[:2]:
        member.start()
    assert [asked(server, "abc", place) for _ in range(3)] == [(3, "learned")] * 3
    assert learned(server)["sessions"] == 1


@in_either
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_nothing_is_learned_from_a_page_of_httpds_own(httpd, backends, place, page):
    members = backends(2)
    key, value = place.made("of-httpd")
    all_give(members, place.made("of-member"))
    for member in members:
        member.status = 404
    server = httpd(STATUS + f'ProxyErrorOverride On\nHeader always set {key} "{value}"\n{page}\n'
                   + cluster(*with_routes(members), more=OFF + place.directive),
                   expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    server.curl()
    for member in members:
        member.stop()
    assert server.curl().status in (302, 503)
    assert learned(server)["sessions"] == 0


def test_an_id_of_a_fastcgi_application_is_learned_also_from_a_page_of_httpds_own(httpd, cleanup):
    """Which has the cookies of the application's."""
    class Responder(FastCgi):
        headers = "Status: 404 Not Found\r\nSet-Cookie: sid=abc; Path=/\r\n"

    members = [f"fcgi://127.0.0.1:{port} route=node{n}" for n, port in enumerate(two_responders(Responder, cleanup), 1)]
    server = httpd("ProxyErrorOverride On\n" + cluster(*members, more=OFF + LEARN), modules=["proxy_fcgi"])
    for number in (1, 2):
        assert (server.curl().route, server.curl(cookie="sid=abc").route) == (f"node{number}", f"node{number}")
        assert server.choices()[-1][1] == "learned"


def test_an_error_page_that_another_balancer_serves_is_learned_by_that_one(httpd, backends):
    a, *members = backends(3)
    server = httpd(STATUS + "ErrorDocument 503 /sorry\n"
                   + cluster(*with_routes(members), name="sorry", path="/sorry", more=OFF + LEARN)
                   + cluster(f"{a.url} route=nodeA", more=OFF + LEARN), expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    a.stop()
    all_give(members, InCookie.made("abc"))
    home = server.curl().body
    all_give(members)
    assert server.report()["learned"]["sessions"] == 0 and server.report("sorry")["learned"]["sessions"] == 1
    assert [server.curl("/", *InCookie.sent("abc")).body for _ in range(3)] == [home] * 3


def test_a_page_includes_what_a_session_finds_by_what_was_learned(httpd, backends, open_folder):
    members = backends(3)
    pages = httpd(f'DocumentRoot "{open_folder}"\nForceType text/html\n')
    (open_folder / "page").write_text('<!--#include virtual="/part/abc;sid=abc" -->')
    (open_folder / "new").write_text('<!--#include virtual="/part/new;sid=new" -->')
    server = httpd(STATUS + "<Location />\nSetOutputFilter INCLUDES\nOptions +Includes\n</Location>\n"
                   + cluster(*with_routes(members), name="parts", path="/part", more=OFF + LEARN)
                   + cluster(pages.url), modules=["include"])
    members[1].headers = [InCookie.made("abc")]
    server.bodies(3, path="/part")
    members[1].headers = []
    assert [server.curl("/page").body for _ in range(3)] == ["backend2"] * 3
    # An id that nobody knows is remembered where the part was placed.
    home = server.curl("/new").body
    answer = server.curl("/part", *InCookie.sent("new"))
    assert (answer.body, answer.affinity) == (home, "learned")


@UPGRADES
def test_an_upgrade_goes_where_the_session_was_learned_and_is_remembered_where_it_was_placed(
        httpd, cleanup, scheme, option, modules):
    served = []

    class Upgrading(socketserver.StreamRequestHandler):
        def handle(self):
            head = b"".join(iter(self.rfile.readline, b"\r\n"))
            served.append(self.server.name)
            if b"Upgrade:" in head:
                self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                 b"Upgrade: websocket\r\n\r\n")
                self.rfile.read(1)  # the client's good-bye
            else:
                self.wfile.write(b"HTTP/1.0 200 OK\r\nSet-Cookie: sid=of-%s\r\n\r\n" % self.server.name.encode())

    ports = list(two_responders(Upgrading, cleanup))
    members = [f"{scheme}://127.0.0.1:{port} route=node{number} {option}" for number, port in enumerate(ports, 1)]
    server = httpd(cluster(*members, more=OFF + LEARN), modules=modules)
    if scheme == "http":  # where pages come by the same balancer
        for _ in ports:
            server.curl()
        del served[:]
        for number in (2, 1, 2):
            upgraded(server, f"sid=of-backend{number}")
            assert served.pop() == f"backend{number}"
    for number in range(6):
        upgraded(server, f"sid=new{number}")
    homes = served[-6:]
    for number in range(6):
        upgraded(server, f"sid=new{number}")
    assert served[-6:] == homes and set(homes) == {"backend1", "backend2"}
    assert [affinity for _, affinity, _ in server.choices()][-12:] == ["hash"] * 6 + ["learned"] * 6


# -- an id that nobody knows ----------------------------------------------------------------------------------------

MADE_UP = [f"made-up-{number}" for number in range(24)]


def homes(server, ids=MADE_UP, place=InCookie, affinity="hash"):
    """{id: number of the member that serves it}, all by that affinity."""
    found = {id: asked(server, id, place) for id in ids}
    assert {word for _, word in found.values()} == {affinity}
    return {id: number for id, (number, _) in found.items()}


@in_either
def test_an_id_that_nobody_knows_is_placed_by_hashing_and_then_stays_whoever_is_added(httpd, backends, place):
    members = with_routes(backends(4))
    more = OFF + place.directive
    server = httpd(STATUS + cluster(*members[:2], more=more))
    before = homes(server, place=place)
    assert set(before.values()) == {1, 2}
    restart(server, STATUS + cluster(*members, more=more))
    assert homes(server, place=place, affinity="learned") == before
    # Where nothing is remembered of them they go elsewhere.
    assert homes(httpd(cluster(*members, more=more)), place=place) != before
    assert set(homes(server, [f"another-{id}" for id in MADE_UP], place).values()) == {1, 2, 3, 4}
    assert learned(server)["sessions"] == 48


def test_sessions_stay_where_a_member_is_added_in_the_manager(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*with_routes(members[:2]), settings="lbmethod=sticky growth=1", more=OFF + LEARN),
                   processes=3)
    give(server, members[:2], 2, "abc")
    before = homes(server)
    server.manager("mycluster", b_wyes="1", b_nwrkr=members[2].url)
    server.manager("mycluster", members[2].url, w_status_D="0")
    assert set(homes(server, [f"another-{id}" for id in MADE_UP]).values()) == {1, 2, 3}
    for _ in range(3):
        assert homes(server, affinity="learned") == before and asked(server, "abc") == (2, "learned")
    give(server, members, 3, "def")
    assert [asked(server, "def") for _ in range(6)] == [(3, "learned")] * 6


def test_what_an_expression_says_is_remembered_where_it_was_placed(httpd, backends):
    class InUser(InHeader):
        sent = staticmethod(lambda value: ("--header", f"X-User: {value}".encode()))

    members = with_routes(backends(4))
    more = OFF + 'LBStickySession "expr:%{HTTP:X-User}" route=learn\n'
    server = httpd(STATUS + cluster(*members[:2], more=more))
    users = [f"user{number}.node1" for number in range(24)]  # all of it is the id
    before = homes(server, users, InUser)
    assert set(before.values()) == {1, 2}
    restart(server, STATUS + cluster(*members, more=more))
    assert homes(server, users, InUser, "learned") == before
    assert learned(server)["sessions"] == 24


def test_an_id_that_is_placed_stays_without_LBStickyHash_too(httpd, backends):
    server = httpd(cluster(*with_routes(backends(3)), more=f"{OFF}{LEARN}LBStickyHash off\n"))
    before = homes(server, affinity="new")
    assert set(before.values()) == {1, 2, 3}
    assert homes(server, affinity="learned") == before


def test_an_id_that_a_member_gives_is_its_own_wherever_it_was_placed_before(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=OFF + LEARN))
    home, _ = asked(server, "abc")
    other = home % 3 + 1
    give(server, members, other, "abc")
    assert [asked(server, "abc") for _ in range(3)] == [(other, "learned")] * 3


# -- where an id stands ---------------------------------------------------------------------------------------------


def test_an_id_in_the_url_finds_what_the_cookie_has_learned(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{OFF}LBStickySession JSESSIONID|jsessionid route=learn\n"))
    members[1].headers = [("Set-Cookie", "JSESSIONID=abc; Path=/")]
    server.bodies(3)
    members[1].headers = []
    for path in ("/page;jsessionid=abc", "/page;jsessionid=abc?x=1", "/page?x=1&jsessionid=abc"):
        answer = server.curl(path)
        assert (answer.body, answer.affinity) == ("backend2", "learned")
        assert members[1].requests[-1][1] == path
    # And an id that was placed by the one is found by the other.
    home = server.curl("/page;jsessionid=def").body
    answer = server.curl(cookie="JSESSIONID=def")
    assert (answer.body, answer.affinity) == (home, "learned")


def test_lines_have_each_a_word_of_their_own(httpd, backends):
    members = backends(3)
    server = httpd(STATUS + cluster(*with_routes(members), more=f"{OFF}LBStickySession A header:X-A route=learn\n"
                                    "LBStickySession B route=append\nLBStickySession C header:X-C route=given"))
    members[1].headers = [*(("Set-Cookie", f"{name}=1") for name in "ABC"), ("X-A", "2"), ("X-C", "2")]
    answers = [server.curl() for _ in members]
    members[1].headers = []
    assert answers[1].set_cookies == ["A=1", "B=1.node2", "C=1"]
    assert learned(server)["sessions"] == 2
    assert server.report()["sessions"] == ["A route=learn", "header:X-A route=learn", "B route=append", "C",
                                           "header:X-C"]

    def affinity(*headers, cookie=None):
        answer = server.curl("/", *(word for header in headers for word in ("--header", header)), cookie=cookie)
        return answer.body, answer.affinity

    assert affinity(cookie="A=1") == affinity("X-A: 2") == ("backend2", "learned")
    assert affinity(cookie="B=1.node2") == ("backend2", "route")
    assert affinity("X-C: 2")[1] == affinity(cookie="C=1")[1] == "hash"
    assert affinity("X-C: 3.node3")[1] == "route"
    assert affinity("X-C: 3.node3", cookie="A=1") == ("backend2", "learned")  # the first line that is present counts


@in_either
def test_a_known_route_in_the_id_wins_over_what_was_learned(httpd, backends, place):
    members = backends(3)
    server = httpd(STATUS + cluster(*with_routes(members), more=OFF + place.directive))
    give(server, members, 2, "abc", place=place)
    give(server, members, 2, "def.node3", place=place)  # is not learned: it says where it belongs
    assert learned(server)["sessions"] == 1
    assert asked(server, "abc.node1", place) == (1, "route")
    assert asked(server, "def.node3", place) == (3, "route")
    assert asked(server, "abc", place) == (2, "learned")


def test_a_route_wins_over_what_was_learned_before_any_member_had_it(httpd, backends):
    members = backends(3)
    lines = with_routes(members)
    server = httpd(cluster(*lines[:2], more=OFF + LEARN))
    give(server, members[:2], 2, "abc.node3", "def.node4")
    assert (asked(server, "abc.node3"), asked(server, "def.node4")) == ((2, "learned"), (2, "learned"))
    restart(server, cluster(*lines, more=OFF + LEARN))
    assert (asked(server, "abc.node3"), asked(server, "def.node4")) == ((3, "route"), (2, "learned"))


@pytest.mark.parametrize("sent", ["sid=unknown; sid=abc", "sid=abc; sid=unknown", 'a=1; sid="abc"; b=2',
                                  "sid=; sid=abc"])
def test_of_several_cookies_one_that_was_learned_counts(httpd, backends, sent):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=OFF + LEARN))
    give(server, members, 2, "abc")
    answer = server.curl(cookie=sent)
    assert (answer.body, answer.affinity) == ("backend2", "learned")


@pytest.mark.parametrize("sent", ["sid=stale; sid=given", "sid=given; sid=stale"])
def test_of_several_cookies_one_that_a_member_gave_counts_before_one_that_was_placed(httpd, backends, sent):
    members = backends(3)
    server = httpd(STATUS + cluster(*with_routes(members), more=OFF + LEARN))
    placed, _ = asked(server, "stale")
    home = placed % 3 + 1
    give(server, members, home, "given")
    for _ in range(2):
        assert number_of(server.curl(cookie=sent)) == home


def test_mcp_clients_find_the_server_that_made_their_session(httpd):
    members = [McpServer(f"server{number}") for number in (1, 2)]
    server = httpd(cluster(*(f"{member.url} route=mcp{number}" for number, member in enumerate(members, 1)),
                           more=f"{OFF}LBStickySession header:Mcp-Session-Id route=learn\n"), processes=3)
    clients = [McpClient(server) for _ in range(6)]
    assert {client.member for client in clients} == {"server1", "server2"}
    for number in range(1, 5):
        assert [client.call() for client in clients] == [f"{client.member} {number}" for client in clients]
    for member in members:
        assert set(member.sessions) == {client.session for client in clients if client.member == member.name}
        member.stop()


# -- the balancer's own cookie beside it ------------------------------------------------------------------------------


@in_either
@pytest.mark.parametrize("word, own", OWN_COOKIES.items())
def test_only_a_cookie_that_is_named_is_given_beside_an_id_that_is_learned(httpd, backends, place, word, own):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{place.directive}\nLBStickyCookie {word}"))

    def names(*arguments):
        return [cookie.split("=")[0] for cookie in server.curl("/", *arguments).set_cookies]

    all_give(members, place.made("abc"))
    with_id = (["sid"] if place is InCookie else []) + own
    assert names() == with_id
    assert names(*place.sent("abc")) == with_id
    all_give(members)
    assert names(*place.sent("abc")) == own
    assert names(*place.sent("unknown")) == own
    assert names(*place.sent("unknown")) == own
    assert names() == own  # no session, and none made


def test_a_named_cookie_counts_before_what_was_learned(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{LEARN}\nLBStickyCookie mine"))
    give(server, members, 2, "abc")
    answer = server.curl(cookie="sid=abc; mine=.node3")
    assert (answer.body, answer.affinity) == ("backend3", "cookie")
    assert server.curl(cookie="sid=abc").body == "backend2"


# -- a member that cannot serve -------------------------------------------------------------------------------------

LONG = "0123456789abcdef"


@in_either
def test_a_session_whose_member_is_down_comes_home(httpd, backends, place):
    members = backends(3)
    server = httpd(cluster(*with_routes(members, "retry=0"), more=OFF + place.directive), expected=BACKEND_IS_DOWN)
    give(server, members, 2, LONG, place=place)
    members[1].stop()
    elsewhere = [asked(server, LONG, place) for _ in range(4)]
    assert elsewhere == [(elsewhere[0][0], "failover")] * 4 and elsewhere[0][0] != 2
    members[1].start()
    assert asked(server, LONG, place) == (2, "learned")


@in_either
@pytest.mark.parametrize("given", [LONG, "new"], ids=["the same", "another"])
def test_an_id_that_is_given_where_a_session_failed_over_stays_there(httpd, backends, place, given):
    members = backends(3)
    server = httpd(cluster(*with_routes(members, "retry=0"), more=OFF + place.directive), expected=BACKEND_IS_DOWN)
    give(server, members, 2, LONG, place=place)
    members[1].stop()
    all_give(members, place.made(given))
    number, affinity = asked(server, LONG, place)
    assert affinity == "failover" and number != 2
    all_give(members)
    members[1].start()
    assert [asked(server, given, place) for _ in range(3)] == [(number, "learned")] * 3


@in_either
def test_a_session_that_is_served_elsewhere_for_a_request_stays_at_home(httpd, backends, send, place):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=f"{OFF}{place.directive}\nLBStickyLimit all=1"), processes=4)
    give(server, members, 1, LONG, place=place)
    members[0].gate.clear()
    send(server, "/slow", *place.sent(LONG))
    wait_until(lambda: members[0].requests[-1][1] == "/slow", "the member has the first request")
    assert asked(server, LONG, place)[1] == "overload"
    all_give(members, place.made(LONG))
    assert asked(server, LONG, place)[1] == "overload"  # the member only says it again
    all_give(members, place.made("new"))
    number, affinity = asked(server, LONG, place)
    assert affinity == "overload" and number != 1
    all_give(members)
    assert asked(server, LONG, place)[1] == "overload"
    members[0].gate.set()
    wait_until(lambda: asked(server, LONG, place) == (1, "learned"), "its member is free")
    assert asked(server, "new", place) == (number, "learned")


# Why the member does not serve: (options of the members, settings, what is set in the manager, what its session meets).
HINDERED = {
    "draining": (("", "", ""), "", "N", (1, "learned")),
    "draining, with redirect=": (("redirect=node3", "", ""), "", "N", (1, "learned")),
    "draining, with nofailover": (("", "", ""), "nofailover=On", "N", (1, "learned")),
    "disabled": (("", "status=+D", ""), "", "D", (3, "failover")),
    "stopped": (("", "", "status=+D"), "", "S", (2, "failover")),
    "disabled, with redirect=": (("redirect=node3", "", ""), "", "D", (3, "failover")),
    "disabled, with a chain of redirect=": (("redirect=node2", "redirect=node3 status=+D", ""), "", "D",
                                            (3, "failover")),
    "disabled, with redirect= and nofailover": (("redirect=node3", "", ""), "nofailover=On", "D", (3, "failover")),
    "disabled, with a standby": (("", "status=+D", "status=+H"), "", "D", (3, "failover")),
    "disabled, with a spare": (("", "status=+D", "status=+R"), "", "D", (3, "failover")),
    "disabled, with another set": (("", "status=+D", "lbset=1"), "", "D", (3, "failover")),
}


@pytest.mark.parametrize("options, settings, bit, met", HINDERED.values(), ids=HINDERED)
def test_a_session_whose_member_does_not_serve_goes_where_one_with_a_route_would(
        httpd, backends, options, settings, bit, met):
    members = backends(3)
    lines = [f"{line} {option}" for line, option in zip(with_routes(members), options, strict=True)]
    server = httpd(cluster(*lines, settings=f"lbmethod=sticky {settings}", more=OFF + LEARN))
    give_by(server, members[0], LONG)
    assert asked(server, LONG) == (1, "learned")
    server.manager("mycluster", members[0].url, **{f"w_status_{bit}": "1"})
    assert [asked(server, LONG) for _ in range(3)] == [met] * 3
    assert asked(server, f"{LONG}.node1") == (met[0], met[1].replace("learned", "route"))
    assert "backend1" not in server.bodies(6)
    server.manager("mycluster", members[0].url, **{f"w_status_{bit}": "0"})
    assert asked(server, LONG) == (1, "learned")


def give_by(server, member, id):
    """As give(), where not every member has its turn."""
    member.headers = [InCookie.made(id)]
    before = len(member.requests)
    while len(member.requests) == before:
        quick.ask(server)
    member.headers = []


def test_with_nofailover_a_session_whose_member_cannot_serve_is_refused_and_comes_home(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*with_routes(members), settings="lbmethod=sticky nofailover=On", more=OFF + LEARN),
                   expected=NOBODY_CAN_SERVE)
    give(server, members, 1, LONG)
    server.manager("mycluster", members[0].url, w_status_D="1")
    answer = server.curl("/", *InCookie.sent(LONG))
    assert (answer.status, answer.affinity) == (503, "refused")
    server.manager("mycluster", members[0].url, w_status_D="0")
    assert asked(server, LONG) == (1, "learned")


def test_with_nofailover_an_id_that_nobody_has_served_is_not_refused(httpd, backends):
    """A member that does not answer has no session of an id that nobody knows."""
    members = backends(3)
    server = httpd(cluster(*with_routes(members, "retry=0"), settings="lbmethod=sticky nofailover=On",
                           more=OFF + LEARN), expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    members[0].stop()
    for _ in range(2):
        assert {asked(server, id)[0] for id in MADE_UP} == {2, 3}


def test_a_session_of_a_standby_stays_there(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*(f"{line} status=+H" if number == 0 else line
                             for number, line in enumerate(with_routes(members))), more=OFF + LEARN))
    for member in members[1:]:
        server.manager("mycluster", member.url, w_status_D="1")
    give_by(server, members[0], LONG)
    for member in members[1:]:
        server.manager("mycluster", member.url, w_status_D="0")
    assert [asked(server, LONG) for _ in range(3)] == [(1, "learned")] * 3
    assert "backend1" not in server.bodies(4)


def test_a_session_of_a_member_that_fails_its_health_check_comes_home(httpd, backends):
    members = backends(2)
    server = httpd(cluster(*with_routes(members, "hcmethod=TCP hcinterval=1 hcpasses=1 hcfails=1"), more=OFF + LEARN),
                   modules=["proxy_hcheck"], expected=[*BACKEND_IS_DOWN, "AH0325[0-9]"])
    give(server, members, 1, LONG)
    members[0].stop()
    wait_until(lambda: "HcFl" in server.state()[members[0].url]["status"], "it has failed its check")
    assert asked(server, LONG) == (2, "failover")
    members[0].start()
    wait_until(lambda: asked(server, LONG) == (1, "learned"), "it has passed its check")


def test_a_session_belongs_to_the_route_of_its_member_whatever_the_manager_makes_of_it(httpd, backends):
    """A route that is changed names another member, as it does in an id that carries it."""
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=OFF + LEARN), processes=3)
    give(server, members, 2, "abc", "def")
    server.manager("mycluster", members[1].url, w_wr="other")
    give(server, members, 2, "ghi")
    assert [asked(server, "ghi") for _ in range(6)] == [(2, "learned")] * 6
    number, affinity = asked(server, "abc")
    assert affinity == "hash"
    assert [asked(server, "abc") for _ in range(6)] == [(number, "learned")] * 6
    server.manager("mycluster", members[2].url, w_wr="node2")
    assert [asked(server, "def") for _ in range(6)] == [(3, "learned")] * 6


# -- restarts -------------------------------------------------------------------------------------------------------

TABLES = {
    "as it was": "",
    "more places": "LBStickyTable sessions=100000\n",
    "fewer places": "LBStickyTable sessions=4096\n",
    "a longer time": "LBStickyTable idle=2d\n",
    "a store that is away": "LBStickyStore redis://127.0.0.1:1\n",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_was_learned_is_kept_over_graceful_restarts(httpd, backends, table):
    members = backends(3)
    server = httpd(STATUS + cluster(*with_routes(members), more=OFF + LEARN), expected=["is away, and sessions"])
    for number in (1, 2, 3):
        give(server, members, number, *(f"session{number}-{n}" for n in range(8)))
    placed = homes(server)
    for more in (table, ""):
        restart(server, STATUS + cluster(*with_routes(members), more=OFF + LEARN + more))
        assert learned(server)["sessions"] == 48 and learned(server)["evicted"] == 0
        for number in (1, 2, 3):
            assert {asked(server, f"session{number}-{n}") for n in range(8)} == {(number, "learned")}
        assert homes(server, affinity="learned") == placed


def test_what_a_process_of_the_generation_before_learns_the_next_one_knows(httpd, backends, send):
    """A request that was under way when httpd was restarted."""
    members = backends(3)
    server = httpd(cluster(*with_routes(members), more=OFF + LEARN))
    for member in members:
        member.gate.clear()
    before = server.children()
    sent = send(server, "/slow")
    [member] = wait_until(lambda: [member for member in members if member.requests], "a member has the request")
    server.graceful()
    member.headers = [InCookie.made("abc")]
    for each in members:
        each.gate.set()
    assert InCookie.given(sent.answer()) == ["abc"]
    member.headers = []
    wait_until(lambda: not before & server.children(), "the generation before has ended")
    assert asked(server, "abc") == (members.index(member) + 1, "learned")


def test_a_session_outlives_many_graceful_restarts_under_load(httpd, quick_applications):
    server = httpd(cluster(*quick.members_of(quick_applications(3)), more=OFF + LEARN), processes=3, log_level="warn")
    sessions = [quick.begin_session(server) for _ in range(30)]
    told = []
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        restarting = threads.submit(lambda: [server.graceful() for _ in range(4)])
        while not restarting.done():
            sessions.append(quick.begin_session(server))
            told += [quick.ask(server, session).body for session in sessions[-10:] + sessions[:10]]
        restarting.result()
    told += [quick.ask(server, session).body for session in sessions]
    assert set(told) == {"known"}


def test_a_member_that_is_taken_out_and_comes_back_finds_its_sessions(httpd, backends):
    members = backends(3)
    lines = with_routes(members)
    server = httpd(STATUS + cluster(*lines, more=OFF + LEARN))
    for number in (1, 2, 3):
        give(server, members, number, f"one{number}", f"two{number}")
    restart(server, STATUS + cluster(lines[0], lines[2], more=OFF + LEARN))
    moved, _ = asked(server, "two2")
    assert moved in (1, 3)
    assert [asked(server, "two2") for _ in range(3)] == [(moved, "learned")] * 3
    assert [asked(server, f"one{number}") for number in (1, 3)] == [(1, "learned"), (3, "learned")]
    restart(server, STATUS + cluster(lines[2], lines[1], lines[0], more=OFF + LEARN))
    assert [asked(server, f"one{number}") for number in (1, 2, 3)] == [(n, "learned") for n in (1, 2, 3)]
    assert asked(server, "two2") == (moved, "learned")  # it was served there meanwhile
    assert learned(server)["sessions"] == 6


def test_a_balancer_that_is_taken_out_for_one_restart_finds_what_it_had_learned(httpd, backends):
    members = backends(2)
    configuration = STATUS + cluster(*with_routes(members), more=OFF + LEARN)
    server = httpd(configuration)
    give(server, members, 2, "abc")
    restart(server, STATUS)
    restart(server, configuration)
    assert asked(server, "abc") == (2, "learned")


def test_another_start_knows_nothing(httpd, backends):
    members = backends(3)
    server = httpd(STATUS + cluster(*with_routes(members), more=OFF + LEARN))
    give(server, members, 2, "abc")
    server.stop()
    server.log_path.unlink()
    server.start()
    assert learned(server)["sessions"] == 0
    number, affinity = asked(server, "abc")
    assert affinity == "hash"
    assert asked(server, "abc") == (number, "learned")  # a lost table repairs itself


def test_a_child_that_is_killed_leaves_a_table_that_is_of_use(httpd, quick_applications):
    """What a client was told before is known, and new sessions are learned."""
    server = httpd(ROOM + STATUS + cluster(*quick.members_of(quick_applications(3)), more=OFF + LEARN), processes=4,
                   log_level="warn", expected=[r"AH0\d+: .*(scoreboard|long lost child)"])
    sessions, wrong = [], []

    def work(_):
        mine = []
        while not done.is_set():
            try:
                mine.append(quick.begin_session(server))
                sessions.append(mine[-1])
                for session in mine[-3:]:
                    answer = quick.ask(server, session)
                    if answer.status and answer.body != "known":
                        wrong.append((session, answer.status, answer.body))
            except (OSError, AssertionError):
                continue  # the process that served was killed

    done = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        working = [threads.submit(work, number) for number in range(4)]
        for _ in range(6):
            before = len(sessions)
            wait_until(lambda: len(sessions) > before + 50, "sessions begin")
            os.kill(sorted(server.children())[0], signal.SIGKILL)
        done.set()
        for thread in working:
            thread.result()
    assert wrong == []
    answers = [quick.ask(server, session) for session in sessions]
    assert {(answer.body, answer.affinity) for answer in answers} == {("known", "learned")}
    assert learned(server)["sessions"] >= len(sessions) > 300


# -- room -----------------------------------------------------------------------------------------------------------


def test_a_full_table_forgets_the_least_recently_used_and_counts_it(httpd, backends):
    members = backends(2)
    server = httpd(STATUS + cluster(*with_routes(members), more=f"{OFF}{LEARN}LBStickyTable sessions=8\n"))
    ids = [f"session{number}" for number in range(11)]
    give(server, members, 1, *ids[:8])
    assert [learned(server)[key] for key in ("sessions", "places", "evicted", "dropped")] == [8, 8, 0, 0]
    time.sleep(1.1)  # the last use is noted by the second
    assert {asked(server, id) for id in ids[3:8]} == {(1, "learned")}
    give(server, members, 2, *ids[8:])
    assert [learned(server)[key] for key in ("sessions", "places", "evicted", "dropped")] == [8, 8, 3, 0]
    assert {asked(server, id) for id in ids[3:8]} == {(1, "learned")}
    assert {asked(server, id) for id in ids[8:]} == {(2, "learned")}
    # Ids that nobody knows, whoever made them up, drive out none that a member gave.
    assert {asked(server, id)[1] for id in [*ids[:3], *MADE_UP]} == {"hash"}
    assert {asked(server, id)[1] for id in ids[3:]} == {"learned"}
    assert [learned(server)[key] for key in ("sessions", "evicted", "dropped")] == [8, 3, 27]
    server.graceful()
    assert [learned(server)[key] for key in ("sessions", "evicted", "dropped")] == [8, 3, 27]


def test_a_smaller_table_counts_what_it_has_no_room_for(httpd, backends):
    members = backends(2)
    server = httpd(STATUS + cluster(*with_routes(members), more=OFF + LEARN))
    ids = [f"session{number}" for number in range(20)]
    give(server, members, 2, *ids)
    restart(server, STATUS + cluster(*with_routes(members), more=f"{OFF}{LEARN}LBStickyTable sessions=8\n"))
    assert [learned(server)[key] for key in ("sessions", "places", "evicted")] == [8, 8, 12]
    assert [asked(server, id)[1] for id in ids].count("learned") == 8


def test_a_session_that_is_idle_for_too_long_is_forgotten(httpd, backends):
    members = backends(2)
    server = httpd(STATUS + cluster(*with_routes(members), more=f"{OFF}{LEARN}LBStickyTable idle=1s sessions=100\n"))
    give(server, members, 1, "abc")
    wait_until(lambda: learned(server)["sessions"] == 0, "it is forgotten")
    assert asked(server, "abc")[1] == "hash"
    assert [learned(server)[key] for key in ("places", "idle_seconds", "evicted")] == [104, 1, 0]


# -- virtual hosts --------------------------------------------------------------------------------------------------


def test_virtual_hosts_that_share_members_share_what_was_learned(httpd, backends):
    members = backends(3)
    server = httpd(STATUS + section(*(f"BalancerMember {line}" for line in with_routes(members)),
                                    "ProxySet lbmethod=sticky", OFF + LEARN)
                   + host_of("ProxyPass / balancer://mycluster/", name="one.example")
                   + host_of("ProxyPass / balancer://mycluster/", name="two.example"))

    def served(host, id):
        answer = quick.ask(server, f"Cookie: sid={id}", path="/app/", host=host)
        return answer.body, answer.affinity

    for number, (host, other) in enumerate([("one.example", "two.example"), ("two.example", "one.example")], 1):
        members[number].headers = [InCookie.made(f"session{number}")]
        bodies_of_host(server, 3, host)
        members[number].headers = []
        for asking in (other, host):
            assert served(asking, f"session{number}") == (f"backend{number + 1}", "learned")
        name, affinity = served(host, f"placed{number}")
        assert affinity == "hash" and served(other, f"placed{number}") == (name, "learned")
    held = {balancer["learned"]["sessions"]
            for balancer in json.loads(server.curl("/lbsticky-status?format=json").body)["balancers"]}
    assert held == {4}
    server.graceful()
    assert served("one.example", "session2") == served("two.example", "session2") == ("backend3", "learned")


def test_balancers_of_one_name_in_two_virtual_hosts_learn_each_for_itself(httpd, backends):
    members = backends(4)
    server = httpd("".join(section(f"ServerName {host}", cluster(*with_routes(some), more=OFF + LEARN),
                                   name="VirtualHost *")
                           for host, some in (("one.example", members[:2]), ("two.example", members[2:]))))
    members[1].headers = [InCookie.made("abc")]
    bodies_of_host(server, 2, "one.example")
    members[1].headers = []
    told = [quick.ask(server, "Cookie: sid=abc", host=host) for host in ("one.example", "two.example")]
    assert [answer.affinity for answer in told] == ["learned", "hash"]


def test_a_directive_of_a_section_with_a_wildcard_holds_for_all_balancers(httpd, backends):
    one, two = backends(2)
    server = httpd(STATUS + section("LBStickyTable sessions=16", OFF + LEARN, name='Proxy "balancer://*"')
                   + cluster(one.url, name="one", path="/one") + cluster(two.url, name="two", path="/two"))
    all_give([one, two], InCookie.made("abc"))
    server.curl("/one")
    assert [server.report(name)["learned"]["places"] for name in ("one", "two")] == [16, 16]
    assert [server.report(name)["learned"]["sessions"] for name in ("one", "two")] == [1, 0]


# -- what is told ---------------------------------------------------------------------------------------------------


def test_html_xml_json_metrics_and_mod_status_tell_the_same_numbers(httpd, backends):
    members = backends(2)
    server = httpd(STATUS + SERVER_STATUS + cluster(*with_routes(members),
                                                    more=f"{OFF}{LEARN}LBStickyTable sessions=8 idle=90m\n"))
    give(server, members, 1, *(f"session{number}" for number in range(10)))
    asked(server, "session9")
    asked(server, "unknown")
    assert learned(server) == {"sessions": 8, "places": 8, "idle_seconds": 5400, "evicted": 2, "dropped": 1,
                               "store": None}
    assert server.report()["sessions"] == ["sid route=learn"]
    assert sum(worker["requests"]["learned"] for worker in server.report()["workers"]) == 1

    text = server.curl("/lbsticky-status").body
    assert re.findall(r"^lbsticky_table_(\w+)\{balancer=\"mycluster\"\} (\d+)$", text, re.MULTILINE) == [
        ("sessions", "8"), ("places", "8"), ("evicted_total", "2"), ("dropped_total", "1")]
    assert 'affinity="learned"} 1\n' in text and "lbsticky_store_" not in text
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")

    [sticky] = xml.etree.ElementTree.fromstring(server.manager_page("?xml=1")).iter(f"{TAG}sticky")
    assert [sticky.findtext(f"{TAG}table_{name}") for name in ("sessions", "places", "idle", "evicted", "dropped")] == [
        "8", "8", "5400", "2", "1"]
    panel = re.sub("<[^>]*>", "", server.manager_page())
    assert ("Learned sessions: 8 of 8 in the table, until they are idle for 1 h; 2 evicted, "
            "1 not learned for want of room\n") in panel
    page = re.search("lbmethod sticky.*", server.curl("/server-status").body, re.DOTALL)[0]
    cells = dict(zip(re.findall("<th>(.*?)</th>", page), re.findall("<td>(.*?)</td>", page), strict=True))
    assert (cells["Balancer"], cells["Learned sessions"]) == ("mycluster", "8")
    lines = server.curl("/server-status?auto").body
    assert "StickyBalancer[0]Learned: 1\n" in lines
    assert "StickyBalancer[0]LearnedSessions: 8\nStickyBalancer[0]LearnedEvicted: 2\n" in lines


def test_without_a_line_that_learns_nothing_is_told_of_it(httpd, backends):
    server = httpd(STATUS + cluster(*with_routes(backends(2)), more="LBStickySession sid route=append\n"))
    assert learned(server) is None
    assert "lbsticky_table_" not in server.curl("/lbsticky-status").body
    assert "Learned sessions" not in server.manager_page()


def test_the_log_tells_an_id_only_in_part(httpd, backends):
    members = backends(2)
    server = httpd(cluster(*with_routes(members), more=OFF + LEARN))
    give(server, members, 2, LONG)
    asked(server, LONG)
    assert f"affinity learned, session sid=0123...(16), member {members[1].url}" in server.log()
    assert LONG not in server.log()


# -- what is refused, and what is warned of -------------------------------------------------------------------------

# A bad line, what of it is named, and what the sentence says is allowed.
BAD_TABLES = {
    "LBStickyTable sessions=0": ("sessions=0", "sessions=N, N being a number from 1 to 100000000"),
    "LBStickyTable sessions=": ("sessions=", "sessions=N, N being a number from 1 to 100000000"),
    "LBStickyTable sessions=-8": ("sessions=-8", "sessions=N, N being a number from 1 to 100000000"),
    "LBStickyTable sessions=8k": ("sessions=8k", "sessions=N, N being a number from 1 to 100000000"),
    "LBStickyTable sessions=100000001": ("sessions=100000001", "sessions=N, N being a number from 1 to 100000000"),
    "LBStickyTable sessions=99999999999999999999": ("sessions=99999999999999999999",
                                                    "sessions=N, N being a number from 1 to 100000000"),
    "LBStickyTable idle=0": ("idle=0", "idle=TIME, TIME being from 1s to 366d, as 90, 30m, 12h or 7d"),
    "LBStickyTable idle=": ("idle=", "idle=TIME, TIME being from 1s to 366d, as 90, 30m, 12h or 7d"),
    "LBStickyTable idle=500ms": ("idle=500ms", "idle=TIME, TIME being from 1s to 366d, as 90, 30m, 12h or 7d"),
    "LBStickyTable idle=367d": ("idle=367d", "idle=TIME, TIME being from 1s to 366d, as 90, 30m, 12h or 7d"),
    "LBStickyTable idle=1w": ("idle=1w", "idle=TIME, TIME being from 1s to 366d, as 90, 30m, 12h or 7d"),
    "LBStickyTable 65536": ("65536", "sessions=N, idle=TIME"),
    "LBStickyTable sessions=8 off": ("off", "sessions=N, idle=TIME"),
    "LBStickyTable entries=8": ("entries=8", "sessions=N, idle=TIME"),
    "LBStickyTable sessions=8 sessions=9": ("sessions=9", "sessions= stands there already"),
    "LBStickyTable idle=8 sessions=8 idle=8": ("idle=8", "idle= stands there already"),
}


@pytest.mark.parametrize("line", BAD_TABLES)
def test_httpd_refuses_a_bad_table(written, line):
    value, allowed = BAD_TABLES[line]
    assert refusal(written(section(line))) == f"LBStickyTable: '{value}' is not allowed: {allowed}"


def test_httpd_refuses_a_table_without_a_word(written):
    assert refusal(written(section("LBStickyTable"))) == "LBStickyTable: it takes sessions=N, idle=TIME or both"


@pytest.mark.parametrize("line", ["LBStickyTable sessions=1", "LBStickyTable sessions=1000000", "LBStickyTable idle=90",
                                  "LBStickyTable idle=366d sessions=8", "LBStickyTable idle=1s"])
def test_httpd_takes_a_table(written, line):
    server = written(section(line, LEARN, "BalancerMember http://127.0.0.1:1 route=node1", "ProxySet lbmethod=sticky")
                     + "ProxyPass / balancer://mycluster/\n")
    assert server.check_configuration() == (0, "Syntax OK\n")


@pytest.mark.parametrize("keeping", ["", "LBStickySession sid\n", "LBStickySession sid route=append\n"])
def test_httpd_warns_of_a_table_and_a_store_where_nothing_is_learned(httpd, keeping):
    said = [f"balancer://mycluster: {name} has no effect: no LBStickySession has route=learn, so nothing is learned"
            for name in ("LBStickyTable", "LBStickyStore")]
    server = httpd(cluster("http://127.0.0.1:1 route=node1", more=f"{keeping}LBStickyTable sessions=8\n"
                           "LBStickyStore memcached://127.0.0.1:1\n"), expected=[re.escape(line) for line in said])
    assert warnings(server.log()) == said
