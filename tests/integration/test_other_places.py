"""Session ids that stand neither in a cookie nor in the URL: in a header, or in what an expression says."""

import re

import pytest

from server import STATUS, cluster, with_routes

HEADER = "LBStickySession header:X-Session"
OFF = "LBStickyCookie off\n"
USER = f'{OFF}LBStickySession "expr:%{{REMOTE_USER}}"'
OWN = "Set-Cookie"


def placed(server, *arguments, count=4):
    """The member that serves all of `count` requests with these arguments of curl."""
    [name] = set(server.bodies(count, *arguments))
    return name


def with_session(value, name="X-Session"):
    return "--header", f"{name}: {value}"


def test_an_id_in_a_header_goes_to_the_member_of_its_route(httpd, backends):
    server = httpd(STATUS + cluster(*with_routes(backends(3)), more=OFF + HEADER))
    for number in (1, 2, 3):
        assert placed(server, *with_session(f"0123456789abcdef.node{number}")) == f"backend{number}"
        assert placed(server, *with_session(f"x.node{number}", "x-session")) == f"backend{number}"
    assert "session header:X-Session=0123...(22)" in server.log()
    assert server.report()["sessions"] == ["header:X-Session"]
    assert server.report()["workers"][0]["requests"]["route"] == 8


def test_ids_in_a_header_without_a_route_are_placed_by_hashing(httpd, backends):
    server = httpd(STATUS + cluster(*with_routes(backends(3)), more=OFF + HEADER))
    members = {placed(server, *with_session(f"{number:032x}"), count=2) for number in range(24)}
    assert members == {"backend1", "backend2", "backend3"}
    assert sum(worker["requests"]["hash"] for worker in server.report()["workers"]) == 48


def test_a_client_whose_id_in_a_header_has_no_route_is_given_the_balancers_cookie(httpd, backends):
    members = backends(2)
    server = httpd(STATUS + cluster(*with_routes(members), more=HEADER))
    assert server.curl("/", *with_session("0123456789abcdef")).header(OWN).startswith("lbsticky_mycluster=.node")
    assert server.curl("/", *with_session("0123456789abcdef.node2")).header(OWN) is None
    # The member makes a session: by its id with a route the client comes back.
    for member, number in zip(members, (1, 2), strict=True):
        member.headers = [("X-Session", f"0123456789abcdef.node{number}")]
    assert server.curl("/").header(OWN) is None
    for member in members:
        member.headers = [("X-Session", "0123456789abcdef")]
    assert server.curl("/").header(OWN).startswith("lbsticky_mycluster=.node")


def test_the_first_place_that_is_present_counts(httpd, backends):
    server = httpd(STATUS + cluster(*with_routes(backends(3)),
                           more=f'LBStickySession sid\n{HEADER} "expr:%{{HTTP:X-User}}"\nLBStickyCookie off'))
    user, header = with_session("ann", "X-User"), with_session("a.node2")
    assert server.curl("/", *user, *header, cookie="sid=a.node3").body == "backend3"
    assert server.curl("/", *user, *header).body == "backend2"
    home = placed(server, *user)
    assert server.curl("/", *user, *with_session("")).body == home
    assert re.search(r"affinity hash, session expr:%\{HTTP:X-User\}=a...\(3\)", server.log())


@pytest.mark.parametrize("expression", [
    "%{HTTP:X-User}", "tenant-%{HTTP:X-User}", "%{REMOTE_ADDR} %{HTTP:X-User}", "%{tolower:%{HTTP:X-User}}"])
def test_what_an_expression_says_is_all_id(httpd, backends, expression):
    server = httpd(STATUS + cluster(*with_routes(backends(3)), more=f'{OFF}LBStickySession "expr:{expression}"'))
    homes = {user: placed(server, *with_session(user, "X-User"), count=2)
             for user in (f"user{number}.node1" for number in range(24))}
    assert set(homes.values()) == {"backend1", "backend2", "backend3"}
    counts = [worker["requests"] for worker in server.report()["workers"]]
    assert sum(count["hash"] for count in counts) == 48 and sum(count["route"] for count in counts) == 0


def test_a_request_for_which_an_expression_is_empty_has_no_session(httpd, backends):
    server = httpd(STATUS + cluster(*with_routes(backends(2)), more=USER))
    assert sorted(server.bodies(4)) == ["backend1"] * 2 + ["backend2"] * 2
    assert "no session (no expr:%{REMOTE_USER})" in server.log()


def test_users_who_log_in_have_a_member_each(httpd, backends, open_folder):
    users = open_folder / "users"
    # Passwords are the names: htpasswd -nbs NAME NAME.
    users.write_text("ann:{SHA}dEy5qfs9VYN0TqPs6bTYGdkL3uI=\n")
    login = f"""<Location "/">
    AuthType Basic
    AuthName shop
    AuthUserFile {users}
    Require valid-user
</Location>"""
    server = httpd(STATUS + cluster(*with_routes(backends(3)), more=USER)
                   + login, modules=["auth_basic", "authn_core", "authn_file", "authz_user"])
    assert server.curl("/").status == 401
    placed(server, "--user", "ann:ann")
    assert "session expr:%{REMOTE_USER}=a...(3)" in server.log()


def test_members_need_no_routes_where_an_expression_places_requests(httpd, backends):
    [member] = backends(1)
    server = httpd(cluster(member.url, more=USER))
    assert server.curl("/").body == member.name and "have no route=" not in server.log()


def test_an_id_that_fails_over_comes_home(httpd, backends):
    members = backends(3)
    server = httpd(STATUS + cluster(*with_routes(members, "retry=0"), more=OFF + HEADER),
                   expected=["AH0095[79]", "AH01114"])
    session = with_session("0123456789abcdef")
    home = placed(server, *session)
    [member] = [member for member in members if member.name == home]
    member.stop()
    assert placed(server, *session) != home
    member.start()
    assert placed(server, *session) == home


def test_a_long_id_is_an_id(httpd, backends):
    server = httpd(STATUS + cluster(*with_routes(backends(3)), more=OFF + HEADER))
    assert placed(server, *with_session("x" * 4000 + ".node2")) == "backend2"
    placed(server, *with_session("x" * 4000))
