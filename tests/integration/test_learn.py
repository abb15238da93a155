"""route=learn: the balancer remembers which member gave an id that cannot carry a route."""

from application import Application
from server import STATUS, Client, cluster

LEARN = "LBStickySession PHPSESSID route=learn\n"


def test_the_next_request_finds_the_member_that_gave_the_id(httpd, tmp_path):
    applications = [Application("PHP", f"node{number}") for number in (1, 2)]
    server = httpd(STATUS + cluster(*[f"{one.url} route={one.route}" for one in applications], more=LEARN))
    clients = [Client(tmp_path, f"jar{n}") for n in range(10)]
    for number in range(1, 4):
        assert [client.curl(server).body for client in clients] == [str(number)] * 10
    assert [choice[1] for choice in server.choices()] == ["new"] * 10 + ["learned"] * 20
    assert server.report()["learned"]["sessions"] == 10
