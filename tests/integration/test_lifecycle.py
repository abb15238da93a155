"""What becomes of a member over time: one story, whoever changed it, whoever tells it, restarts included."""

import re
import xml.etree.ElementTree

from server import STATUS, cluster, wait_until, with_routes
from test_graceful_restart import restart
from test_state import LAST_STICKY, STATUS_COLUMN, TAG, column_of
from test_virtual_hosts import in_two_hosts


def site(members, settings="lbmethod=sticky", more="LBStickySession JSESSIONID", **options):
    return STATUS + cluster(*members, settings=settings, more=more, **options)


def draining(server):
    """{route of the member: seconds since it began to drain}, of those that are draining."""
    return {worker["route"]: worker["draining_seconds"] for worker in server.report()["workers"]
            if worker["draining_seconds"] is not None}


def drain(server, member, on=True):
    assert server.manager("mycluster", member.url, w_status_N="1" if on else "0").status == 200


def test_a_drain_has_a_beginning_which_all_processes_and_pages_know(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members)), processes=4)
    assert draining(server) == {}
    drain(server, members[0])
    wait_until(lambda: draining(server)["node1"] >= 2, "two seconds are over")
    # Each process tells one that grows: none begins it anew.
    ages = server.in_every_process(lambda: [server.bodies(4) and draining(server)["node1"]])
    assert ages == sorted(ages) and ages[0] >= 2
    metrics = server.curl("/lbsticky-status").body
    assert re.search(rf'lbsticky_draining_seconds{{.*"{members[0].url}"}} [1-9]', metrics)
    assert re.search(rf'lbsticky_draining_seconds{{.*"{members[1].url}"}} 0$', metrics, re.MULTILINE)
    page = xml.etree.ElementTree.fromstring(server.manager_page("?xml=1"))
    in_page = [int(entry.findtext(f"{TAG}draining_seconds") or 0) for entry in page.iter(f"{TAG}member")]
    assert in_page[0] >= 2 and in_page[1] == 0
    assert re.fullmatch(r"draining for \d+ s", column_of(server.manager_page(), STATUS_COLUMN)[members[0].url])
    assert column_of(server.manager_page(), LAST_STICKY)[members[0].url] == "never"


def test_it_is_forgotten_when_the_member_drains_no_more(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members)))
    drain(server, members[0])
    before = wait_until(lambda: draining(server)["node1"] > 3 and draining(server)["node1"], "some seconds are over")
    drain(server, members[0], on=False)
    assert draining(server) == {}
    drain(server, members[0])
    assert draining(server)["node1"] < before


def test_it_outlives_graceful_restarts_as_long_as_the_drain_does(httpd, backends):
    members = backends(2)
    server = httpd("BalancerPersist On\n" + site(with_routes(members)), processes=3)
    drain(server, members[0])
    wait_until(lambda: draining(server)["node1"] >= 2, "two seconds are over")
    for _ in range(2):
        server.graceful()
        ages = server.in_every_process(lambda: [server.bodies(4) and draining(server)["node1"]])
        assert min(ages) >= 2


def test_a_drain_that_a_restart_ends_is_over(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members)))
    drain(server, members[0])
    assert draining(server).keys() == {"node1"}
    restart(server, site(with_routes(members)))
    assert draining(server) == {}


def test_the_configuration_drains_too_and_its_restarts_do_not_begin_it_anew(httpd, backends):
    one, two = with_routes(backends(2))
    server = httpd(site([f"{one} status=+N", two]))
    wait_until(lambda: draining(server)["node1"] >= 2, "two seconds are over")
    restart(server, site([f"{one} status=+N", f"{two} status=+N"]))
    ages = draining(server)
    assert ages["node1"] >= 2 and ages["node2"] < ages["node1"]
    restart(server, site([one, two]))
    assert draining(server) == {}


def test_virtual_hosts_that_share_a_member_tell_one_time(httpd, backends):
    one, two = with_routes(backends(2))
    hosts = in_two_hosts([f"{one} status=+N", two]).replace("<VirtualHost *>", f"<VirtualHost *>{STATUS}")
    server = httpd(hosts)

    def ages(name):
        page = server.curl("/lbsticky-status", "--header", f"Host: {name}").body
        return [int(age) for age in re.findall(r'^lbsticky_draining_seconds{.*"} (\d+)$', page, re.MULTILINE)]

    # The main server's balancer, and the virtual host's copy.
    wait_until(lambda: ages("one.example")[0] >= 2, "two seconds are over")
    [main, of_main, copy, of_copy] = ages("two.example")
    assert main >= 2 and copy in (main, main + 1) and (of_main, of_copy) == (0, 0)
