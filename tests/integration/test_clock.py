"""Somebody sets the clock back by an hour while httpd runs: what becomes of members and sessions goes by another one."""

import glob

from server import STATUS, cluster, wait_until, with_routes
from test_sessions_alive import alive, is_about

FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


class Clock:
    """The wall clock of an httpd, by libfaketime; it leaves the steady one as it is."""

    def __init__(self, path):
        self.path = path
        self.set("+0")
        path.chmod(0o644)
        path.parent.chmod(0o755)
        self.environment = {"LD_PRELOAD": FAKETIME[0], "FAKETIME_TIMESTAMP_FILE": str(path), "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset):
        self.path.write_text(offset)


def start(httpd, open_folder, members, more, expected=()):
    clock = Clock(open_folder / "clock")
    server = httpd(STATUS + cluster(*members, settings="lbmethod=sticky", more=f"LBStickySession JSESSIONID\n{more}"),
                   environment=clock.environment, expected=expected)
    return server, clock


def set_back(server, clock):
    """By an hour; and all processes have seen it."""
    before = hour(server)
    clock.set("-3600")
    wait_until(lambda: hour(server) != before, "the clock is set back")


def hour(server):
    return server.curl("/lbsticky-status").header("Date").split(":")[0]


def test_sessions_are_counted_and_a_drain_ends(httpd, backends, open_folder):
    members = backends(2)
    server, clock = start(httpd, open_folder, with_routes(members), "LBStickyDrain quiet=1s")
    for number in range(100):
        server.curl(cookie=f"JSESSIONID=before{number}.node1")
    server.manager("mycluster", members[1].url, w_status_N="1")
    set_back(server, clock)
    for number in range(100):
        server.curl(cookie=f"JSESSIONID=after{number}.node1")
    assert is_about(alive(server)["node1"], 200)
    server.curl(cookie="JSESSIONID=1.node2")
    asked = f"/lbsticky-status?drained=mycluster&member={members[1].url}"
    wait_until(lambda: server.curl(asked).body == "drained\n", "it is drained")


def test_who_starts_slowly_gets_its_whole_share(httpd, backends, open_folder):
    members = backends(2)
    server, clock = start(httpd, open_folder, with_routes(members), "LBStickySlowStart 1s")
    server.manager("mycluster", members[1].url, w_status_D="1")
    server.curl()
    server.manager("mycluster", members[1].url, w_status_D="0")
    server.curl()
    set_back(server, clock)
    wait_until(lambda: not any("recovering" in worker["status"] for worker in server.report()["workers"]),
               "it has recovered")
    assert sorted(server.bodies(4)) == ["backend1", "backend1", "backend2", "backend2"]
