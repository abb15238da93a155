"""Requests in flight: how many a member is serving now, in all processes, exactly, whatever becomes of them."""

import collections
import concurrent.futures
import contextlib
import os
import re
import signal
import socketserver
import subprocess
import threading
import time
import xml.etree.ElementTree

import pytest

from server import BACKEND_IS_DOWN, STATUS, cluster, free_port, wait_until, with_routes
from test_lifecycle import draining
from test_protocols import Listener
from test_state import SERVER_STATUS, TAG, UNAVAILABLE, column_of, requests_in

SESSION = "JSESSIONID=12345"
SEGFAULT = [r"exit signal Segmentation fault"]
# With room for more processes: mpm_event tells no more than these to end, however many there are.
ROOM = "MaxRequestWorkers 160\n"
COLUMNS = {"in_flight": 2, "sessions": 3}  # of the panel; in mod_status's table they stand behind seven affinities
KEYS = {"in_flight": "InFlight", "sessions": "Sessions"}  # of mod_status


def site(members, settings="lbmethod=sticky", more="LBStickySession JSESSIONID", **options):
    return STATUS + SERVER_STATUS + cluster(*members, settings=settings, more=more, **options)


def gated(backends, count):
    """So many backends, which answer what is not /slow, and /slow once their gate is set."""
    members = backends(count)
    for member in members:
        member.gated = "/slow"
        member.gate.clear()
    return members


def hold(send, server, member, *arguments, cookie=None, path="/slow", times=1):
    """Sends so many requests that the member does not answer before its gate is set; waits until it has them."""
    if cookie is None:
        cookie = f"{SESSION}.{member.name.replace('backend', 'node')}"
    sent = []
    for _ in range(times):
        before = len(member.requests)
        sent.append(send(server, path, *arguments, cookie=cookie))
        wait_until(lambda: len(member.requests) > before, f"{member.name} has the request")
    return sent


def in_flight(server, balancer="mycluster", host=""):
    """{route of the member: number}, without those that are 0."""
    workers = server.report(balancer, host)["workers"]
    return {worker["route"]: worker["in_flight"] for worker in workers if worker["in_flight"]}


def shown(server, name):
    """{route of the member: in_flight or sessions}, on which all that tell it agree."""
    workers = server.report()["workers"]
    numbers = {worker["route"]: worker[name] for worker in workers}
    metrics = server.curl("/lbsticky-status").body
    assert {worker["route"]: int(re.search(rf'^lbsticky_{name}{{[^}}]*worker="{worker["url"]}"}} (\d+)$', metrics,
                                           re.MULTILINE)[1]) for worker in workers} == numbers
    page = xml.etree.ElementTree.fromstring(server.manager_page("?xml=1"))
    assert {member.findtext(f"{TAG}route"): int(member.findtext(TAG + name))
            for member in page.iter(f"{TAG}member")} == numbers
    column = column_of(server.manager_page(), COLUMNS[name])
    assert {worker["route"]: int(column[worker["url"]]) for worker in workers} == numbers
    status = server.curl("/server-status?auto").body
    assert f"StickyBalancer[0]{KEYS[name]}: {sum(numbers.values())}\n" in status
    page = re.search(r"lbmethod sticky.*", server.curl("/server-status").body, re.DOTALL)[0]
    assert re.findall(r"<td>(\d+)</td>", page)[COLUMNS[name] + 5] == str(sum(numbers.values()))
    return numbers


def all_have_ended(server, balancer="mycluster", host=""):
    wait_until(lambda: not in_flight(server, balancer, host), "no request is in flight", seconds=10)


# -- Up and down ------------------------------------------------------------------------------------------------------


def test_json_metrics_xml_panel_and_mod_status_tell_the_same_number(httpd, backends, send):
    members = gated(backends, 3)
    server = httpd(site(with_routes(members)), processes=4)
    assert shown(server, "in_flight") == {"node1": 0, "node2": 0, "node3": 0}
    hold(send, server, members[0], times=2)
    hold(send, server, members[1])
    assert shown(server, "in_flight") == {"node1": 2, "node2": 1, "node3": 0}
    members[0].gate.set()
    wait_until(lambda: in_flight(server) == {"node2": 1}, "the first member has answered")
    assert shown(server, "in_flight") == {"node1": 0, "node2": 1, "node3": 0}


class Scripted:
    """A member that waits for its gate and then sends what it is told to, byte for byte, and closes the connection."""

    name = "backend1"

    def __init__(self, cleanup):
        scripted = self
        self.requests, self.gate, self.answer = [], threading.Event(), b""

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                scripted.requests.append(self.request.recv(1 << 16))
                scripted.gate.wait(60)
                self.request.sendall(scripted.answer)
                while scripted.answer == FOREVER:
                    self.request.sendall(bytes(1 << 16))

        class Quiet(Listener):
            def handle_error(self, *_):
                pass  # httpd may close the connection first

        listener = Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        cleanup.callback(listener.server_close)
        cleanup.callback(listener.shutdown)
        cleanup.callback(self.gate.set)
        self.port = listener.server_address[1]


OK = b"HTTP/1.1 200 OK\r\n"
FOREVER = OK + b"\r\n"

# What a member sends before it closes the connection: (the bytes, what is asked with).
ENDINGS = {
    "an answer": (OK + b"Content-Length: 2\r\n\r\nok", ()),
    "an answer that the end of the connection ends": (OK + b"\r\nok", ()),
    "an answer to HEAD": (OK + b"Content-Length: 2\r\n\r\n", ("--head",)),
    "an answer to OPTIONS": (OK + b"Content-Length: 0\r\n\r\n", ("--request", "OPTIONS")),
    "an answer to POST": (OK + b"Content-Length: 2\r\n\r\nok", ("--data", "a=b")),
    "an interim answer and another": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", ()),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n", ()),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\n\r\n", ()),
    "an error of the application": (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", ()),
    "503": (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", ()),
    "nothing": (b"", ()),
    "nothing to POST": (b"", ("--data", "a=b")),
    "what is no HTTP": (b"oops\n\n", ()),
    "a header that is none": (OK + b"oops\r\nContent-Length: 2\r\n\r\nok", ()),
    "half a status line": (b"HTTP/1.1 2", ()),
    "half a body": (OK + b"Content-Length: 1000\r\n\r\nhalf", ()),
    "half a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n100\r\nhalf", ()),
    "a chunk that is none": (OK + b"Transfer-Encoding: chunked\r\n\r\noops\r\n", ()),
}
BROKEN_ANSWER = [*BACKEND_IS_DOWN, r"bad HTTP/1.1 header", r"AH01110: (error|Network error) reading response",
                 r"AH01106|AH01107|AH01124|AH10053|AH0\d+: .*(malformed|invalid|Unable to read|chunk|header)"]


def test_a_request_is_in_flight_until_it_has_ended_however_it_ends(httpd, cleanup, send):
    member = Scripted(cleanup)
    server = httpd(site([f"http://127.0.0.1:{member.port} route=node1"]), expected=BROKEN_ANSWER)
    for ending, (answer, arguments) in ENDINGS.items():
        member.answer = answer
        member.gate.clear()
        [request] = hold(send, server, member, *arguments)
        assert in_flight(server) == {"node1": 1}, ending
        member.gate.set()
        request.answer()
        all_have_ended(server)
    [worker] = server.report()["workers"]
    assert worker["requests"]["route"] == len(member.requests)


def test_a_request_whose_client_has_gone_is_in_flight_as_long_as_its_member_works(httpd, backends, send):
    [member] = gated(backends, 1)
    server = httpd(site(with_routes([member])))
    [request] = hold(send, server, member)
    request.abort()
    assert in_flight(server) == {"node1": 1}
    member.gate.set()
    all_have_ended(server)


def test_an_answer_without_end_is_in_flight_until_its_client_goes(httpd, cleanup, send):
    member = Scripted(cleanup)
    member.answer = FOREVER
    server = httpd(site([f"http://127.0.0.1:{member.port} route=node1"]))
    [request] = hold(send, server, member)
    member.gate.set()
    request.curl.stdout.read(1 << 20)
    assert in_flight(server) == {"node1": 1}
    request.abort()
    all_have_ended(server)


def test_a_request_that_fails_over_is_in_flight_where_it_is_asked_now(httpd, backends, cleanup, send):
    """By AJP a request may go elsewhere that a member took and did not answer."""
    first, [second] = Scripted(cleanup), gated(backends, 1)
    second.name = "backend2"
    server = httpd(site([f"ajp://127.0.0.1:{first.port} route=node1", f"{second.url} route=node2"]),
                   modules=["proxy_ajp"], expected=[*BACKEND_IS_DOWN, r"AH0\d+: ajp_|AH0\d+: read response failed"])
    [request] = hold(send, server, first)
    assert in_flight(server) == {"node1": 1}
    first.gate.set()
    wait_until(lambda: second.requests, "the other member is asked")
    assert in_flight(server) == {"node2": 1}
    second.gate.set()
    assert (request.answer().status, request.curl.returncode) == (200, 0)
    all_have_ended(server)


def test_a_request_whose_member_cannot_be_connected_to_is_in_flight_at_the_next_one(httpd, backends, send):
    dead, living = backends(1)[0], gated(backends, 1)[0]
    dead.stop()
    server = httpd(site(with_routes([dead, living])), expected=BACKEND_IS_DOWN)
    hold(send, server, living, cookie=f"{SESSION}.node1")
    assert in_flight(server) == {"node2": 1}
    living.gate.set()
    all_have_ended(server)


def test_a_request_whose_member_takes_too_long_has_ended(httpd, backends):
    [member] = gated(backends, 1)
    server = httpd("ProxyTimeout 1\n" + site(with_routes([member])), expected=BROKEN_ANSWER)
    assert server.curl("/slow").status in (502, 504)
    all_have_ended(server)


def test_a_request_that_nobody_can_serve_is_in_flight_nowhere(httpd, backends):
    a, b = backends(2)
    members = [f"{a.url} route=node1 status=+D", f"{b.url} route=node2 retry=600"]
    server = httpd(site(members, "lbmethod=sticky nofailover=On"), expected=BACKEND_IS_DOWN + UNAVAILABLE)
    b.stop()
    for cookie in (None, SESSION, f"{SESSION}.node1", f"{SESSION}.node2"):
        assert server.curl(cookie=cookie).status == 503
        assert in_flight(server) == {}


def test_a_page_for_an_error_is_in_flight_where_it_comes_from(httpd, backends, send):
    application, pages = gated(backends, 2)
    application.status = 404
    server = httpd(site([f"{pages.url} route=node2"], name="pages", path="/slow-pages")
                   + site([f"{application.url} route=node1"])
                   + "ProxyErrorOverride On\nErrorDocument 404 /slow-pages\n")
    [request] = hold(send, server, application)
    assert (in_flight(server), in_flight(server, "pages")) == ({"node1": 1}, {})
    pages.gated = "/"
    application.gate.set()
    wait_until(lambda: pages.requests, "the page is asked for")
    assert (in_flight(server), in_flight(server, "pages")) == ({}, {"node2": 1})
    pages.gate.set()
    assert request.answer().body == "backend2"
    all_have_ended(server, "pages")


def test_a_request_within_another_is_in_flight(httpd, backends, open_folder, send):
    [member] = gated(backends, 1)
    page = open_folder / "page.shtml"
    page.write_text('<!--#include virtual="/fast" --> <!--#include virtual="/slow" -->')
    server = httpd(f"""
        ProxyPass /page !
        Alias /page {page}
        <Directory {open_folder}>
            Options +Includes
            SetOutputFilter INCLUDES
            Require all granted
        </Directory>""" + site(with_routes([member])), modules=["include"])
    [request] = hold(send, server, member, path="/page")[-1:]
    wait_until(lambda: len(member.requests) == 2, "the member has the second request")
    assert in_flight(server) == {"node1": 1}
    member.gate.set()
    assert request.answer().body == "backend1 backend1"
    all_have_ended(server)


def test_virtual_hosts_that_share_a_balancer_tell_the_same_number_of_their_members(httpd, backends, send):
    members = gated(backends, 2)
    lines = "\n".join(f"BalancerMember {line}" for line in with_routes(members))
    ports = free_port(), free_port()
    hosts = "".join(f"""
        Listen 127.0.0.1:{port}
        <VirtualHost *:{port}>
            ServerName example.com
            ProxyPass / balancer://mycluster/
        </VirtualHost>""" for port in ports)
    server = httpd(STATUS + f"""
        <Proxy "balancer://mycluster">
            {lines}
            ProxySet lbmethod=sticky stickysession=JSESSIONID
        </Proxy>""" + hosts, processes=4)
    one, two = (server.at(port) for port in ports)
    hold(send, one, members[0])
    hold(send, two, members[0])
    hold(send, two, members[1])
    for host in ("", *(f"example.com:{port}" for port in ports)):
        assert in_flight(server, host=host) == {"node1": 2, "node2": 1}
    for member in members:
        member.gate.set()
    all_have_ended(server)


# -- Processes that end -----------------------------------------------------------------------------------------------


def holders(server):
    """Which process has each of the requests so far."""
    return [pid for pid, _, _ in server.choices()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=lambda number: number.name)
def test_what_a_process_was_serving_that_is_killed_is_not_in_flight_any_more(httpd, backends, send, number):
    members = gated(backends, 2)
    # A sanitizer would report SIGSEGV as a bug.
    sanitizer = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:handle_segv=0"}
    server = httpd(ROOM + site(with_routes(members)), processes=4, expected=SEGFAULT, environment=sanitizer)
    hold(send, server, members[0])
    while len(set(holders(server))) < 2:
        hold(send, server, members[1])
    killed = holders(server)[-1]
    held = collections.Counter(f"node{1 + bool(i)}" for i, pid in enumerate(holders(server)) if pid != killed)
    assert sum(in_flight(server).values()) == len(holders(server))
    os.kill(killed, number)
    wait_until(lambda: in_flight(server) == held, "those of the killed process are gone", seconds=10)
    assert shown(server, "in_flight") == {"node1": 0, "node2": 0, **held}
    for member in members:
        member.gate.set()
    all_have_ended(server)


def test_requests_of_the_generation_before_are_in_flight_until_they_have_ended(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(ROOM + site(with_routes(members)), processes=5)
    old = server.children()
    requests = hold(send, server, members[0]) + hold(send, server, members[1])
    for _ in range(2):
        server.graceful()
    wait_until(lambda: len(server.children() - old) >= 2, "there are new processes")
    hold(send, server, members[1])
    assert shown(server, "in_flight") == {"node1": 1, "node2": 2}
    members[0].gate.set()
    assert requests[0].answer().status == 200
    wait_until(lambda: in_flight(server) == {"node2": 2}, "the first member has answered")
    members[1].gate.set()
    all_have_ended(server)


def test_a_process_of_the_generation_before_that_is_killed_takes_its_own_with_it(httpd, backends, send):
    [member] = gated(backends, 1)
    server = httpd(ROOM + site(with_routes([member])), processes=4)
    hold(send, server, member)
    old = holders(server)[0]
    server.graceful()
    wait_until(lambda: server.bodies(1) and server.choices()[-1][0] != old, "another process serves")
    while holders(server)[-1] == old:
        hold(send, server, member)
    left = sum(number for number in in_flight(server).values())
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: in_flight(server).get("node1", 0) < left, "those of the killed process are gone", seconds=10)
    member.gate.set()
    all_have_ended(server)


def test_over_a_graceful_restart_the_numbers_stay_with_their_members(httpd, backends, send):
    """Members change their places, one is taken out and others come, while each has requests."""
    members = gated(backends, 5)
    lines = with_routes(members)
    server = httpd(ROOM + site(lines[:3], "lbmethod=sticky growth=2"), processes=5)
    hold(send, server, members[0])
    hold(send, server, members[1])
    hold(send, server, members[2])

    def are(expected):
        wait_until(lambda: in_flight(server) == expected and len(server.report()["workers"]) == len(server.state()),
                   f"{expected} are in flight")

    for order in ([2, 0, 1], [3, 2, 4, 0], [0, 2]):
        server.configure(ROOM + site([lines[n] for n in order], "lbmethod=sticky growth=2"))
        server.graceful()
        are({f"node{n + 1}": 1 for n in sorted(order) if n < 3})
    members[0].gate.set()
    are({"node3": 1})
    members[2].gate.set()
    all_have_ended(server)
    # They are counted, also the one that a process of the first generation has of a member which is no more.
    members[1].gate.set()
    wait_until(lambda: requests_in(server.report()) == {("route", name): 1 for name in ("node1", "node3", "gone")},
               "each request is counted once")


def test_a_member_that_the_manager_adds_has_its_own_number(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(ROOM + site(with_routes(members[:1]), "lbmethod=sticky growth=1"), processes=4)
    server.manager("mycluster", b_wyes="1", b_nwrkr=members[1].url)
    server.manager("mycluster", members[1].url, w_status_D="0", w_wr="node2")
    hold(send, server, members[0])
    hold(send, server, members[1], times=2)
    assert shown(server, "in_flight") == {"node1": 1, "node2": 2}
    for member in members:
        member.gate.set()
    all_have_ended(server)


def test_members_that_two_virtual_hosts_managers_add_have_a_number_each(httpd, backends, send):
    """Each copy of a balancer gives the next slot to its own."""
    first, *added = gated(backends, 3)
    port = free_port()
    host = (f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nServerName other.example\n"
            "ProxyPass /balancer-manager !\nProxyPass /lbsticky-status !\nProxyPass / balancer://mycluster/\n"
            "</VirtualHost>\n")
    server = httpd(ROOM + site(with_routes([first]), "lbmethod=sticky growth=2") + host, processes=1)
    for at, member, times in ((server, added[0], 1), (server.at(port), added[1], 2)):
        at.manager("mycluster", b_wyes="1", b_nwrkr=member.url)
        at.manager("mycluster", member.url, w_status_D="0", w_wr=member.name.replace("backend", "node"))
        hold(send, at, member, times=times)
    told = server.curl("/lbsticky-status").body
    for member, number in zip(added, (1, 2), strict=True):
        numbers = re.findall(rf'^lbsticky_in_flight{{.*worker="{member.url}"}} (\d+)$', told, re.MULTILINE)
        assert numbers and set(numbers) == {str(number)}
    for member in added:
        member.gate.set()
    all_have_ended(server)


def test_the_number_is_right_again_where_that_of_httpd_is_not(httpd, backends, send):
    """httpd's Busy keeps for ever what a killed process was serving."""
    [member] = gated(backends, 1)
    server = httpd(ROOM + site(with_routes([member])), processes=3)
    hold(send, server, member)
    os.kill(holders(server)[0], signal.SIGKILL)
    all_have_ended(server)
    assert [(worker["busy"], worker["in_flight"]) for worker in server.report()["workers"]] == [(1, 0)]


# -- All at once ------------------------------------------------------------------------------------------------------


STRESS = int(os.environ.get("LBSTICKY_STRESS", "12000"))  # requests; by hand it may be some hundred thousand
COOKIES = [None, SESSION, *(f"{SESSION}.node{number}" for number in (1, 2, 3, 4))]  # of a client each
AT_ONCE = 6  # requests of a client


def load(server, count, cookie):
    """[(status code, URL of the member)] of so many requests; the code is 000 where there was no answer."""
    command = ["curl", "--silent", "--no-progress-meter", "--max-time", "60", "--no-keepalive", "--header",
               "Connection: close", "--parallel", "--parallel-immediate", "--parallel-max", str(AT_ONCE), "--output",
               "/dev/null", "--write-out", "%{http_code} %header{x-worker}\n",
               *(["--cookie", cookie] if cookie else [])]
    result = subprocess.run(command + [f"{server.url}/?n=[1-{count}]"], capture_output=True, text=True)
    return [tuple(line.split(" ")) for line in result.stdout.splitlines()]


def load_while(server, count, *changes):
    """{(status code, URL of the member): number} of so many requests, while these changes are made again and again and
    the numbers in flight are such as can be."""
    done, seen = threading.Event(), []

    def change():
        while not done.is_set():
            for make in changes:
                make()
                status = server.curl("/lbsticky-status", "--retry", "9", "--retry-all-errors", "--retry-delay", "1")
                seen.extend(map(int, re.findall(r"^lbsticky_in_flight{.*} (\S+)$", status.body, re.MULTILINE)))

    with concurrent.futures.ThreadPoolExecutor(len(COOKIES) + 1) as threads:
        changing = threads.submit(change)
        told = list(threads.map(lambda cookie: load(server, count // len(COOKIES), cookie), COOKIES))
        done.set()
        changing.result()
    assert 0 < max(seen) <= AT_ONCE * len(COOKIES) * 4  # below 0 would be above 65,000
    told = collections.Counter(answer for some in told for answer in some)
    assert sum(told.values()) == count // len(COOKIES) * len(COOKIES)
    return told


class Members:
    """So many members, in an httpd of their own: they answer 204, and have a line in a log for each answer."""

    def __init__(self, httpd, count):
        self.ports = [free_port() for _ in range(count)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        self.server = httpd(self.site(self.ports), mpm="event", log_level="warn", expected=SEGFAULT)

    def site(self, ports):
        return 'KeepAlive Off\nLogFormat "%>s" status\n' + "".join(f"""
            Listen 127.0.0.1:{port}
            <VirtualHost 127.0.0.1:{port}>
                Redirect 204 /
                CustomLog {port}.log status
            </VirtualHost>""" for port in ports)

    def only(self, count):
        """The first ones go on, the others refuse connections from now on. What they have begun they all answer."""
        self.server.configure(self.site(self.ports[:count]))
        self.server.graceful()

    @contextlib.contextmanager
    def paused(self):
        """Meanwhile they answer nobody."""
        os.killpg(self.server.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.server.process.pid, signal.SIGCONT)

    def answered(self):
        """{URL: number of requests} so far; waits until all are answered."""
        self.server.process.send_signal(signal.SIGWINCH)
        self.server.process.wait(20)
        logs = [self.server.folder / f"{port}.log" for port in self.ports]
        with self.server.another_start():
            self.server.start()
        return {url: log.read_text().split().count("204") for url, log in zip(self.urls, logs, strict=True)}


def counted(server):
    """{URL of the member, or "gone": number of requests}"""
    report = server.report()
    numbers = {worker["url"]: sum(worker["requests"].values()) for worker in report["workers"]}
    return collections.Counter({**numbers, "gone": sum(report["gone"]["requests"].values())})


def difference(one, other):
    """By how much two Counters differ."""
    return ((one - other) + (other - one)).total()


@pytest.mark.timeout(STRESS / 100)
def test_after_much_traffic_nothing_is_in_flight_and_every_request_was_counted_once(httpd):
    """One member is drained and taken out of the configuration again and again, another leaves and comes back, one is
    dead, and httpd is restarted; then its processes are killed as well, and then without the restarts."""
    members = Members(httpd, 3)
    drained = members.urls[0]
    lines = [f"{url} route=node{number} retry=0"
             for number, url in enumerate([*members.urls, f"http://127.0.0.1:{free_port()}"], 1)]
    server = httpd(ROOM + site(lines), processes=4, log_level="warn",
                   expected=[*BROKEN_ANSWER, r"AH0\d+: .*(scoreboard|long lost child)"])
    told, killed = collections.Counter(), []

    def drain(on):
        def is_so():
            server.manager("mycluster", drained, w_status_N="1" if on else "0")
            return ("node1" in draining(server)) == on
        # It may be a process of the generation before that is told, and asked.
        wait_until(is_so, "it is draining, or not")

    def restart_with(lines):
        server.configure(ROOM + site(lines))
        server.graceful()

    def kill():
        wait_until(lambda: len(server.children()) > 2, "there are enough processes")
        with members.paused():
            time.sleep(0.1)  # clients ask on, so that it has something in flight
            killed.append(min(server.children()))
            os.kill(killed[-1], signal.SIGKILL)

    def check():
        """Of each member, what clients were told, what it answered and what was counted is the same; but for requests
        that a killed process took with it, which may or may not have been answered, or counted."""
        by_clients, by_members = collections.Counter(), collections.Counter(members.answered())
        all_have_ended(server)
        assert set(shown(server, "in_flight").values()) == {0}
        lost = told["000", ""]
        assert lost <= AT_ONCE * len(COOKIES) * len(killed)
        for (code, url), number in told.items():
            by_clients[url] += number if code != "000" else 0
            # The member left before it could answer. Who is asked in vain and not the last has no part in a request.
            by_members[url] += number if code in ("502", "503") else 0
        requests = counted(server)
        requests[drained] += requests.pop("gone")
        assert by_clients <= requests
        assert difference(requests, by_clients) <= lost
        assert difference(requests, by_members) <= lost

    def and_kill(changes):
        return [step for change in changes for step in (change, kill)]

    changes = [lambda: drain(True), lambda: members.only(2), lambda: members.only(3), lambda: drain(False)]
    restarts = [server.graceful, lambda: restart_with(lines[1:]), lambda: restart_with(lines)]
    # In the end without restarts, which clear what an ended process has left.
    for phase in (changes + restarts, and_kill(changes + restarts), and_kill(changes)):
        told += load_while(server, STRESS // 3, *phase)
        check()
    assert len(killed) >= len(2 * changes + restarts)
