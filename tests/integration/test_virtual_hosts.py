"""<Proxy> outside and ProxyPass inside <VirtualHost>, as nearly every tutorial and Debian's sites-available have it: a
virtual host's balancer takes lbmethod=sticky from the main server's balancer that it inherits from, unless the virtual
host names a method itself."""

import collections
import json
import re
import xml.etree.ElementTree

import pytest

from server import MANAGER, STATUS, tutorial, wait_until

MODULES = ["lbmethod_bybusyness", "macro"]
SESSION = "JSESSIONID=12345"
STICKY = "lbmethod=sticky stickysession=JSESSIONID"
PASS = "ProxyPass / balancer://mycluster/"


def section(*lines, name='Proxy "balancer://mycluster"'):
    return "\n".join([f"<{name}>", *lines, f"</{name.split()[0]}>", ""])


MEMBERS = "BalancerMember http://one route=node1\nBalancerMember http://two route=node2"
OUTSIDE = section(MEMBERS, f"ProxySet {STICKY}")


def host(*lines, name="example.com"):
    return section(f"ServerName {name}", *lines, name="VirtualHost *")


def in_two_hosts(members, *more):
    """The members outside of two virtual hosts, one.example and two.example, that pass everything to them."""
    return (section(*(f"BalancerMember {member}" for member in members), f"ProxySet {STICKY}", *more)
            + host(PASS, name="one.example") + host(PASS, name="two.example"))


@pytest.fixture
def started(httpd, backends):
    """started(configuration, **options): httpd with the manager's page, and with real members for those of MEMBERS."""
    one, two = backends(2)

    def with_members(configuration):
        return MANAGER + STATUS + configuration.replace("http://one", one.url).replace("http://two", two.url)

    def start(configuration, **options):
        server = httpd(with_members(configuration), modules=MODULES, **options)
        server.reconfigure = lambda changed: server.configure(with_members(changed))
        return server

    return start


# Where every virtual host of these tests has its application; what else there is may be httpd's own.
APP = "/app/"


def ask(server, name="example.com"):
    return server.curl(APP, "--header", f"Host: {name}", cookie=SESSION)


def bodies(server, count, name="example.com", **options):
    return server.bodies(count, "--header", f"Host: {name}", path=APP, **options)


def method(server, name="example.com", balancer="mycluster"):
    """What balancer-manager says of that virtual host's balancer, as XML."""
    page = server.curl("/balancer-manager?xml=1", "--referer", f"http://{name}/", "--header", f"Host: {name}").body
    httpds = "{http://httpd.apache.org}"
    [of_balancer] = [entry.findtext(f"{httpds}lbmethod")
                     for entry in xml.etree.ElementTree.fromstring(page).iter(f"{httpds}balancer")
                     if entry.findtext(f"{httpds}name") == f"balancer://{balancer}"]
    return of_balancer


# -- What a virtual host takes ----------------------------------------------------------------------------------------

INHERITED = {
    "ProxyPass": OUTSIDE + host(PASS),
    "ProxyPass in quotes": OUTSIDE + host('ProxyPass "/" "balancer://mycluster/"'),
    "ProxyPass with other parameters": OUTSIDE + host(f"{PASS} timeout=5 nofailover=Off"),
    "ProxyPassMatch": OUTSIDE + host('ProxyPassMatch "^/(.*)$" "balancer://mycluster/$1"'),
    "ProxyPass with a regular expression": OUTSIDE + host('ProxyPass ~ "^/(.*)$" "balancer://mycluster/$1"'),
    "ProxyPass in <Location>": OUTSIDE + host(section("ProxyPass balancer://mycluster/", name='Location "/app"')),
    "ProxyPassMatch in <LocationMatch>": OUTSIDE + host(
        section('ProxyPassMatch "balancer://mycluster/$1"', name='LocationMatch "^/app(.*)$"')),
    "a section whose name ends with a slash": section(
        MEMBERS, f"ProxySet {STICKY}", name='Proxy "balancer://mycluster/"') + host(PASS),
    "a section in capitals": section(MEMBERS, f"ProxySet {STICKY}", name="Proxy BALANCER://MyCluster") + host(PASS),
    "ProxyPass in capitals": OUTSIDE + host("ProxyPass / Balancer://MYCLUSTER/"),
    "the section behind the virtual host": host(PASS) + OUTSIDE,
    "ProxySet at the top level": section(MEMBERS) + f"ProxySet balancer://mycluster {STICKY}\n" + host(PASS),
    "parameters of the section": section(MEMBERS, name=f'Proxy "balancer://mycluster" {STICKY}') + host(PASS),
    "parameters of the main server's ProxyPass": (
        section(MEMBERS) + f"ProxyPass /main balancer://mycluster/ {STICKY}\n" + host("ProxyPassInherit Off", PASS)),
    "a section of its own without a method": OUTSIDE + host(section("ProxySet nofailover=On"), PASS),
    "a section of its own with members": OUTSIDE + host(section("BalancerMember http://127.0.0.1:1"), PASS),
    "ProxySet of its own without a method": OUTSIDE + host(PASS, "ProxySet balancer://mycluster timeout=5"),
    "the same method again": OUTSIDE + host(f"{PASS} lbmethod=sticky"),
    "a method of its own for another balancer": OUTSIDE + host(
        section("BalancerMember http://127.0.0.1:1", "ProxySet lbmethod=byrequests", name='Proxy "balancer://other"'),
        "ProxyPass /other balancer://other/ lbmethod=byrequests", PASS),
    "a method of its own for balancers of a like name": OUTSIDE + host(
        "ProxyPass /1 balancer://mycluster1/ lbmethod=byrequests", "ProxyPass /2 balancer://my/ lbmethod=byrequests",
        PASS),
    "a method that another virtual host names": (
        OUTSIDE + host(f"{PASS} lbmethod=byrequests", name="first") + host(PASS)
        + host(f"{PASS} lbmethod=byrequests", name="last")),
    "a variable": "Define CLUSTER mycluster\n" + OUTSIDE + host('ProxyPass / "balancer://${CLUSTER}/"'),
    "<IfModule> around the section": section(OUTSIDE, name="IfModule lbmethod_sticky_module") + host(PASS),
    "<IfModule> around the virtual host": OUTSIDE + section(host(PASS), name="IfModule lbmethod_sticky_module"),
    "<IfModule> in the virtual host": OUTSIDE + host(section(PASS, name="IfModule lbmethod_sticky_module")),
    "<IfDefine> around a method that does not hold": OUTSIDE + host(
        section(f"{PASS} lbmethod=byrequests", name="IfDefine NOTHING"), section(PASS, name="IfDefine !NOTHING")),
    "a macro around the virtual hosts": OUTSIDE + section(
        host("ProxyPass / balancer://mycluster/ $more", name="$name"), name="Macro Site $name $more")
        + "Use Site first lbmethod=byrequests\nUse Site example.com timeout=5\nUse Site last lbmethod=byrequests\n",
    "a macro in the virtual host": section(PASS, name="Macro Pass") + OUTSIDE + host("Use Pass"),
    "a macro around the section": section(OUTSIDE, name="Macro Cluster") + "Use Cluster\n" + host(PASS),
    "ProxyPass of the main server": OUTSIDE + PASS + "\n" + host(),
    "ProxyPass of the main server, with more of the virtual host's": OUTSIDE + PASS + "\n" + host(
        "ProxyPreserveHost On", "ProxyPass /more balancer://mycluster/"),
    "ProxyPassInherit Off": OUTSIDE + host("ProxyPassInherit Off", PASS),
    # httpd does inherit balancers then, as long as ProxyPassInherit is on.
    "BalancerInherit Off": OUTSIDE + host("BalancerInherit Off", PASS),
    "rewriting": OUTSIDE + host("RewriteEngine On", "RewriteRule ^/app/ balancer://mycluster/ [P]"),
    "rewriting, with another directive of mod_proxy": OUTSIDE + host(
        "ProxyPreserveHost On", "RewriteEngine On", "RewriteRule ^/app/ balancer://mycluster/ [P]"),
}


@pytest.mark.parametrize("configuration", INHERITED.values(), ids=INHERITED)
def test_a_virtual_host_is_sticky_by_the_main_servers_section_from_the_first_request_on(started, configuration):
    server = started(configuration)
    answers = [ask(server) for _ in range(6)]
    assert [answer.affinity for answer in answers] == ["hash"] * 6
    assert len({answer.body for answer in answers}) == 1
    assert [ask(server).body for _ in range(3)] == [answers[0].body] * 3
    assert method(server) == "sticky"
    server.graceful()
    assert (ask(server).affinity, ask(server).body) == ("hash", answers[0].body)


def test_the_virtual_hosts_manager_shows_the_method_and_what_stickiness_does_there(started):
    server = started(OUTSIDE + host(PASS))
    assert ask(server).affinity == "hash"
    page = server.manager_page()
    assert re.search(r"<td>sticky</td>", page) and "Last sticky request" in page


def test_included_files_are_read_as_if_they_stood_there(started, open_folder):
    files = {
        "cluster.conf": OUTSIDE,
        "pass.conf": PASS,
        "own.conf": f"{PASS} lbmethod=byrequests",
        "site1.conf": host(f"Include {open_folder}/pass.conf", name="one"),
        "site2.conf": host(f"Include {open_folder}/own.conf", name="two"),
        "site3.conf": host(f"Include {open_folder}/pass.conf", "ProxySet balancer://mycluster lbmethod=bybusyness",
                           name="three") + host(f"Include {open_folder}/pass.conf", name="four"),
    }
    for name, text in files.items():
        (open_folder / name).write_text(text)
    server = started(f"Include {open_folder}/site*.conf\nInclude {open_folder}/cluster.conf\n")
    assert {name: method(server, name) for name in ("one", "two", "three", "four")} == {
        "one": "sticky", "two": "byrequests", "three": "bybusyness", "four": "sticky"}


# -- What a virtual host says itself ----------------------------------------------------------------------------------

OWN = {
    "ProxyPass": (host(f"{PASS} lbmethod=byrequests"), "byrequests"),
    "ProxyPass in capitals": (host("proxypass / BALANCER://MyCluster/ LBMETHOD=bybusyness"), "bybusyness"),
    "ProxyPass in quotes": (host('ProxyPass "/" "balancer://mycluster/" "lbmethod=bybusyness"'), "bybusyness"),
    "ProxyPass behind other parameters": (host(f"{PASS} timeout=5 nocanon lbmethod=bybusyness"), "bybusyness"),
    "one of several ProxyPass": (
        host("ProxyPass /a balancer://mycluster/a lbmethod=bybusyness", PASS), "bybusyness"),
    "ProxyPassMatch": (host('ProxyPassMatch "^/(.*)$" balancer://mycluster/$1 lbmethod=bybusyness'), "bybusyness"),
    "ProxyPass with a regular expression": (
        host('ProxyPass ~ "^/(.*)$" balancer://mycluster/$1 lbmethod=bybusyness'), "bybusyness"),
    "ProxyPass in <Location>": (
        host(section("ProxyPass balancer://mycluster/ lbmethod=bybusyness", name="Location /app")), "bybusyness"),
    "ProxySet in a section of its own": (host(section("ProxySet lbmethod=bybusyness"), PASS), "bybusyness"),
    "ProxySet in a section in capitals, with a slash": (
        host(section("proxyset LBMethod=bybusyness", name="proxy Balancer://MYCLUSTER/"), PASS), "bybusyness"),
    "ProxySet in a section behind ProxyPass": (host(PASS, section("ProxySet lbmethod=bybusyness")), "bybusyness"),
    "ProxySet in <ProxyMatch>": (
        host(PASS, section("ProxySet lbmethod=bybusyness", name='ProxyMatch "balancer://mycluster"')), "bybusyness"),
    "ProxySet with the balancer's URL": (host(PASS, "ProxySet balancer://mycluster lbmethod=bybusyness"), "bybusyness"),
    "ProxySet with the balancer's URL, in <Location>": (
        host(PASS, section('ProxySet "Balancer://MyCluster/x" timeout=5 lbmethod=bybusyness', name="Location /x")),
        "bybusyness"),
    "parameters of a section": (
        host(section("ProxySet timeout=5", name='Proxy "balancer://mycluster" lbmethod=bybusyness'), PASS),
        "bybusyness"),
    "parameters of a section without quotes": (
        host(section(name="Proxy balancer://mycluster/ timeout=5 lbmethod=bybusyness"), PASS), "bybusyness"),
    "the default method": (host(section("ProxySet lbmethod=byrequests"), PASS), "byrequests"),
    "a variable": ("Define METHOD lbmethod=bybusyness\nDefine CLUSTER balancer://mycluster\n"
                   + host("ProxyPass / ${CLUSTER}/ ${METHOD}"), "bybusyness"),
    "<IfModule>": (host(section(section("ProxySet lbmethod=bybusyness"), name="IfModule mod_proxy.c"), PASS),
                   "bybusyness"),
    "<IfDefine> in the section": (
        host(section(section("ProxySet lbmethod=bybusyness", name="IfDefine !NOTHING")), PASS), "bybusyness"),
    "a macro": (section(f"{PASS} lbmethod=$method", name="Macro Pass $method") + host("Use Pass bybusyness"),
                "bybusyness"),
    # Then httpd inherits no balancers either: the members are the virtual host's own.
    "nothing, with BalancerInherit and ProxyPassInherit Off": (
        host("BalancerInherit Off", "ProxyPassInherit Off", section(MEMBERS), PASS), "byrequests"),
}


@pytest.mark.parametrize("configuration, own", OWN.values(), ids=OWN)
def test_a_virtual_hosts_own_method_wins(started, configuration, own):
    server = started(OUTSIDE + configuration)
    assert {ask(server).affinity for _ in range(3)} == {None}
    assert method(server) == own
    server.graceful()
    assert (ask(server).affinity, method(server)) == (None, own)


def test_no_other_method_is_handed_down(started):
    server = started(section(MEMBERS, "ProxySet lbmethod=bybusyness") + host(PASS))
    assert method(server) == "byrequests"


def test_a_virtual_hosts_own_method_is_its_own(started):
    server = started(section(MEMBERS) + "ProxyPass /main balancer://mycluster/\n"
                     + host(f"{PASS} {STICKY}") + host("ProxyPass / balancer://mycluster/", name="other"))
    assert (method(server), method(server, "other")) == ("sticky", "byrequests")


def test_several_virtual_hosts_each_have_the_method_that_they_name_or_inherit(started):
    server = started(
        host(PASS, name="before") + OUTSIDE + host(PASS, name="passing") + host(name="silent")
        + host(section("ProxySet lbmethod=bybusyness"), PASS, name="busy")
        + host(section("ProxySet timeout=5"), PASS, name="own")
        + host(f"{PASS} lbmethod=byrequests", name="turns")
        + host("BalancerInherit Off", "ProxyPassInherit Off", section(MEMBERS), PASS, name="alone")
        + host("BalancerInherit Off", "ProxyPassInherit Off", section(MEMBERS, f"ProxySet {STICKY}"), PASS,
               name="apart"))
    expected = {"before": "sticky", "passing": "sticky", "silent": "sticky", "busy": "bybusyness", "own": "sticky",
                "turns": "byrequests", "alone": "byrequests", "apart": "sticky"}
    assert {name: method(server, name) for name in expected} == expected
    del expected["silent"]
    assert {name: ask(server, name).affinity for name in expected} == {
        name: "hash" if own == "sticky" else None for name, own in expected.items()}


# -- What virtual hosts share -----------------------------------------------------------------------------------------


def counts(server):
    """{virtual host or "" for the main server: {affinity: number, without those that are 0}}"""
    # Each host tells of itself, and of the main server, to which no request comes here.
    answers = [server.curl("/lbsticky-status?format=json", "--header", f"Host: {name}").body for name in "abc"]
    sums = {}
    for report in (report for answer in answers for report in json.loads(answer)["balancers"]):
        count = collections.Counter()
        for worker in report["workers"]:
            count.update(worker["requests"])
        sums[report["server"].split(":")[0]] = {affinity: number for affinity, number in count.items() if number}
    return sums


def test_each_virtual_host_that_names_the_balancer_has_its_own_rotation_and_its_own_counts(started):
    server = started(OUTSIDE + PASS + "\n" + host("ProxyPassInherit Off", PASS, name="a")
                     + host("ProxyPassInherit Off", PASS, name="b") + host(name="c"))
    taken = {"a": [], "b": [], "c": []}
    for name, count in (("a", 1), ("b", 3), ("a", 2), ("c", 3), ("b", 2), ("a", 4), ("c", 2)):
        taken[name] += bodies(server, count, name)
    assert {name: collections.Counter(each) for name, each in taken.items()} == {
        "a": {"backend1": 4, "backend2": 3}, "b": {"backend1": 3, "backend2": 2}, "c": {"backend1": 3, "backend2": 2}}
    assert all(each == (["backend1", "backend2"] * 4)[:len(each)] for each in taken.values())
    bodies(server, 2, "b", cookie=SESSION)
    # c does not name the balancer: it is the main server's that serves it.
    assert counts(server) == {"": {"new": 5}, "a": {"new": 7}, "b": {"new": 5, "hash": 2}}
    server.graceful()
    assert counts(server) == {"": {"new": 5}, "a": {"new": 7}, "b": {"new": 5, "hash": 2}}
    assert bodies(server, 1, "a") == bodies(server, 1, "b") == bodies(server, 1, "c") == ["backend2"]


@pytest.mark.parametrize("balancers", [
    OUTSIDE + PASS + "\n" + host(),
    OUTSIDE + "ProxyPass /main balancer://mycluster/\n"
    + host("RewriteEngine On", "RewriteRule ^/app/ balancer://mycluster/ [P]"),
], ids=["ProxyPass of the main server", "rewriting"])
def test_a_virtual_host_that_says_nothing_of_mod_proxy_uses_the_main_servers_rotation_and_counts(started, balancers):
    server = started(balancers)
    assert bodies(server, 3) == ["backend1", "backend2", "backend1"]
    assert counts(server) == {"": {"new": 3}}


def test_a_virtual_host_that_rewrites_and_has_a_directive_of_mod_proxy_has_its_own_rotation_and_counts(started):
    """httpd gives it copies of the main server's balancers."""
    server = started(OUTSIDE + PASS + "\n" + host(
        "ProxyPreserveHost On", "RewriteEngine On", "RewriteRule ^/app/ balancer://mycluster/ [P]", name="a")
        + host(name="b"))
    assert bodies(server, 3, "a") == bodies(server, 3, "b") == ["backend1", "backend2", "backend1"]
    assert counts(server) == {"": {"new": 3}, "a": {"new": 3}}


def test_members_and_their_status_are_the_same_for_all_virtual_hosts(started):
    server = started(OUTSIDE + "ProxyPass /main balancer://mycluster/\n" + host(PASS, name="a") + host(PASS, name="b"))
    member = list(server.state())[1]
    # The page is that of the first virtual host.
    server.manager("mycluster", member, w_status_D="1")
    for name in ("a", "b"):
        assert bodies(server, 4, name) == ["backend1"] * 4
        answer = server.curl(APP, "--header", f"Host: {name}", cookie=f"{SESSION}.node2")
        assert (answer.body, answer.affinity) == ("backend1", "failover")
    server.manager("mycluster", member, w_status_D="0")
    for name in ("a", "b"):
        assert set(bodies(server, 4, name)) == {"backend1", "backend2"}
        assert set(bodies(server, 2, name, cookie=f"{SESSION}.node2")) == {"backend2"}


def test_a_member_that_fails_its_health_checks_is_left_out_in_the_virtual_host_until_it_passes_them(httpd, backends):
    check = "retry=0 hcmethod=GET hcuri=/health hcexpr=well hcinterval=100ms hcpasses=1 hcfails=1"
    a, b = backends(2)
    server = httpd("ProxyHCExpr well {%{REQUEST_STATUS} =~ /^200/}\n"
                   + tutorial(f"{a.url} route=node1 {check}", f"{b.url} route=node2 {check}"),
                   modules=["proxy_hcheck"])
    b.status = 500
    wait_until(lambda: "HcFl" in server.state()[b.url]["status"], "the check has failed")
    answer = server.curl(cookie=f"{SESSION}.node2")
    assert (answer.affinity, answer.body, server.bodies(4)) == ("failover", "backend1", ["backend1"] * 4)
    b.status = 200
    wait_until(lambda: "HcFl" not in server.state()[b.url]["status"], "the check has passed")
    assert server.curl(cookie=f"{SESSION}.node2").body == "backend2"


def test_a_session_finds_its_member_through_every_virtual_host(started):
    server = started(OUTSIDE + host(PASS, name="a") + host(PASS, name="b"))
    sessions = [f"JSESSIONID=id{number}" for number in range(8)]
    through = {name: [bodies(server, 1, name, cookie=cookie) for cookie in sessions] for name in ("a", "b")}
    assert through["a"] == through["b"]


# -- balancer-manager and restarts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("place, stays", [("nowhere", False), ("the main server", False), ("the virtual host", True)])
def test_a_method_chosen_in_the_manager_stays_after_a_restart_where_httpd_is_told_to_keep_it(started, place, stays):
    """BalancerPersist is for the balancers of the server in which it stands."""
    persist = "BalancerPersist On"
    server = started((f"{persist}\n" if place == "the main server" else "") + OUTSIDE
                     + host(PASS, persist if place == "the virtual host" else ""))
    server.manager("mycluster", b_lbm="byrequests")
    assert (method(server), ask(server).affinity) == ("byrequests", None)
    server.graceful()
    assert (method(server), ask(server).affinity) == (("byrequests", None) if stays else ("sticky", "hash"))
    server.manager("mycluster", b_lbm="sticky")
    for _ in range(2):
        assert (method(server), ask(server).affinity) == ("sticky", "hash")
        server.graceful()


def test_a_drain_outlives_a_restart_where_httpd_is_told_to_keep_it_everywhere(started):
    def drains():
        return "draining" in server.report()["workers"][0]["status"]

    def restarted():
        old = server.children()
        server.graceful()
        wait_until(lambda: not old & server.children(), "the generation before has ended")

    persist = "BalancerPersist On"
    for inner, stays in (("", False), (persist, True)):
        server = started(f"{persist}\n" + OUTSIDE + host(PASS, inner, name="a") + host(PASS, inner, name="b"))
        member = next(iter(server.state()))
        assert server.manager("mycluster", member, w_status_N="1").status == 200 and drains()
        restarted()
        assert drains() == stays
        server.stop()


def test_a_method_that_is_taken_out_of_the_virtual_hosts_configuration_makes_room_for_the_inherited_one(started):
    server = started(OUTSIDE + host(f"{PASS} lbmethod=byrequests"))
    assert method(server) == "byrequests"
    for own, expected in (("", "sticky"), ("lbmethod=bybusyness", "bybusyness"), ("", "sticky")):
        old = server.children()
        server.reconfigure(OUTSIDE + host(f"{PASS} {own}"))
        server.graceful()
        wait_until(lambda: not old & server.children(), "the generation before has ended")
        assert method(server) == expected


def test_a_member_added_in_a_virtual_hosts_manager_serves_there(started, backends):
    server = started(section(MEMBERS, f"ProxySet {STICKY} growth=1") + "ProxyPass /main balancer://mycluster/\n"
                     + host(PASS, name="a") + host(PASS, name="b"))
    [added] = backends(1)
    server.manager("mycluster", b_wyes="1", b_nwrkr=added.url)
    server.manager("mycluster", added.url, w_status_D="0")
    assert collections.Counter(bodies(server, 9, "a")) == {"backend1": 3, "backend2": 3, "backend3": 3}
