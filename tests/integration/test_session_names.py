"""Where a session id is looked for, and who is told when it is not found."""

import re

import pytest

from server import STATUS, by_either, cluster, wait_until, with_routes
from test_graceful_restart import restart
from test_protocols import Ajp, two_responders

OWN = "lbsticky_mycluster"


def notices(server):
    return re.findall(r"\[lbmethod_sticky:notice\].*(balancer://.*)", server.log())


# -- in the URL ---------------------------------------------------------------------------------------------------

NAMES = {"stickysession": dict(settings="lbmethod=sticky stickysession=JSESSIONID|jsessionid"),
         "LBStickySession": dict(settings="lbmethod=sticky", more="LBStickySession JSESSIONID|jsessionid")}

REWRITTEN = {
    "in the path": r"RewriteRule ^/(.*)$ balancer://mycluster/$1;jsessionid=%1 [P]",
    "in the query": r"RewriteRule ^/(.*)$ balancer://mycluster/$1?jsessionid=%1 [P]",
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("rule", REWRITTEN.values(), ids=REWRITTEN)
def test_a_session_id_that_a_rule_puts_into_the_url_counts(httpd, backends, names, rule):
    members = backends(3)
    server = httpd("RewriteEngine On\nRewriteCond %{HTTP:X-Session} (.+)\n" + rule + "\n"
                   + cluster(*with_routes(members), **names))
    for number in (3, 1, 2):
        answer = server.curl("/page", "--header", f"X-Session: 12345.node{number}")
        assert (answer.body, answer.affinity) == (f"backend{number}", "route")
        assert (answer.session_sticky, answer.session_route) == ("jsessionid", f"node{number}")
    assert len({server.curl("/page", "--header", "X-Session: 12345").body for _ in range(4)}) == 1


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_an_id_that_a_rule_takes_out_of_the_url_is_found_in_what_the_client_sent(httpd, backends, names):
    server = httpd("RewriteEngine On\nRewriteRule ^/old;jsessionid=.* balancer://mycluster/new [P]\n"
                   + cluster(*with_routes(backends(2)), **names))
    for number in (2, 1, 2):
        assert server.curl(f"/old;jsessionid=12345.node{number}").body == f"backend{number}"


# -- the notes that other modules read ----------------------------------------------------------------------------


@by_either
def test_a_servlet_container_is_told_the_route_over_ajp(httpd, cleanup, resolver):
    listeners = []

    class Recording(Ajp):
        def setup(self):
            super().setup()
            listeners.append(self.server)

    ports = list(two_responders(Recording, cleanup))
    members = [f"ajp://127.0.0.1:{port} route=node{n}" for n, port in enumerate(ports, 1)]
    server = httpd(cluster(*members, **resolver), modules=["proxy_ajp"])
    assert server.curl(cookie="JSESSIONID=12345.node2").body == "backend2"
    [packet] = listeners[-1].requests
    jvm_route = b"\x06" + Ajp.text(b"node2")  # the attribute SC_A_ROUTE
    assert jvm_route in packet


# -- what the debug line says -------------------------------------------------------------------------------------

LINES = {
    "no session id, no cookie": (None, "no session (no JSESSIONID, no cookie SRV)"),
    "a cookie of somebody else": ("SRV=.node7", "no session (no JSESSIONID, cookie SRV names no member)"),
    "a cookie": ("SRV=.node1", "no session"),
    "a session id without a route": ("JSESSIONID=" + "b99f" * 4, "session JSESSIONID=b99f...(16)"),
    "a route": ("JSESSIONID=" + "b99f" * 4 + ".node1", "session JSESSIONID=b99f...(22)"),
    "a route but for case": ("JSESSIONID=" + "b99f" * 4 + ".Node1", "route Node1 of JSESSIONID=b99f...(22) is no member's"),
    "a route but for a character": ("JSESSIONID=" + "b99f" * 4 + ".node9",
                                    "route node9 of JSESSIONID=b99f...(22) is no member's"),
    "what may be a piece of the id": ("JSESSIONID=" + "b99f" * 4 + ".0123456789abcdef",
                                      "route 0123...(16) of JSESSIONID=b99f...(33) is no member's"),
}


@by_either
@pytest.mark.parametrize("cookie, said", LINES.values(), ids=LINES)
def test_the_debug_line_says_what_was_found_or_looked_for_in_vain(httpd, backends, resolver, cookie, said):
    options = {**resolver, "more": resolver.get("more", "") + "\nLBStickyCookie SRV"}
    server = httpd(cluster(*with_routes(backends(1)), **options))
    answer = server.curl(cookie=cookie)
    assert server.decisions() == [f"balancer://mycluster: affinity {answer.affinity}, {said}, member {answer.worker}"]


# -- the notice that nothing sticks -------------------------------------------------------------------------------


@by_either
def test_a_name_that_no_request_has_is_told_once_with_the_one_that_comes_instead(httpd, backends, resolver):
    configuration = cluster(*with_routes(backends(2)), **resolver)
    server = httpd(configuration, processes=4)
    server.parallel(299, cookie="a=1; jsessionid=12345.node1")
    assert notices(server) == []
    server.parallel(50)
    server.parallel(400, cookie="a=1; jsessionid=12345.node1")
    [notice] = notices(server)
    assert re.fullmatch(r"balancer://mycluster: none of 3\d\d requests had the session id that is looked for, JSESSIONID; "
                        r"but there is a cookie jsessionid: nothing is sticky by it", notice)
    restart(server, configuration)
    server.parallel(650)
    assert notices(server)[1:] == ["balancer://mycluster: none of 600 requests had the session id that is looked for, "
                                   "JSESSIONID: nothing is sticky by it"]


@by_either
def test_where_one_request_had_the_session_id_nobody_is_told(httpd, backends, resolver):
    server = httpd(cluster(*with_routes(backends(2)), **resolver), processes=4)
    server.parallel(100)
    server.curl(cookie="JSESSIONID=12345")
    server.parallel(700, cookie="jsessionid=1")
    assert notices(server) == []


def test_where_no_session_id_is_looked_for_nobody_is_told(httpd, backends):
    server = httpd(cluster(*with_routes(backends(2))))
    server.parallel(700)
    assert notices(server) == []


# -- addresses that other methods have ----------------------------------------------------------------------------


def test_requests_of_a_refused_address_are_counted_and_keep_their_cookies(httpd, backends):
    """mod_proxy refuses what a rule puts into the URL unencoded; the log shows what the client sent."""
    server = httpd(STATUS + """
        LogFormat "%{Cookie}i" cookies
        CustomLog access.log cookies
        RewriteEngine On
        RewriteRule ^/refused balancer://mycluster/a%20b\x01 [P,NE]
        """ + cluster(*with_routes(backends(2))), expected=[r"AH10508", r"AH10415", r"AH\d+: .*control characters"])
    answer = server.curl("/refused", cookie=f"a=1; {OWN}=.node2")
    assert answer.status in (400, 403)
    # The line is written when the answer is out.
    wait_until(lambda: (server.folder / "access.log").read_text() == f"a=1; {OWN}=.node2\n", "the log has its line")
    [_, node2] = server.report()["workers"]
    assert node2["requests"]["cookie"] == 1
