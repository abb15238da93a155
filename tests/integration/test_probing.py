"""Whose retry= is over is tried by one request; everybody else goes on until that one has an answer."""

import concurrent.futures
import os
import re
import signal
import socket
import threading
import time

from server import BACKEND_IS_DOWN, STATUS, cluster, wait_until, with_routes
from test_in_flight import SERVER_STATUS, gated
from test_state import STATUS_COLUMN, column_of

CUT_OFF = BACKEND_IS_DOWN + [r"AH01110: error reading response"]


def site(members, settings="", more="LBStickySession JSESSIONID", **options):
    return STATUS + SERVER_STATUS + cluster(*members, settings=f"lbmethod=sticky {settings}", more=more, **options)


class Port:
    """A member's port on which somebody listens who says nothing."""

    def __init__(self, port):
        self.port = port
        self.held = []  # the connections
        self.listener = None

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        listener = self.listener
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.held.append(connection)

    def stop_listening(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        self.listener = None

    def __exit__(self, *_):
        self.stop_listening()
        for connection in self.held:
            connection.close()


def ids(count, route="node1"):
    return [f"JSESSIONID=id{number}.{route}" for number in range(count)]


class Sessions:
    """So many sessions of the first member, each of which sends one request after the other."""

    def __init__(self, server, count=50):
        self.server = server
        self.answers = []  # (seconds, member's name, affinity)
        self.is_over = threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        self.workers = [self.pool.submit(self.ask, ids(count)[number::8]) for number in range(8)]

    def ask(self, cookies):
        while not self.is_over.is_set():
            for cookie in cookies:
                begin = time.monotonic()
                answer = self.server.curl(cookie=cookie)
                self.answers.append((time.monotonic() - begin, answer.body, answer.affinity))

    def stop(self):
        self.is_over.set()
        for worker in self.workers:
            worker.result()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def attempts(server, url):
    """How many times requests were given to the member."""
    return sum(member == url for _, _, member in server.choices())


def take_down(server, member):
    """Nobody listens there any more, which a session of its, the first member's, has found out."""
    member.stop()
    server.curl(cookie=ids(1)[0])


def is_told(server, route):
    [worker] = [worker for worker in server.report()["workers"] if worker["route"] == route]
    return [word for word in worker["status"] if word != "usable"]


# -- a member that is down --------------------------------------------------------------------------------------------


def test_of_many_sessions_one_request_in_each_retry_period_goes_to_a_member_that_refuses(httpd, backends):
    members = backends(3)
    server = httpd(site(with_routes(members, "retry=2")), processes=4, expected=BACKEND_IS_DOWN)
    url = members[0].url
    server.curl(cookie=ids(1)[0])
    take_down(server, members[0])
    assert is_told(server, "node1") == ["in_error"]
    begin, before = time.monotonic(), attempts(server, url)
    with Sessions(server) as sessions:
        wait_until(lambda: attempts(server, url) - before >= 3, "it was tried three times")
        periods = (time.monotonic() - begin) / 2
    assert attempts(server, url) - before <= periods + 1
    assert {affinity for _, _, affinity in sessions.answers} == {"failover"}
    # They come back, all of them, when it does.
    members[0].start()
    wait_until(lambda: server.curl(cookie=ids(1)[0]).affinity == "route", "it is back")
    assert {(answer.body, answer.affinity) for answer in map(lambda cookie: server.curl(cookie=cookie), ids(50))} == {
        ("backend1", "route")}


def test_a_trial_of_before_a_graceful_restart_keeps_nobody_from_a_member_that_is_well_after_it(httpd, backends, send):
    members = backends(2)
    server = httpd(site(with_routes(members, "retry=1 timeout=30")), processes=2, expected=CUT_OFF)
    take_down(server, members[0])
    with Port(members[0].port) as silent:
        wait_until(lambda: send(server, "/", "--cookie", ids(1)[0]) and silent.held, "it is tried")
        assert is_told(server, "node1") == ["in_error", "probing"]
        silent.stop_listening()
        members[0].start()
        server.configure(site(with_routes(members, "retry=60 timeout=30")))
        server.graceful()
        wait_until(lambda: is_told(server, "node1") == [], "it serves")
        assert {server.curl(cookie=cookie).affinity for cookie in ids(20)} == {"route"}


def test_of_many_sessions_one_request_in_each_retry_period_goes_to_a_member_that_says_nothing(httpd, backends):
    members = backends(3)
    lines = with_routes(members, "retry=1 connectiontimeout=1 timeout=30")
    server = httpd(site(lines), processes=4, expected=CUT_OFF)
    take_down(server, members[0])
    with Port(members[0].port) as silent:
        begin = time.monotonic()
        with Sessions(server) as sessions:
            wait_until(lambda: len(silent.held) >= 3, "it was tried three times", seconds=30)
            tried, lasted = len(silent.held), time.monotonic() - begin
            # Each is given up after a second, and the next one comes after one more. Those who try wait on.
            assert tried <= lasted / 2 + 1
            sessions.is_over.set()
            wait_until(lambda: len([1 for _, name, _ in sessions.answers]) > 50, "the others have their answers")
            assert {affinity for _, _, affinity in sessions.answers} == {"failover"}
            assert {name for _, name, _ in sessions.answers} <= {"backend2", "backend3"}
            for connection in silent.held:
                connection.close()
    members[0].start()
    wait_until(lambda: server.curl(cookie=ids(1)[0]).affinity == "route", "it is back")
    assert {server.curl(cookie=cookie).affinity for cookie in ids(50)} == {"route"}


def test_while_one_request_waits_for_its_answer_the_others_go_on_and_then_all_come_back(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(site(with_routes(members, "retry=1")), processes=4, expected=BACKEND_IS_DOWN)
    take_down(server, members[0])
    members[0].start()
    trial = None

    def is_tried():
        nonlocal trial
        trial = send(server, "/slow", cookie=ids(1)[0])
        wait_until(lambda: trial.curl.poll() is not None or members[0].requests, "it goes to one of them")
        return bool(members[0].requests)

    members[1].gate.set()
    wait_until(is_tried, "somebody tries it")
    assert is_told(server, "node1") == ["in_error", "probing"]
    answers = [server.curl(cookie=cookie) for cookie in ids(20)]
    assert {(answer.body, answer.affinity) for answer in answers} == {("backend2", "failover")}
    assert set(server.bodies(4)) == {"backend2"}  # new ones too
    assert len(members[0].requests) == 1
    status = column_of(server.manager_page(), STATUS_COLUMN)[members[0].url]
    assert re.fullmatch(r"in error for \d+ s, probing by one request", status)
    assert f'worker="{members[0].url}",status="probing"}} 1' in server.curl("/lbsticky-status").body
    assert "StickyBalancer[0]Probing: 1\n" in server.curl("/server-status?auto").body

    members[0].gate.set()
    assert trial.answer().affinity == "route"
    answers = server.in_every_process(lambda: [server.curl(cookie=cookie) for cookie in ids(6)])
    assert {(answer.body, answer.affinity) for answer in answers} == {("backend1", "route")}
    assert is_told(server, "node1") == []


def test_an_answer_counts_from_its_header_on(httpd, backends, cleanup):
    members = backends(2)
    server = httpd(site(with_routes(members, "retry=1")), processes=3, expected=CUT_OFF)
    take_down(server, members[0])
    with Port(members[0].port) as port:
        sent = []

        def is_tried():
            sent.append(cleanup.enter_context(Stream(server, ids(1)[0])))
            wait_until(lambda: port.held or sent[-1].has_answer(), "it goes to one of them")
            return port.held
        wait_until(is_tried, "somebody tries it")
        assert is_told(server, "node1") == ["in_error", "probing"]
        port.held[0].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        wait_until(lambda: is_told(server, "node1") == [], "it is back, though the answer is not at its end")


class Stream:
    """A request whose answer is read as it comes."""

    def __init__(self, server, cookie):
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode())

    def has_answer(self):
        self.socket.setblocking(False)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.socket.setblocking(True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def test_a_new_session_tries_it_too_and_no_session_of_another_member_does(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members, "retry=1")), expected=BACKEND_IS_DOWN)
    take_down(server, members[0])
    members[0].start()
    time.sleep(1.2)  # retry= is over
    assert {server.curl(cookie=cookie).body for cookie in ids(10, "node2")} == {"backend2"}
    assert is_told(server, "node1") == ["in_error"]
    assert server.bodies(1) == ["backend1"]
    assert is_told(server, "node1") == []


def test_a_hashed_session_tries_the_member_that_it_belongs_to(httpd, backends):
    members = backends(3)
    server = httpd(site(with_routes(members, "retry=1")), expected=BACKEND_IS_DOWN)
    of_one = [f"JSESSIONID=id{n}" for n in range(40) if server.curl(cookie=f"JSESSIONID=id{n}").body == "backend1"]
    members[0].stop()
    assert server.curl(cookie=of_one[0]).affinity == "failover"
    members[0].start()
    wait_until(lambda: server.curl(cookie=of_one[0]).affinity == "hash", "it is back")
    assert {server.curl(cookie=cookie).body for cookie in of_one} == {"backend1"}


def test_who_fails_the_trial_is_served_elsewhere(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members, "retry=1")), expected=BACKEND_IS_DOWN)
    take_down(server, members[0])
    time.sleep(1.2)  # retry= is over
    answer = server.curl(cookie=ids(1)[0])
    assert (answer.status, answer.body, answer.affinity) == (200, "backend2", "failover")
    assert attempts(server, members[0].url) == 2
    assert is_told(server, "node1") == ["in_error"]


def test_the_first_of_the_members_is_tried_by_one_request_too(httpd, backends):
    """mod_proxy_balancer lets it serve by itself, as soon as its time is over, with any request."""
    members = backends(3)
    server = httpd(site(with_routes(members, "retry=1")), processes=3, expected=BACKEND_IS_DOWN)
    take_down(server, members[0])
    time.sleep(1.2)
    assert {server.curl(cookie=cookie).body for cookie in ids(20, "node2")} == {"backend2"}
    assert is_told(server, "node1") == ["in_error"]


# -- what it leaves alone ---------------------------------------------------------------------------------------------


def test_with_retry_0_each_request_asks_the_member(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members, "retry=0")), expected=BACKEND_IS_DOWN)
    members[0].stop()
    for _ in range(5):
        assert server.curl(cookie=ids(1)[0]).affinity == "failover"
    assert attempts(server, members[0].url) == 5
    members[0].start()
    assert server.curl(cookie=ids(1)[0]).affinity == "route"


def test_where_nobody_else_can_serve_all_go_to_the_member_that_is_tried(httpd, backends, send):
    members = gated(backends, 2)
    lines = with_routes(members, "retry=1")
    server = httpd(site([lines[0], f"{lines[1]} status=+D"], settings="forcerecovery=Off"), processes=4,
                   expected=BACKEND_IS_DOWN + [r"All workers are in error state"])
    members[0].stop()
    assert server.curl(cookie=ids(1)[0]).status == 503
    members[0].start()
    time.sleep(1.2)
    trial = send(server, "/slow", cookie=ids(1)[0])
    wait_until(lambda: members[0].requests, "it is tried")
    for cookie in (None, *ids(3)):
        assert server.curl(cookie=cookie).body == "backend1"
    members[0].gate.set()
    assert trial.answer().status == 200


def test_a_trial_whose_process_was_killed_is_over_by_and_by(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(site(with_routes(members, "retry=1 connectiontimeout=1")), processes=3,
                   expected=BACKEND_IS_DOWN + [r"exit signal Killed"])
    take_down(server, members[0])
    members[0].start()
    members[1].gate.set()
    sent = []

    def is_tried():
        sent.append(send(server, "/slow", cookie=ids(1)[0]))
        wait_until(lambda: sent[-1].curl.poll() is not None or members[0].requests, "it goes to one of them")
        return members[0].requests
    wait_until(is_tried, "somebody tries it")
    [pid] = {pid for pid, _, member in server.choices()[-1:] if member == members[0].url}
    os.kill(pid, signal.SIGKILL)
    members[0].gate.set()
    wait_until(lambda: server.curl(cookie=ids(1)[0]).affinity == "route", "another one has tried it")
