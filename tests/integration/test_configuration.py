"""What httpd says to a configuration: it refuses one that is wrong, in one sentence that names the directive, the value
and what is allowed; it takes one that is right; and it warns once of what cannot work as written."""

import pathlib
import re
import struct
import subprocess

import pytest

from server import MODULES, Server, cluster

CHARACTERS = "letters, digits and any of !#$%&'+-.^_`~"
NAMES = f'NAME, NAME|PARAM or header:NAME, each of {CHARACTERS}, or "expr:EXPRESSION"'
NO_WILDCARD = ("a * stands for nothing here; for a cookie whose name changes, as classic ASP's ASPSESSIONID... does, use "
               "the balancer's own: LBStickyCookie NAME")
SESSION_NAMES = "LBStickySession takes one or more of NAME or NAME|PARAM (a cookie, a path parameter), header:NAME, " \
                '"expr:EXPRESSION"; then route=given, route=append or route=learn, if any'
ON_OR_OFF = ("LBStickyHash takes one argument, whether a session id without a known route is placed by consistent "
             "hashing: on or off")
PLACE = "LBStickyPlace takes one argument, who gets a new session: rotation, busyness or sessions"
SLOW_START = ("LBStickySlowStart takes 1-2 arguments, how long a member that comes into service gets only a part of its "
              "share of new sessions, which grows from from=N% (10%) to all of it")
LIMIT = "LBStickyLimit: it takes new=N, all=N or both, N being a number of requests in flight"
A = "http://127.0.0.1:1"
B = "http://127.0.0.1:2"
MYCLUSTER = 'Proxy "balancer://mycluster"'


def section(*lines, name=MYCLUSTER):
    return "\n".join([f"<{name}>", *lines, f"</{name.split()[0]}>", ""])


@pytest.fixture
def written(module, tmp_path, request):
    """written(configuration): a Server that is not started."""
    def write(configuration, **options):
        return Server(tmp_path / "httpd", module, configuration, mpm=request.config.getoption("--mpm"), **options)

    return write


@pytest.fixture
def secret(tmp_path):
    """The path of a file that LBStickySecretFile takes."""
    path = tmp_path / "secret"
    path.touch(0o640)
    path.write_text("x" * 32)
    return path


def start_in_vain(server):
    """What httpd said when it did not start."""
    with pytest.raises(AssertionError, match="httpd did not start"):
        server.start()
    assert server.process.wait() != 0
    return server.output() + server.log()


# -- What is refused --------------------------------------------------------------------------------------------------


def refusal(server):
    """The sentence with which `httpd -t` refuses the configuration."""
    code, output = server.check_configuration()
    assert code != 0, f"httpd takes it: {output}"
    said = re.fullmatch(r"AH00526: Syntax error on line \d+ of \S+httpd\.conf:\n(.+)\n", output)
    assert said, output
    return said.group(1)


DIRECTIVES = {"LBStickySession": "LBStickySession JSESSIONID", "LBStickyCookie": "LBStickyCookie off",
              "LBStickySecretFile": "LBStickySecretFile secrets", "LBStickyHash": "LBStickyHash off",
              "LBStickyPlace": "LBStickyPlace busyness", "LBStickyLimit": "LBStickyLimit new=10 all=20",
              "LBStickySlowStart": "LBStickySlowStart 1m", "LBStickyDrain": "LBStickyDrain deadline=30m"}

# The sections around the directive, outermost first, as they are written; none is the top of the file.
OTHER_PLACES = [
    [],
    ["VirtualHost *"],
    ["Location /app"],
    ["LocationMatch ^/app"],
    ["Directory /"],
    ["Files *"],
    ['If "true"'],
    ["Proxy *"],
    ['Proxy "http://127.0.0.1:1"'],
    ['Proxy "balancers://mycluster"'],
    ['ProxyMatch "^balancer://mycluster"'],
    [MYCLUSTER, 'If "true"'],
    [MYCLUSTER, "Limit GET"],
    ["VirtualHost *", "Location /app"],
]


@pytest.mark.parametrize("directive", DIRECTIVES)
@pytest.mark.parametrize("sections", OTHER_PLACES, ids=lambda sections: " > ".join(sections) or "the top of the file")
def test_httpd_refuses_a_directive_outside_of_a_balancer(written, directive, sections):
    configuration = DIRECTIVES[directive]
    for name in reversed(sections):
        configuration = section(configuration, name=name)
    place = f"inside <{sections[-1]}>" if sections else "at the top level"
    assert refusal(written(configuration)) == (
        f'{directive} is allowed only inside <Proxy "balancer://...">, not {place}')


def test_httpd_refuses_a_directive_in_a_location_that_is_proxied_to_a_balancer(written):
    assert refusal(written(section("ProxyPass balancer://mycluster", "LBStickyHash off", name="Location /app"))) == (
        'LBStickyHash is allowed only inside <Proxy "balancer://...">, not inside <Location /app>')


# All but LBStickySession, whose lines add up.
@pytest.mark.parametrize("directive", [name for name in DIRECTIVES if name != "LBStickySession"])
@pytest.mark.parametrize("between", ["", "LBStickySession S\n", "<IfModule proxy_module>\n"])
def test_httpd_refuses_a_second_line_of_a_directive_in_one_section(written, secret, directive, between):
    line = DIRECTIVES[directive].replace("secrets", str(secret))
    end = "\n</IfModule>" if "If" in between else ""
    assert refusal(written(section(line, between + line + end))) == (
        f"{directive} is allowed only once inside <{MYCLUSTER}>")


# The directive as it is written, and what of it is not allowed.
BAD_NAMES = {
    "LBStickySession A|B|C": "A|B|C",
    "LBStickySession A|": "A|",
    "LBStickySession |B": "|B",
    "LBStickySession |": "|",
    "LBStickySession A=B": "A=B",
    "LBStickySession A;B": "A;B",
    "LBStickySession A,B": "A,B",
    "LBStickySession A/B": "A/B",
    "LBStickySession A[0]": "A[0]",
    'LBStickySession "A B"': "A B",
    'LBStickySession "A|B C"': "A|B C",
    "LBStickySession 'A\"B'": 'A"B',
    "LBStickySession A\\B": "A\\\\B",  # httpd writes what could harm a terminal as C does
    "LBStickySession NÄME": "N\\xc3\\x84ME",
    "LBStickySession GOOD A=B": "A=B",
    "LBStickySession header:": "header:",
    "LBStickySession header:A:B": "header:A:B",
    "LBStickySession header:A|B": "header:A|B",
    "LBStickySession expr:": "expr:",
    "LBStickySession Header:A": "Header:A",
    "LBStickySession query:A": "query:A",
    "LBStickySession route=given": "route=given",
    "LBStickySession GOOD A|B|C GOOD": "A|B|C",
}


@pytest.mark.parametrize("line, value", BAD_NAMES.items(), ids=BAD_NAMES)
def test_httpd_refuses_a_bad_name_of_a_session(written, line, value):
    assert refusal(written(section(line))) == (
        f"LBStickySession: '{value}' is not allowed: {NAMES}")


@pytest.mark.parametrize("value", ["ASPSESSIONID*", "*", "A|B*", "A*|B", "A*B"])
def test_httpd_refuses_a_name_of_a_session_that_is_meant_as_a_pattern(written, value):
    assert refusal(written(section(f"LBStickySession GOOD {value}"))) == (
        f"LBStickySession: '{value}' is not allowed: {NAMES}; {NO_WILDCARD}")


def test_httpd_refuses_an_expression_with_a_mistake(written):
    text = refusal(written(section('LBStickySession GOOD "expr:%{REMOTE_USER"')))
    assert text.startswith("LBStickySession: 'expr:%{REMOTE_USER' is not allowed: ")
    assert "Parse error" in text or "syntax error" in text


@pytest.mark.parametrize("value", ["maybe", "1", "yes", "o", "onn", "on|off", "on,off"])
def test_httpd_refuses_anything_but_on_and_off(written, value):
    assert refusal(written(section(f"LBStickyHash {value}"))) == f"LBStickyHash: '{value}' is not allowed: on or off"


@pytest.mark.parametrize("value", ["foo", "busy", "byrequests", "rotation,busyness", "sessions=10", "'busyness '"])
def test_httpd_refuses_what_no_session_is_placed_by(written, value):
    assert refusal(written(section(f"LBStickyPlace {value}"))) == (
        f"LBStickyPlace: '{value.strip(chr(39))}' is not allowed: one of rotation, busyness, sessions")


# The directive as it is written, and what of it is not allowed.
BAD_LIMITS = {
    **{f"LBStickyLimit {value}": value for value in (
        "foo=1", "10", "new", "all", "new=", "new=0", "new=-1", "new=+1", "new=x", "new=1x", "new=1.5", "new=0x10",
        "new=1000001", "all=0", "all=1000001", "all=4294967297", "all=99999999999999999999", "NEW=1", "new:1", "off")},
    "LBStickyLimit 'new= 1'": "new= 1",
    "LBStickyLimit new = 1": "new",
    "LBStickyLimit new=1 all=0": "all=0",
    "LBStickyLimit all=1 foo=1": "foo=1",
}


@pytest.mark.parametrize("line, value", BAD_LIMITS.items(), ids=BAD_LIMITS)
def test_httpd_refuses_a_bad_limit(written, line, value):
    assert refusal(written(section(line))) == (
        f"LBStickyLimit: '{value}' is not allowed: new=N, all=N, N being a number of requests from 1 to 1000000")


@pytest.mark.parametrize("line, value", {"new=1 new=2": "new=2", "all=3 new=1 all=3": "all=3"}.items())
def test_httpd_refuses_a_limit_that_is_given_twice(written, line, value):
    assert refusal(written(section(f"LBStickyLimit {line}"))) == (
        f"LBStickyLimit: '{value}' is not allowed: {value[:4]} stands there already")


DURATIONS = "seconds, or a number with ms, s, m, h or d"


@pytest.mark.parametrize("value", ["off", "fast", "-1", "+1", "1.5", "1x", "1min", "8d", "169h", "7d1h",
                                   "from=10%", "99999999999999999999"])
def test_httpd_refuses_what_is_no_time_for_a_slow_start(written, value):
    assert refusal(written(section(f"LBStickySlowStart {value}"))) == (
        f"LBStickySlowStart: '{value}' is not allowed: {DURATIONS}, at most 7d; 0: none")


@pytest.mark.parametrize("value", ["from", "from=", "from=10", "from=0%", "from=101%", "from=-1%", "from=x%",
                                   "from=1.5%", "from=10%%", "FROM=10%", "10%", "to=10%"])
def test_httpd_refuses_a_bad_beginning_of_a_slow_start(written, value):
    assert refusal(written(section(f"LBStickySlowStart 1m {value}"))) == (
        f"LBStickySlowStart: '{value}' is not allowed: from=N%, N being a number from 1 to 100")


A_DURATION = "takes seconds, or a number with ms, s, m, h or d, at most 366d"
A_HEADER = ("takes the name of a request header that nobody goes by otherwise, of letters, digits and any of "
            "!#$%&'*+-.^_`|~")
BAD_DRAINS = {
    **{f"deadline={value}": f"deadline= {A_DURATION}; 0: never" for value in ("", "x", "-1", "1.5", "1x", "367d")},
    **{f"quiet={value}": f"quiet= {A_DURATION}, and more than 0" for value in ("", "0", "0s", "off", "10min")},
    **{f"header={value}": f"header= {A_HEADER}" for value in ("", "X:Y", "X/Y", "cookie", "Host", "AUTHORIZATION")},
    **{value: "deadline=, quiet= or header=" for value in ("30m", "foo=1", "DEADLINE=1", "=1", "off")},
    **{value: f"{value}= {A_DURATION}{end}" for value, end in (("deadline", "; 0: never"),
                                                              ("quiet", ", and more than 0"))},
    "header": f"header= {A_HEADER}",
}


@pytest.mark.parametrize("value, allowed", BAD_DRAINS.items(), ids=BAD_DRAINS)
def test_httpd_refuses_what_is_no_drain(written, value, allowed):
    assert refusal(written(section(f"LBStickyDrain {value}"))) == f"LBStickyDrain: '{value}' is not allowed: {allowed}"


def test_httpd_refuses_one_thing_of_a_drain_said_twice(written):
    assert refusal(written(section("LBStickyDrain deadline=1 quiet=1 deadline=2"))) == (
        "LBStickyDrain: 'deadline=2' is not allowed: deadline= stands there already")


WRONG_NUMBER = {
    "LBStickySession": SESSION_NAMES,
    'LBStickySession ""': SESSION_NAMES,
    'LBStickySession "" GOOD': SESSION_NAMES,
    'LBStickySession GOOD ""': SESSION_NAMES,
    'LBStickySession GOOD "" A=B': SESSION_NAMES,
    "LBStickyHash": ON_OR_OFF,
    'LBStickyHash ""': ON_OR_OFF,
    "LBStickyHash on off": ON_OR_OFF,
    "LBStickyPlace": PLACE,
    "LBStickyPlace rotation busyness": PLACE,
    "LBStickyLimit": LIMIT,
    "LBStickySlowStart": SLOW_START,
    "LBStickyDrain": "LBStickyDrain: it takes deadline=, quiet= and header=, at least one of them",
    "LBStickySlowStart 1m from=10% 2m": SLOW_START,
}


@pytest.mark.parametrize("line, said", WRONG_NUMBER.items(), ids=WRONG_NUMBER)
def test_httpd_refuses_a_directive_with_a_wrong_number_of_arguments(written, line, said):
    assert refusal(written(section(line))) == said


def test_httpd_does_not_start_with_what_it_refuses(written):
    said = start_in_vain(written(section("LBStickyHash maybe")))
    assert said.count("LBStickyHash: 'maybe' is not allowed: on or off") == 1


BALANCER = ("proxy_balancer", "lbmethod_byrequests")


@pytest.mark.parametrize("without", [BALANCER, (*BALANCER, "proxy_http", "proxy")],
                         ids=["mod_proxy_balancer", "mod_proxy"])
def test_httpd_does_not_start_without_the_modules_that_this_one_needs(written, without):
    sentence = (r"\[lbmethod_sticky:emerg\] .*lbmethod sticky cannot start: "
                r"load mod_proxy and mod_proxy_balancer too \(LoadModule, or a2enmod proxy_balancer\)")
    server = written("", without=without)
    code, output = server.check_configuration()
    assert code != 0 and len(re.findall(sentence, output)) == 1
    assert len(re.findall(sentence, start_in_vain(server))) == 1


def mod_proxy_of(folder, change):
    """A mod_proxy whose interface has another minor number, as another httpd's has: (its path, old number, new one)."""
    headers = subprocess.run(["apxs", "-q", "INCLUDEDIR"], capture_output=True, text=True, check=True).stdout.strip()
    numbers = re.findall(r"define MODULE_MAGIC_NUMBER_M(?:AJ|IN)OR +(\d+)",
                         pathlib.Path(headers, "ap_mmn.h").read_text())
    major, minor = map(int, numbers)
    own = struct.pack("ii", major, minor)
    library = pathlib.Path(MODULES, "mod_proxy.so").read_bytes()
    assert library.count(own) == 1, "the numbers stand in the module record alone"
    path = folder / "mod_proxy.so"
    path.write_bytes(library.replace(own, struct.pack("ii", major, minor + change)))
    return path, f"{major}.{minor}", f"{major}.{minor + change}"


def test_an_httpd_older_than_that_whose_headers_the_module_was_built_with_does_not_start(written, tmp_path):
    path, built_for, older = mod_proxy_of(tmp_path, -1)
    server = written(cluster(A), files={"proxy": path})
    httpd = re.search(r"Apache/([\d.]+)", subprocess.run(["apache2", "-v"], capture_output=True, text=True).stdout)[1]
    sentence = (rf"\[lbmethod_sticky:emerg\] .*lbmethod sticky cannot start: it was built for httpd {httpd} "
                rf"\(interface {built_for}\), and this one, {httpd}, is older \(interface {older}\): "
                r"build it with the headers of this one, or install that one")
    code, output = server.check_configuration()
    assert code != 0 and len(re.findall(sentence, output)) == 1, output
    assert len(re.findall(sentence, start_in_vain(server))) == 1


def test_a_newer_httpd_starts(written, tmp_path):
    with written(cluster(A), files={"proxy": mod_proxy_of(tmp_path, 1)[0]}) as server:
        assert server.starts() == 1


# -- What is taken ----------------------------------------------------------------------------------------------------

# What it is: the configuration.
GOOD = {
    "nothing at all": "",
    "a balancer with no directive": cluster(A, B),
    "one name": cluster(f"{A} route=a", more="LBStickySession JSESSIONID"),
    "a name and a parameter": cluster(f"{A} route=a", more="LBStickySession JSESSIONID|jsessionid"),
    "several names": cluster(f"{A} route=a", more="LBStickySession A B|b C"),
    "several lines": cluster(f"{A} route=a", more="LBStickySession A\nLBStickySession B|b C"),
    "names with all that is allowed": cluster(f"{A} route=a", more="LBStickySession Az09!#$%&'+-.^_`~|~`_^.-+'&%$#!"),
    "blanks around names": cluster(f"{A} route=a", more="  LBStickySession\t A    B \t "),
    "a name on a second line": cluster(f"{A} route=a", more="LBStickySession A \\\n    B"),
    "a quoted name": cluster(f"{A} route=a", more='LBStickySession "JSESSIONID"'),
    "names that an application could have": cluster(f"{A} route=a",
                                                    more="LBStickySession connect.sid .AspNetCore.Session __Host-id"),
    "on": cluster(A, more="LBStickyHash on"),
    "ON": cluster(A, more="LBStickyHash ON"),
    "Off": cluster(A, more="LBStickyHash Off"),
    "rotation": cluster(A, more="LBStickyPlace rotation"),
    "Busyness": cluster(A, more="LBStickyPlace Busyness"),
    "SESSIONS": cluster(A, more="LBStickyPlace SESSIONS"),
    "the smallest limit": cluster(A, more="LBStickyLimit new=1"),
    "the largest limit": cluster(A, more="LBStickyLimit all=1000000"),
    "both limits": cluster(A, more="LBStickyLimit all=20 new=10"),
    "a limit for new sessions that is above that for all": cluster(A, more='LBStickyLimit new=20 "all=10"'),
    "the longest slow start": cluster(A, more="LBStickySlowStart 7d from=1%"),
    "a slow start in milliseconds": cluster(A, more="LBStickySlowStart 500ms from=100%"),
    "all of a drain": cluster(A, more='LBStickyDrain header=X-LB-Activation quiet=366d "deadline=12h"'),
    "a drain without a deadline": cluster(A, more="LBStickyDrain deadline=0"),
    "no slow start": cluster(A, more="LBStickySlowStart 0"),
    "directives in other letters": cluster(A, more="lbstickyhash off"),
    "directives before the members": section("LBStickyHash off", f"BalancerMember {A}", "ProxySet lbmethod=sticky"),
    "the method in the section's own line": section(f"BalancerMember {A}", "LBStickyHash off",
                                                    name='Proxy "balancer://mycluster" lbmethod=sticky'),
    "a section without quotes": section(f"BalancerMember {A}", "ProxySet lbmethod=sticky", "LBStickyHash off",
                                        name="Proxy balancer://mycluster"),
    "a section in other letters": section(f"BalancerMember {A}", "ProxySet lbmethod=sticky", "LBStickyHash off",
                                          name='proxy "BALANCER://mycluster"'),
    "a section whose name ends with a slash": section(f"BalancerMember {A}", "ProxySet lbmethod=sticky",
                                                      "LBStickyHash off", name='Proxy "balancer://mycluster/"'),
    "if the module is there": cluster(A, more="<IfModule lbmethod_sticky_module>\nLBStickyHash off\n</IfModule>"),
    "if the module is there, and others too": cluster(
        A, more="<IfModule proxy_module>\n<IfModule lbmethod_sticky_module>\nLBStickyHash off\n</IfModule>\n"
                "</IfModule>"),
    "a section if the module is there": "<IfModule lbmethod_sticky_module>\n"
                                        + cluster(A, more="LBStickyHash off") + "</IfModule>\n",
    "if something is not defined": cluster(A, more="<IfDefine !NOTHING>\nLBStickyHash off\n</IfDefine>"),
    "if the directive is there": cluster(A, more="<IfDirective LBStickyHash>\nLBStickyHash off\n</IfDirective>"),
    "a virtual host": section(cluster(A, more="LBStickyHash off"), name="VirtualHost *"),
    "all balancers": cluster(A) + section("LBStickyHash off", name='Proxy "balancer://*"'),
    "some balancers": cluster(A) + section("LBStickyHash off", name='Proxy "balancer://my*"'),
    "two sections of one balancer": cluster(A, more="LBStickyHash off\nLBStickyCookie one")
                                    + section("LBStickyHash on", "LBStickyCookie two"),
    "a section before its balancer": section("LBStickyHash off") + cluster(A),
}


@pytest.mark.parametrize("configuration", GOOD.values(), ids=GOOD)
def test_httpd_takes_a_directive(written, configuration):
    assert written(configuration).check_configuration() == (0, "Syntax OK\n")


# -- Which balancer a directive is for --------------------------------------------------------------------------------


class Hashing:
    """Whether a balancer hashes a session id: the plainest thing that shows which settings it has."""

    def __init__(self, httpd, backends, *settings, expected=()):
        """settings: (name of a balancer or None, further lines in its section or any text at all)."""
        nodes = backends(2)
        members = [f"{node.url} route=node{i}" for i, node in enumerate(nodes, 1)]
        self.server = httpd("".join(
            cluster(*members, settings="lbmethod=sticky stickysession=S", name=name, path=f"/{name}/", more=more)
            if name else more for name, more in settings), expected=expected)

    def __call__(self, name, *arguments, cookie="S=x"):
        return self.server.curl(f"/{name}/", *arguments, cookie=cookie).affinity == "hash"


def test_a_directive_holds_for_its_own_balancer_alone(httpd, backends):
    hashing = Hashing(httpd, backends, ("one", "LBStickyHash off"), ("two", ""))
    assert (hashing("one"), hashing("two")) == (False, True)


def test_a_directive_does_not_hold_for_a_balancer_whose_name_only_begins_like_its_own(httpd, backends):
    hashing = Hashing(httpd, backends, ("one", "LBStickyHash off"), ("onemore", ""), ("on", ""))
    assert (hashing("one"), hashing("onemore"), hashing("on")) == (False, True, True)


def test_a_directive_in_a_section_with_a_wildcard_holds_for_all_balancers_that_it_matches(httpd, backends):
    hashing = Hashing(httpd, backends, ("red-1", ""), ("red-2", ""), ("green", ""),
                      (None, section("LBStickyHash off", name='Proxy "balancer://red-*"')))
    assert (hashing("red-1"), hashing("red-2"), hashing("green")) == (False, False, True)


def test_of_several_sections_for_one_balancer_the_later_one_wins(httpd, backends):
    everyone_off = (None, section("LBStickyHash off", name='Proxy "balancer://*"'))
    hashing = Hashing(httpd, backends, ("before", "LBStickyHash on"), everyone_off, ("after", "LBStickyHash on"),
                      ("twice", "LBStickyHash on"),
                      (None, section("LBStickyHash off", name='Proxy "balancer://twice"')))
    assert (hashing("before"), hashing("after"), hashing("twice")) == (False, True, False)


def test_a_later_section_changes_what_it_names_and_nothing_else(httpd, backends):
    hashing = Hashing(httpd, backends, ("mine", "LBStickyHash off\nLBStickySession A"),
                      (None, section("LBStickySession B", name='Proxy "balancer://mine"')),
                      expected=["stickysession=S is none of the names of LBStickySession"])
    route = hashing.server.curl("/mine/", cookie="A=x.node1; B=y.node2").route
    assert (route, hashing("mine", cookie="B=x"), hashing("mine", cookie="A=x")) == ("node2", False, False)
    assert hashing.server.curl("/mine/", cookie="A=x.node1").session_sticky is None


def test_a_directive_in_a_section_whose_name_ends_with_a_slash_holds(httpd, backends):
    """mod_proxy takes it for the balancer of that name: ProxySet and BalancerMember in it do hold."""
    hashing = Hashing(httpd, backends, ("mine", ""),
                      (None, section("LBStickyHash off", name='Proxy "balancer://mine/"')))
    assert not hashing("mine")


def test_a_directive_in_a_section_in_other_letters_holds(httpd, backends):
    hashing = Hashing(httpd, backends, ("mine", ""),
                      (None, section("LBStickyHash off", name='Proxy "Balancer://MINE"')))
    assert not hashing("mine")


def test_virtual_hosts_inherit_the_balancers_of_the_main_server_with_their_settings(httpd, backends):
    a, b = backends(2)
    server = httpd(
        section(f"BalancerMember {a.url} route=node1", f"BalancerMember {b.url} route=node2",
                "ProxySet lbmethod=sticky", "LBStickySession S", "LBStickyHash off")
        + "ProxyPass /inherited balancer://mycluster/\n"
        + section("ServerName plain", name="VirtualHost *")
        + section("ServerName rewriting", "RewriteEngine on", "RewriteRule ^/rewritten balancer://mycluster/ [P]",
                  name="VirtualHost *")
        + section("ServerName passing", "ProxyPass /passed balancer://mycluster/", name="VirtualHost *")
        + section("ServerName changing", section("LBStickyHash on"), name="VirtualHost *"))

    def asked(host, path, cookie):
        answer = server.curl(path, "--header", f"Host: {host}", cookie=cookie)
        return answer.affinity, answer.body if answer.affinity == "route" else None

    for host, path in (("plain", "/inherited"), ("rewriting", "/rewritten"), ("passing", "/passed")):
        assert asked(host, path, "S=x.node2") == ("route", "backend2")
        assert asked(host, path, "S=x") == ("new", None)
    assert asked("changing", "/inherited", "S=x.node2") == ("route", "backend2")
    assert asked("changing", "/inherited", "S=x") == ("hash", None)


# -- What is warned of ------------------------------------------------------------------------------------------------


def no_route(some, of_all, first, name="mycluster"):
    return (f"balancer://{name}: {some} of {of_all} members have no route=, {first} the first: "
            "a session id cannot name them")


def same_route(route, one=A, other=B):
    return (f"balancer://mycluster: members {one} and {other} have the same route={route}: "
            "sessions of the one go to the other")


def unusable(route, character):
    return (f"balancer://mycluster: route={route} of member {A} holds '{character}', which cannot stand in a cookie: "
            "its sessions may not be found")


def no_effect(name="mycluster", method="byrequests"):
    return f"balancer://{name}: its LBSticky directives have no effect as long as its lbmethod is {method}, not sticky"


STICKY = "lbmethod=sticky stickysession=S"
NO_COOKIE = "LBStickyCookie off"


def not_seen(cookie):
    return (f"balancer://mycluster: LBStickyCookie {cookie} has the name of the application's session, which members will "
            "not see: give it another")


def other_name(name):
    return (f"balancer://mycluster: stickysession={name} is none of the names of LBStickySession, and those alone count: "
            "name it there, or take it away")


def two_ids(member, other, name="sockets"):
    return (f"balancer://{name}: LBStickyCookie S is shared with balancer://mycluster, where member {member} is {other} "
            "and has another id: give each member that is in both the same route= in both")


def pages_and_sockets(pages, sockets, more="LBStickyCookie S", of_sockets=None):
    return (cluster(*pages, more=more)
            + cluster(*sockets, name="sockets", path="/sockets", more=of_sockets or more))


def met(other="balancer://mycluster", name="mycluster", cookie="lbsticky_mycluster", host="one.example"):
    return (f"balancer://{name}: LBStickyCookie auto, as {cookie}, is also the cookie of another balancer for {host}, "
            f"{other}, with other members or secrets: a client keeps only one of the two; give one of them a name: "
            "LBStickyCookie NAME")


def host(*members, port=0, names="ServerName one.example", **options):
    """A virtual host with a balancer of its own."""
    return section(names, cluster(*members, **options), name=f"VirtualHost *:{port or '*'}")


WS_A = A.replace("http", "ws")
WS_B = B.replace("http", "ws")

SECRET_A = A.replace("://", "://bob:secret@")
MASKED_A = A.replace("://", "://bob:XXXXXXXX@")

# What it is: (configuration, what is said about it).
WARNED_OF = {
    "a member without a route": (cluster(f"{A} route=a", B, settings=STICKY, more=NO_COOKIE), [no_route(1, 2, B)]),
    "members without a route, with LBStickySession": (
        cluster(A, B, more=f"LBStickySession S\n{NO_COOKIE}"), [no_route(2, 2, A)]),
    "two members with one route": (cluster(f"{A} route=a", f"{B} route=a", settings=STICKY), [same_route("a")]),
    "a member without a route, with a password": (
        cluster(SECRET_A, B, more=f"LBStickySession S\n{NO_COOKIE}"), [no_route(2, 2, MASKED_A)]),
    "two members with one route, one of them with a password": (
        cluster(f"{SECRET_A} route=a", f"{B} route=a", settings=STICKY), [same_route("a", MASKED_A)]),
    "members with passwords, and other ids in the balancers that share a cookie": (
        pages_and_sockets([SECRET_A], [SECRET_A.replace("http", "ws")]),
        [two_ids(MASKED_A.replace("http", "ws"), MASKED_A)]),
    "a standby with the route of another": (cluster(f"{A} route=a", f"{B} route=a status=+H", settings=STICKY),
                                            [same_route("a")]),
    "a route with a blank": (cluster(f'{A} "route=a b"', settings=STICKY), [unusable("a b", " ")]),
    "a route with a semicolon": (cluster(f"{A} route=a;b", settings=STICKY), [unusable("a;b", ";")]),
    "a route with a comma": (cluster(f"{A} route=a,b", settings=STICKY), [unusable("a,b", ",")]),
    "the application's session as the balancer's cookie": (
        cluster(A, more="LBStickySession A S\nLBStickyCookie S"),
        [not_seen("S")]),
    "the balancer's cookie as the application's session": (
        cluster(A, more="LBStickySession A lbsticky_mycluster"),
        ["balancer://mycluster: LBStickyCookie auto, as lbsticky_mycluster, has the name of the application's session, "
         "which members will not see: take it out of LBStickySession"]),
    "stickysession= of an application as the balancer's cookie": (
        cluster(A, settings="lbmethod=sticky stickysession=JSESSIONID|jsessionid", more="LBStickyCookie JSESSIONID"),
        [not_seen("JSESSIONID")]),
    "stickysession= of another application as the balancer's cookie": (
        cluster(A, settings="lbmethod=sticky stickysession=ASP.NET_SessionId", more="LBStickyCookie ASP.NET_SessionId"),
        [not_seen("ASP.NET_SessionId")]),
    "stickysession= of Express as the balancer's cookie": (
        cluster(A, settings="lbmethod=sticky stickysession=connect.sid", more="LBStickyCookie connect.sid"),
        [not_seen("connect.sid")]),
    "stickysession= and LBStickySession of an application as the balancer's cookie": (
        cluster(A, settings="lbmethod=sticky stickysession=SESSION", more="LBStickySession SESSION\nLBStickyCookie SESSION"),
        [not_seen("SESSION")]),
    "stickysession= that LBStickySession does not name": (
        cluster(f"{A} route=a", settings="lbmethod=sticky stickysession=OLD|NEW", more="LBStickySession NEW OTHER|OLD"),
        [other_name("OLD")]),
    "stickysession= of a cookie whose name changes": (
        cluster(f"{A} route=a", settings="lbmethod=sticky stickysession=ASPSESSIONID*"),
        [f"balancer://mycluster: stickysession=ASPSESSIONID*: {NO_WILDCARD}"]),
    "a member with another id in another balancer of the same cookie": (
        pages_and_sockets([A, B], [WS_B, WS_A]), [two_ids(WS_B, B)]),
    "a member of two balancers of the same cookie, with a path": (
        pages_and_sockets([A], [f"{WS_A}/ws"]), [two_ids(f"{WS_A}/ws", A)]),
    "a member of two balancers of the same cookie, at the port of its scheme": (
        pages_and_sockets(["http://localhost"], ["ws://localhost:80"]), [two_ids("ws://localhost", "http://localhost")]),
    "a member with a route in one of two balancers of the same cookie": (
        pages_and_sockets([f"{A} route=a", f"{B} route=b"], [f"{WS_A} route=a", WS_B]), [two_ids(WS_B, B)]),
    "a member of two balancers of the same cookie, over TLS and without": (
        pages_and_sockets([A], [A.replace("http", "https")]), [two_ids(A.replace("http", "https"), A)]),
    "a member of two balancers of a virtual host": (
        section(pages_and_sockets([A], [WS_A]), name="VirtualHost *"), [two_ids(WS_A, A)]),
    "a member of two balancers, of which one has another method": (
        cluster(A, more="LBStickyCookie S") + cluster(WS_A, name="other", path="/other", settings="lbmethod=byrequests",
                                                      more="LBStickyCookie S"), [no_effect("other")]),
    "a member of two balancers that virtual hosts inherit": (
        pages_and_sockets([A], [WS_A]) + section("ServerName a", name="VirtualHost *")
        + section("ServerName b", name="VirtualHost *"), [two_ids(WS_A, A)]),
    "two balancers whose names make one name of a cookie": (
        host(A, port=8001, name="c:8080") + host(B, port=8002, name="c_8080"),
        [met("balancer://c_8080", "c:8080", "lbsticky_c_8080")]),  # httpd has the later host first
    "balancers of one name on the ports of a host": (
        "".join(host(f"{A} route=node{port}", port=port) for port in (8001, 8002, 8003)), [met()]),
    "balancers of one name on the ports of a host without a name": (
        host(A, port=8001, names="") + host(B, port=8002, names=""), [met(host="127.0.0.1")]),
    "balancers of one name, where a host has the other's name too": (
        host(A) + host(B, names="ServerName two.example\nServerAlias other.example ONE.example"), [met()]),
    "balancers of one name, where hosts have one wildcard": (
        host(A, names="ServerName two.example\nServerAlias *.example.com")
        + host(B, names="ServerName one.example\nServerAlias *.example.com"), [met(host="*.example.com")]),
    "balancers of one name, whose cookies are for a whole domain": (
        host(A, more="LBStickyCookie auto domain=example.com")
        + host(B, names="ServerName two.example", more="LBStickyCookie auto domain=example.com"),
        [met(host="example.com")]),
    "a balancer with one member more than that of its name on another port": (
        host(A, port=8001) + host(A, B, port=8002), [met()]),
    **{f"{directive.split()[0]} for another method": (
        cluster(A, settings="lbmethod=byrequests", more=directive), [no_effect()]) for directive in (
            "LBStickySession S", "LBStickyTable idle=1h", "LBStickyStore redis://127.0.0.1", "LBStickyCookie mine",
            "LBStickyHash off", "LBStickyPlace busyness", "LBStickyLimit all=9", "LBStickySlowStart 1m",
            "LBStickyDrain quiet=1m")},
    "a directive for the default method": (section(f"BalancerMember {A}", "LBStickySession S"), [no_effect()]),
    "a directive for a balancer of the main server that a virtual host passes to by another method": (
        cluster(A, more="LBStickyHash off")
        + section("ProxyPass /a balancer://mycluster lbmethod=byrequests", name="VirtualHost *"), [no_effect()]),
    "a directive for all, of which one has another method": (
        cluster(A) + cluster(A, name="other", path="/other", settings="lbmethod=byrequests")
        + section("LBStickyHash off", name='Proxy "balancer://*"'), [no_effect("other")]),
    "a directive for a balancer that is not there": (
        section("LBStickyHash off", name='Proxy "balancer://gone"'),
        ['<Proxy "balancer://gone">: its LBSticky directives have no effect: there is no such balancer']),
    "several things at once": (
        cluster(f"{A} route=a,b", f"{B} route=a,b", "http://127.0.0.1:3", settings=STICKY, more=NO_COOKIE),
        [unusable("a,b", ","), same_route("a,b"), unusable("a,b", ",").replace(A, B),
         no_route(1, 3, "http://127.0.0.1:3")]),
    "a balancer that virtual hosts inherit": (
        cluster(f"{A} route=a", B, settings=STICKY, more=NO_COOKIE) + section("ServerName a", name="VirtualHost *")
        + section("ServerName b", name="VirtualHost *"), [no_route(1, 2, B)]),
    "a balancer of a virtual host": (
        section(cluster(f"{A} route=a", B, settings=STICKY, more=NO_COOKIE), name="VirtualHost *"), [no_route(1, 2, B)]),
    "a directive for a balancer that is not there, with virtual hosts": (
        section("LBStickyHash off", name='Proxy "balancer://gone"') + section(name="VirtualHost *"),
        ['<Proxy "balancer://gone">: its LBSticky directives have no effect: there is no such balancer']),
}


def warnings(text):
    return re.findall(r"\[lbmethod_sticky:warn\] (?:\[pid[^]]*\] )?(?:\[client[^]]*\] )?(.*)", text)


@pytest.mark.parametrize("configuration, said", WARNED_OF.values(), ids=WARNED_OF)
def test_httpd_warns_once_of_what_cannot_work_as_written(httpd, configuration, said):
    server = httpd(configuration, expected=[re.escape(sentence) for sentence in said], daemon=True)
    assert (sorted(warnings(server.log())), warnings(server.output())) == (sorted(said), [])
    code, output = server.check_configuration()
    assert code == 0 and sorted(warnings(output)) == sorted(said)


def test_httpd_warns_of_a_secret_for_no_cookie(httpd, secret):
    said = "balancer://mycluster: LBStickySecretFile has no effect as long as LBStickyCookie is off"
    server = httpd(cluster(A, more=f"LBStickyCookie off\nLBStickySecretFile {secret}"), expected=[re.escape(said)])
    assert warnings(server.log()) == [said]


@pytest.mark.parametrize("of_both, said", [(False, [met()]), (True, [])])
def test_httpd_warns_of_secrets_that_differ_where_automatic_names_meet(written, secret, of_both, said):
    with_secret = f"LBStickySecretFile {secret}"
    server = written(host(A, port=8001, more=with_secret) + host(A, port=8002, more=with_secret if of_both else ""))
    code, output = server.check_configuration()
    assert (code, warnings(output)) == (0, said)


# What it is: the configuration.
NOT_WARNED_OF = {
    "members without routes, where no session id is looked for": cluster(A, B),
    "members without routes, whom the balancer's own cookie names": cluster(A, B, settings=STICKY),
    "members with routes": cluster(f"{A} route=a", f"{B} route=b", settings=STICKY),
    "a route with the separator": cluster(f"{A} route=dc1.n1", settings=STICKY),
    "a route with another separator": cluster(f"{A} route=dc1:n1", settings=f"{STICKY} stickysessionsep=:"),
    "a dot in a route, where there is no separator": cluster(f"{A} route=a.b",
                                                             settings=f"{STICKY} stickysessionsep=Off"),
    "one route in two balancers": cluster(f"{A} route=a", settings=STICKY)
                                  + cluster(f"{A} route=a", settings=STICKY, name="other", path="/other"),
    "routes of a balancer that has another method": cluster(
        f"{A} route=a,b", f"{B} route=a,b", "http://127.0.0.1:3", settings="lbmethod=byrequests stickysession=S"),
    "stickysession= as the balancer's cookie, where the balancer makes both": cluster(
        f"{A} route=a", settings="lbmethod=sticky stickysession=ROUTEID", more="LBStickyCookie ROUTEID"),
    "stickysession= as the balancer's cookie, of a name like an application's": cluster(
        f"{A} route=a", settings="lbmethod=sticky stickysession=STICKYSESSION", more="LBStickyCookie STICKYSESSION"),
    "stickysession= as the balancer's cookie, of another such name": cluster(
        f"{A} route=a", settings="lbmethod=sticky stickysession=SESSIONROUTE", more="LBStickyCookie SESSIONROUTE"),
    "stickysession= of an application beside the balancer's cookie": cluster(
        f"{A} route=a", settings="lbmethod=sticky stickysession=JSESSIONID", more="LBStickyCookie jsessionid"),
    "stickysession= of an application, and no cookie of the balancer's": cluster(
        f"{A} route=a", settings="lbmethod=sticky stickysession=JSESSIONID", more=NO_COOKIE),
    "LBStickySession of the balancer's cookie, which it does not give": cluster(
        f"{A} route=a", more=f"LBStickySession lbsticky_mycluster\n{NO_COOKIE}"),
    "stickysession= that LBStickySession names too": cluster(
        f"{A} route=a", settings="lbmethod=sticky stickysession=S|s", more="LBStickySession T S"),
    "members with routes, or in one balancer, or of another cookie, or another address": pages_and_sockets(
        [f"{A} route=a", f"{B} route=b"], [f"{WS_A} route=a", f"{WS_B} route=b"])
        + cluster("http://127.0.0.1:3", "ws://127.0.0.1:3", name="three", path="/three", more="LBStickyCookie T")
        + cluster("ws://127.0.0.1:4", name="four", path="/four", more="LBStickyCookie T"),
    "a member of two balancers, each with a cookie of its own": pages_and_sockets([A], [WS_A], more=""),
    "a member of two balancers, whose cookies have other names": pages_and_sockets(
        [A], [WS_A], of_sockets="LBStickyCookie T"),
    "a member of two balancers, whose cookies go elsewhere": pages_and_sockets(
        [A], [WS_A], of_sockets="LBStickyCookie S path=/sockets"),
    "a member of two balancers with one URL": pages_and_sockets([A, B], [B]),
    "two balancers whose names make one name of a cookie, with the same members":
        host(A, B, port=8001, name="c:8080") + host(B, A, port=8002, name="c_8080"),
    "balancers of one name on the ports of a host, of which one has a cookie of its own":
        host(A, port=8001) + host(B, port=8002, more="LBStickyCookie c"),
    "balancers of one name on the ports of a host, of which one gives no cookie":
        host(A, port=8001) + host(B, port=8002, more=NO_COOKIE),
    "balancers of one name on the ports of a host, of which one has another method":
        host(A, port=8001) + host(B, port=8002, settings="lbmethod=byrequests"),
    "balancers of one name on the ports of a host, for other paths": host(
        A, port=8001, more="LBStickyCookie auto path=/1") + host(B, port=8002, more="LBStickyCookie auto path=/2"),
    "balancers of one name on the ports of a host, with the same routes": host(f"{A} route=a", port=8001)
                                                                         + host(f"{B} route=a", port=8002),
    "balancers of one name on different hosts": host(A) + host(B, names="ServerName two.example"),
    "a balancer that virtual hosts of one name inherit": cluster(A, B) + section(
        "ServerName 127.0.0.1", "ProxyPass /a balancer://mycluster", name="VirtualHost *:8001") + section(
        "ServerName 127.0.0.1", name="VirtualHost *:8002"),
    "directives where they work": cluster(f"{A} route=a", f"{B} route=b", more="LBStickySession S\nLBStickyHash off"),
    "a directive for all balancers": cluster(A) + cluster(B, name="other", path="/other")
                                     + section("LBStickyHash off", name='Proxy "balancer://*"'),
    "a section for a balancer that is not there, without a directive": section(name='Proxy "balancer://gone"'),
    "a directive for a balancer that a virtual host inherits": cluster(A) + section(
        section("LBStickyHash off"), name="VirtualHost *"),
    "a directive for a balancer of the main server that a virtual host passes to":
        cluster(A, more="LBStickyHash off") + section("ProxyPass /a balancer://mycluster", name="VirtualHost *"),
    "a directive for a balancer that a virtual host passes to by the same method":
        cluster(A, more="LBStickyHash off")
        + section("ProxyPass /a balancer://mycluster lbmethod=sticky", name="VirtualHost *"),
}


@pytest.mark.parametrize("configuration", NOT_WARNED_OF.values(), ids=NOT_WARNED_OF)
def test_httpd_does_not_warn_of(httpd, configuration):
    server = httpd(configuration)
    assert warnings(server.output() + server.log()) == []
    assert server.check_configuration() == (0, "Syntax OK\n")


@pytest.mark.parametrize("word", ["restart", "graceful"])
@pytest.mark.parametrize("daemon", [True, False], ids=["started as Debian does", "in the foreground"])
def test_the_warnings_are_in_the_error_log_once_after_each_start(httpd, daemon, word):
    said = [same_route("a"), no_effect("other")]
    server = httpd(cluster(f"{A} route=a", f"{B} route=a")
                   + cluster(A, name="other", path="/other", settings="lbmethod=byrequests", more="LBStickyHash off"),
                   daemon=daemon, expected=[re.escape(sentence) for sentence in said])
    assert sorted(warnings(server.log())) == sorted(said)
    code, output = server.check_configuration()
    assert code == 0 and sorted(warnings(output)) == sorted(said)
    for starts in (2, 3):
        server.control(word)
        assert sorted(warnings(server.log())) == sorted(said * starts)
    assert warnings(server.output()) == []
