"""What comes from the internet: cookies and URLs that no browser makes. Never a crash, never a wrong member, never a
line of level warn or above in the error log.

Every case is asked of both resolvers: /module/ (LBStickySession) and /httpd/ (stickysession=, where mod_proxy_balancer
looks first, by its own rules). What comes out is the member that the request names, "node1" to "node3", or "hash" or
"new" where it names none.
"""

import pytest

from backend import Backend
from server import Server, cluster

RESOLVERS = ("httpd", "module")


class Hostile:
    """A server that all cases share."""

    def __init__(self, server, nodes):
        self.server = server
        self.nodes = nodes
        self.children = server.children()

    def outcomes(self, way, path="", headers=(), times=3):
        """What came of the request, made several times over: a set of ("node2" or "hash" or "new", member's body)."""
        arguments = [argument for header in headers for argument in ("--header", header)]
        outcomes = set()
        for _ in range(times):
            seen = len(self.server.decisions())
            answer = self.server.curl(f"/{way}/{path}", "--path-as-is", "--globoff", *arguments)
            assert answer.status == 200
            assert answer.body in {node.name for node in self.nodes}
            assert len(self.server.decisions()) == seen + 1
            outcomes.add((answer.route if answer.affinity == "route" else answer.affinity, answer.body))
        return outcomes

    def expect(self, way, expected, path="", headers=()):
        outcomes = self.outcomes(way, path, headers)
        assert {affinity for affinity, _ in outcomes} == {expected}
        members = {member for _, member in outcomes}
        if expected == "new":  # three requests, three members: everyone has had a turn
            assert len(members) == 3
        elif expected == "hash":
            assert len(members) == 1
        else:
            assert members == {expected.replace("node", "backend")}
        self.check()

    def check(self):
        self.server.check_log()
        assert self.server.children() == self.children, "the children that were there at the start are there"


def shared_server(limits):
    @pytest.fixture(scope="module")
    def fixture(module, request, tmp_path_factory):
        nodes = [Backend(f"backend{i}") for i in (1, 2, 3)]
        members = [f"{node.url} route=node{i}" for i, node in enumerate(nodes, 1)]
        configuration = limits + cluster(
            *members, name="httpd", path="/httpd/", settings="lbmethod=sticky stickysession=JSESSIONID|jsessionid",
        ) + cluster(
            *members, name="module", path="/module/", settings="lbmethod=sticky",
            more="LBStickySession JSESSIONID|jsessionid")
        server = Server(tmp_path_factory.mktemp("hostile") / "httpd", module, configuration,
                        mpm=request.config.getoption("--mpm"))
        server.start()
        yield Hostile(server, nodes)
        server.stop()
        for node in nodes:
            node.stop()
        server.check_log()

    return fixture


hostile = shared_server("")
generous = shared_server("LimitRequestFieldSize 200000\nLimitRequestLine 200000\nLimitRequestFields 2000\n")

by_either = pytest.mark.parametrize("way", RESOLVERS)


def cookies(*lines):
    """Header lines; bytes stay the bytes they are."""
    return [f"Cookie: {line}" if isinstance(line, str) else f"Cookie: {line.decode('utf-8', 'surrogateescape')}"
            for line in lines]


# What it is: the Cookie lines, and what comes of them.
COOKIES = {
    "bytes above 0x7f in the id": ([b"JSESSIONID=\x80\xff\xfe.node2"], "node2"),
    "bytes above 0x7f behind the route": ([b"JSESSIONID=x.node2\xff"], "hash"),
    "bytes above 0x7f before the route": ([b"JSESSIONID=x.\xffnode2"], "hash"),
    "bytes above 0x7f behind our name": ([b"JSESSIONID\xff=x.node2"], "new"),
    "bytes above 0x7f before our name": ([b"\xffJSESSIONID=x.node2"], "new"),
    "bytes above 0x7f in another cookie": (["näme=välue; JSESSIONID=x.node2"], "node2"),
    "nothing but bytes above 0x7f": ([bytes(range(0x80, 0x100)) * 8], "new"),
    "tabs": (["a=b;\tJSESSIONID=\tx.node2\t;\tc=d"], "node2"),

    "no = behind our name": (["JSESSIONID"], "new"),
    "no = behind our name, and another cookie": (["JSESSIONID; a=x.node2"], "new"),
    "no = behind our name, and ours": (["JSESSIONID; JSESSIONID=x.node2"], "node2"),
    "no = in another cookie": (["a; b; JSESSIONID=x.node2; c"], "node2"),
    "no name": (["=x.node2; =; =JSESSIONID"], "new"),
    "no name in another cookie": (["=x.node1; =; JSESSIONID=x.node2"], "node2"),
    "no value": (["JSESSIONID="], "new"),
    "no value, again and again": (["JSESSIONID=; JSESSIONID= ; JSESSIONID=\"\""], "new"),
    "no cookie in it": ([" "], "new"),
    "nothing but separators": ([" ; ;; , ,, ;"], "new"),
    "nothing but = signs": (["=" * 4000], "new"),
    "many = signs": (["JSESSIONID====x.node2"], "node2"),
    "= in the route": (["JSESSIONID=x.node=2"], "hash"),

    "a quoted value": (['JSESSIONID="x.node2"'], "node2"),
    "a quoted value without an end": (['JSESSIONID="x.node2'], "node2"),
    "a quoted value without a beginning": (['JSESSIONID=x.node2"'], "hash"),
    "a single quote": (['JSESSIONID="'], "hash"),
    "nothing quoted": (['JSESSIONID=""'], "new"),
    "quotes within quotes": (['JSESSIONID=""x.node2""'], "hash"),
    "nothing but quotes": (['JSESSIONID=' + '"' * 4000], "hash"),
    "apostrophes": (["JSESSIONID='x.node2'"], "hash"),
    "a quoted semicolon": (['a="b; JSESSIONID=x.node2; c"'], "node2"),

    "commas between cookies": (["a=b,JSESSIONID=x.node2,c=d"], "node2"),
    "a comma in our value": (["JSESSIONID=x,y.node2"], "hash"),
    "a comma behind our route": (["JSESSIONID=x.node2,"], "node2"),
    "several lines": (["a=b", "JSESSIONID=x.node2", "c=d"], "node2"),
    "several lines with our name": (["JSESSIONID=x", "JSESSIONID=x.gone", "JSESSIONID=x.node2"], "node2"),
    "as many lines as httpd allows": ([f"c{i}=x.node1" for i in range(90)] + ["JSESSIONID=x.node2"], "node2"),

    "names that only contain ours": (["XJSESSIONID=x.node1; JSESSIONIDX=x.node1; JSESSIONID.=x.node1"], "new"),
    "names that only begin or end as ours": (["JSESSIONI=x.node1; SESSIONID=x.node1; D=x.node1"], "new"),
    "our name with a blank in it": (["JSESSION ID=x.node1"], "new"),
    "our name within a value": (["a=JSESSIONID=x.node1; b=(JSESSIONID=x.node1)"], "new"),
    "our name as a value": (["a=JSESSIONID"], "new"),
    "names that only contain ours, and ours": (["XJSESSIONID=x.node1; JSESSIONID=x.node2; JSESSIONIDX=x.node3"],
                                               "node2"),
    "attributes of old clients": (["$Version=1; JSESSIONID=x.node2; $Path=/"], "node2"),

    "formats": (["JSESSIONID=%s%n%s%n%d.node2"], "node2"),
    "formats without a route": (["JSESSIONID=%s%n%s%n%d"], "hash"),
    "markup": (["JSESSIONID=<script>alert(1)</script>.node2"], "node2"),
    "a path": (["JSESSIONID=../../../../etc/passwd"], "new"),
    "a percent-encoded route": (["JSESSIONID=x%2Enode2"], "hash"),
    "nothing but a route": (["JSESSIONID=node2"], "hash"),
    "nothing but a separator": (["JSESSIONID=."], "new"),
    "nothing but separators between id and route": (["JSESSIONID=." + "." * 4000], "new"),
    "4,000 separators before the route": (["JSESSIONID=" + "." * 4000 + "node2"], "node2"),
    "4,000 bytes of routes before the route": (["JSESSIONID=x" + ".node1" * 600 + ".node2"], "node1"),
    "4,000 bytes of unknown routes before the route": (["JSESSIONID=x" + ".gone1" * 600 + ".node2"], "node2"),
    "a route as long as httpd can hold": (["JSESSIONID=x." + "n" * 63], "hash"),
    "a longer route": (["JSESSIONID=x." + "n" * 64], "hash"),
    "a route of 4,000 characters": (["JSESSIONID=x." + "n" * 4000], "hash"),
    "a thousand cookies": (["a=b; " * 1000 + "JSESSIONID=x.node2"], "node2"),
    "4,000 semicolons": ([";" * 4000 + "JSESSIONID=x.node2"], "node2"),
    "4,000 commas": (["," * 4000 + "JSESSIONID=x.node2"], "node2"),
    "sixteen cookies of our name": (["JSESSIONID=x; " * 15 + "JSESSIONID=x.node2"], "node2"),
    "500 cookies of our name, of which sixteen are looked at": (["JSESSIONID=x; " * 500 + "JSESSIONID=x.node2"],
                                                               "hash"),
}


@by_either
@pytest.mark.parametrize("lines, expected", COOKIES.values(), ids=COOKIES)
def test_cookies(hostile, way, lines, expected):
    hostile.expect(way, expected, headers=cookies(*lines))


def test_our_name_behind_a_blank_in_a_name_is_ours_for_mod_proxy_balancer_only(hostile):
    """It takes any blank for the beginning of a cookie; the log still calls it what it is."""
    hostile.expect("module", "new", headers=cookies("my JSESSIONID=x.node2"))
    hostile.expect("httpd", "node2", headers=cookies("my JSESSIONID=x.node2"))


# What it is: the path, and what comes of it; then what comes of it by stickysession=, where mod_proxy_balancer finds
# something else: it looks for the name anywhere in the URL, decoded, and a value ends only at `?` and `&`.
URLS = {
    "at the end of the path": ("a/b;jsessionid=x.node2", "node2"),
    "in the middle of the path": ("a;jsessionid=x.node2/b/c", "node2"),
    "at the beginning of the path": (";jsessionid=x.node2/a", "node2"),
    "before a query": ("a;jsessionid=x.node2?b=c", "node2"),
    "before an empty query": ("a;jsessionid=x.node2?", "node2"),
    "before another parameter": ("a;jsessionid=x.node2;v=1", "node2"),
    "behind another parameter": ("a;v=1;jsessionid=x.node2", "node2"),
    "behind an empty parameter": ("a;;;jsessionid=x.node2", "node2"),
    "twice": ("a;jsessionid=x.node2;jsessionid=y.node1", "node2"),
    "twice, in two parts of the path": ("a;jsessionid=x.node2/b;jsessionid=y.node1", "node2"),
    "twice, in path and query": ("a;jsessionid=x.node2?jsessionid=y.node1", "node2"),
    "twice, empty first": ("a;jsessionid=;jsessionid=x.node2", "node2"),
    "empty": ("a;jsessionid=", "new"),
    "empty before another part of the path": ("a;jsessionid=/b", "new"),
    "empty before a query": ("a;jsessionid=?b=c", "new"),
    "empty before a query that looks like a session id": ("a;jsessionid=?x.node2", "new", "node2"),
    "without =": ("a;jsessionid", "new"),
    "without =, before a route": ("a;jsessionid/x.node2", "new"),
    "without ;": ("ajsessionid=x.node2", "new", "node2"),
    "as a part of the path": ("a/jsessionid=x.node2", "new", "node2"),
    "in a longer name": ("a;xjsessionid=x.node2", "new", "node2"),
    "in a name that goes on": ("a;jsessionidx=x.node2", "new"),
    "in other letters": ("a;JSESSIONID=x.node2", "new"),
    "in a value": ("a;b=jsessionid=x.node2", "new", "node2"),
    "with = signs": ("a;jsessionid===x.node2", "node2"),
    "with a percent-encoded separator": ("a;jsessionid=x%2Enode2", "node2"),
    "with a percent-encoded route": ("a;jsessionid=x.n%6Fde2", "node2"),
    "with a percent-encoded name": ("a;jsession%69d=x.node2", "node2"),
    "with a percent-encoded ;": ("a%3Bjsessionid=x.node2", "node2"),
    "with a percent-encoded =": ("a;jsessionid%3Dx.node2", "node2"),
    "with a percent-encoded %": ("a;jsessionid=x%252Enode2", "hash"),
    "with bytes above 0x7f": ("a;jsessionid=%ff%fe%80.node2", "node2"),
    "with percent-encoded quotes": ("a;jsessionid=%22x.node2%22", "hash"),
    "with formats": ("a;jsessionid=%25s%25n.node2", "node2"),
    "in the query": ("a?jsessionid=x.node2", "node2"),
    "in the query, among others": ("a?b=c&jsessionid=x.node2&d=e", "node2"),
    "in the query, behind empty ones": ("a?&&=&;&jsessionid=x.node2", "node2"),
    "in the query, twice": ("a?jsessionid=x.node2&jsessionid=y.node1", "node2"),
    "in the query, empty": ("a?jsessionid=", "new"),
    "in the query, empty before another": ("a?jsessionid=&b=c", "new"),
    "in the query, without =": ("a?jsessionid&b=x.node2", "new"),
    "in the query, in a longer name": ("a?xjsessionid=x.node2", "new", "node2"),
    "in the query, percent-encoded": ("a?jsessionid=x%2Enode2", "hash"),
    "behind a second ?": ("a??jsessionid=x.node2", "node2"),
    "with a / in the query": ("a?jsessionid=x/y.node2", "node2"),
    "with 4,000 ; before it": (";" * 4000 + "jsessionid=x.node2", "node2"),
    "with 4,000 & before it": ("?" + "&" * 4000 + "jsessionid=x.node2", "node2"),
    "with 4,000 separators": (";jsessionid=" + "." * 4000 + "node2", "node2"),
    "with 4,000 characters behind the separator": (";jsessionid=x." + "n" * 4000, "hash"),
    "500 times, empty": (";jsessionid=" * 500, "new"),
}


@by_either
@pytest.mark.parametrize("case", URLS.values(), ids=URLS)
def test_a_session_id_in_odd_places_of_the_url(hostile, way, case):
    path, by_module, *by_httpd = case
    hostile.expect(way, by_httpd[0] if by_httpd and way == "httpd" else by_module, path)


# What httpd itself refuses, and what comes of it where httpd is told to take it.
TOO_LARGE = {
    "a cookie of 8 KB": (400, "", ["JSESSIONID=" + "x" * 8192 + ".node2"], "node2"),
    "a cookie of 60 KB": (400, "", ["JSESSIONID=" + "x" * 60000 + ".node2"], "node2"),
    "a cookie of 8 KB without a route": (400, "", ["JSESSIONID=" + "x" * 8192], "hash"),
    "60 KB of separators": (400, "", ["JSESSIONID=" + "." * 60000 + "node2"], "node2"),
    "another cookie of 8 KB": (400, "", ["a=" + "x" * 8192 + "; JSESSIONID=x.node2"], "node2"),
    "a thousand cookies of 50 bytes": (400, "", ["; ".join(f"name{i:04}={'v' * 40}" for i in range(1000)) +
                                                 "; JSESSIONID=x.node2"], "node2"),
    "a thousand cookies of our name": (400, "", ["JSESSIONID=x; " * 1000 + "JSESSIONID=x.node2"], "hash"),
    "a thousand Cookie lines": (400, "", [f"c{i}=x" for i in range(1000)] + ["JSESSIONID=x.node2"], "node2"),
    "a path parameter of 8 KB": (414, ";jsessionid=" + "x" * 8192 + ".node2", [], "node2"),
    "a query of 60 KB": (414, "?jsessionid=" + "x" * 60000, [], "hash"),
    "8 KB of path parameters": (414, ";jsessionid" * 1000 + "=x.node2", [], "node2"),
}


@pytest.mark.parametrize("status, path, lines, expected", TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_is_too_large_for_httpd_is_not_when_its_limits_are_raised(hostile, generous, status, path, lines,
                                                                       expected):
    headers = [argument for header in cookies(*lines) for argument in ("--header", header)]
    seen = len(hostile.server.decisions())
    for way in RESOLVERS:
        assert hostile.server.curl(f"/{way}/{path}", *headers).status == status
        generous.expect(way, expected, path, cookies(*lines))
    assert len(hostile.server.decisions()) == seen, "what httpd refuses does not get this far"
    hostile.check()


@pytest.mark.parametrize("byte", [0x01, 0x0b, 0x1f, 0x7f])
def test_control_characters_are_refused_by_httpd_itself(hostile, byte):
    seen = len(hostile.server.decisions())
    for way in RESOLVERS:
        answer = hostile.server.curl(f"/{way}/", "--header", cookies(b"JSESSIONID=x" + bytes([byte]) + b".node2")[0])
        assert answer.status == 400
    assert len(hostile.server.decisions()) == seen
    hostile.check()


@by_either
def test_no_session_id_stands_whole_in_the_log(hostile, way):
    for value in ("a-secret-that-nobody-may-read", "that-nobody-may-read.node2", "a-secret-that.nobody.may-read"):
        hostile.outcomes(way, f";jsessionid={value}")
        hostile.outcomes(way, "", cookies(f"JSESSIONID={value}"))
    ours = [line for line in hostile.server.log().splitlines() if "lbmethod_sticky" in line]
    assert ours and not [line for line in ours if "nobody" in line]
