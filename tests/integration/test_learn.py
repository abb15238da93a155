"""route=learn: the balancer remembers which member gave an id that cannot carry a route."""

import concurrent.futures
import json
import os
import re
import signal
import socketserver
import subprocess
import xml.etree.ElementTree

import pytest

import quick
from application import Application
from mcp_server import McpServer
from server import BACKEND_IS_DOWN, MANAGER, STATUS, Client, cluster, wait_until, with_routes
from test_append import (COOKIES, IDS, OWN_COOKIES, PAGES, SET_COOKIES, InCookie as AppendedInCookie,
                         InHeader as AppendedInHeader, all_give)
from test_configuration import refusal, section, warnings, written
from test_decision_table import NOBODY_CAN_SERVE
from test_graceful_restart import restart
from test_in_flight import ROOM
from test_mcp import McpClient
from test_own_cookie import UPGRADES, number_of, upgraded
from test_protocols import two_responders
from test_state import SERVER_STATUS, TAG
from test_virtual_hosts import bodies as bodies_of_host, in_two_hosts

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
    assert (learned(server)["sessions"], learned(server)["dropped"]) == (SESSIONS, 0)
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
    server = httpd(cluster(*with_routes(members), more=f"{OFF}{LEARN}LBStickySession header:X-Session route=learn\n"))
    give(server, members, 1, "abc")
    give(server, members, 2, "abc", place=InHeader)
    assert (asked(server, "abc"), asked(server, "abc", InHeader)) == ((1, "learned"), (2, "learned"))
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
