"""The servers whose placements are compared, each with the stickiness that it has, and equal timeouts and retries.

A server is called with (folder, module, addresses of the members, seconds until a member must have answered, whether
there are health checks), and yields (its port, its process id).
"""

import contextlib

from loadtest import SERVED, SERVER_CORES, Httpd, free_port, nginx_conf, paragraph, running, version

RETRY = 2  # seconds that a member which failed is left alone
CONNECT = 1  # seconds until a member must have taken a connection
LIMITS = "LBStickyLimit new=8 all=24"  # a member serves 4 at once

TOLD = paragraph(f"""
    Each has the stickiness that its manual gives it; all the same are: {CONNECT} s for a connection to a member; 60 s
    until it must have answered, 1 s in (c); a member that failed is left alone for {RETRY} s. Failures are noticed in
    visitors' requests. HAProxy needs a check of its own to take a member back: that is made {RETRY} s after the member
    failed, and again and again; it does not cost a visitor anything. With health checks: GET /check each second, one
    failure is enough, and one success. nginx has none. A request that was sent and not answered in time is asked again
    at another member by HAProxy, nginx and Caddy, and takes longer than 1 s; httpd answers with 504. Both count as
    failed in (c). httpd has as many threads as there may be requests, so that none waits for a thread.""")


# -- httpd -----------------------------------------------------------------------------------------------------------

class ManyThreads(Httpd):
    """httpd with a thread for each request that may be in flight: what waits is to wait at the members."""

    served = [*SERVED, "lbmethod_bybusyness", "proxy_hcheck"]
    threads = 1024


class HttpdServer:
    """httpd with such settings of its balancer; more: further lines in its section."""

    def __init__(self, method, more=()):
        self.method, self.more = method, more
        self.told = "; ".join(f"`{line}`" for line in [f"ProxySet lbmethod={method}", *self.session(), *more])

    def session(self):
        """Its stickiness; the stock methods' is that of their manual."""
        if self.method == "sticky":
            return ["LBStickySession JSESSIONID"]
        return ["ProxySet stickysession=ROUTEID",
                'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED']

    def configuration(self, members, timeout, checks):
        each = f"timeout={timeout} connectiontimeout={CONNECT} retry={RETRY}"
        if checks:
            each += " hcmethod=GET hcuri=/check hcinterval=1 hcfails=1 hcpasses=1"
        lines = [*(f"BalancerMember http://{member} route=node{number} {each}"
                   for number, member in enumerate(members, 1)),
                 f"ProxySet lbmethod={self.method} failontimeout=On", *self.session(), *self.more]
        section = "\n".join(f"    {line}" for line in lines)
        return f'ThreadStackSize 262144\n<Proxy "balancer://app">\n{section}\n</Proxy>\nProxyPass / balancer://app/\n'

    @contextlib.contextmanager
    def __call__(self, folder, module, members, timeout, checks):
        server = ManyThreads(folder, module if self.method == "sticky" else None,
                             self.configuration(members, timeout, checks))
        server.expected = [r"\[proxy\w*:"]  # what it says of members that fail, as they are to
        with server:
            yield server.port, server.process.pid


# -- the others ------------------------------------------------------------------------------------------------------

class Other:
    """configure(folder, port, members, timeout, checks) writes a configuration and returns the command that runs it."""

    def __init__(self, method, told):
        self.method, self.told = method, told

    @contextlib.contextmanager
    def __call__(self, folder, module, members, timeout, checks):
        folder.mkdir()
        port = free_port()
        with running(self.configure(folder, port, members, timeout, checks), SERVER_CORES, port, folder) as pid:
            yield port, pid


class Haproxy(Other):
    def __init__(self, method):
        super().__init__(method, f"`balance {method}`, `cookie SRV insert indirect nocache`, `option redispatch`, "
                                 "`retry-on conn-failure empty-response response-timeout`, "
                                 "`observe layer7 error-limit 1 on-error mark-down`")

    def configure(self, folder, port, members, timeout, checks):
        servers = "\n".join(f"    server node{number} {member} cookie node{number}"
                            for number, member in enumerate(members, 1))
        interval = "inter 1s" if checks else f"inter 1h fastinter {RETRY}s downinter {RETRY}s"
        (folder / "haproxy.cfg").write_text(f"""
global
    maxconn 8192
    nbthread {len(SERVER_CORES)}
defaults
    mode http
    timeout connect {CONNECT}s
    timeout client 60s
    timeout server {timeout}s
    timeout check 1s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response response-timeout
    option httpchk GET /check
    default-server check {interval} fall 1 rise 1 observe layer7 error-limit 1 on-error mark-down
listen app
    bind 127.0.0.1:{port}
    balance {self.method}
    cookie SRV insert indirect nocache
{servers}
""")
        return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]


class Nginx(Other):
    def __init__(self, method):
        super().__init__(method, f"`{method or 'round robin'}` where there is no session; else the route in JSESSIONID "
                                 "leads, by a `map`, to an upstream of that member, with the others as `backup`; "
                                 f"`max_fails=1 fail_timeout={RETRY}s`, `proxy_next_upstream error timeout`")

    def configure(self, folder, port, members, timeout, checks):
        mark = f"max_fails=1 fail_timeout={RETRY}s"
        all_lines = "\n".join(f"        server {member} {mark};" for member in members)
        upstreams = f"""
    upstream new {{
        zone new 256k;
        {f"{self.method};" if self.method else ""}
{all_lines}
        keepalive 256;
    }}"""
        routes = ""
        for number, member in enumerate(members, 1):
            routes += f'        "~\\.node{number}$" node{number};\n'
            lines = "\n".join(f"        server {other} {mark}{'' if other == member else ' backup'};"
                              for other in members)
            upstreams += f"""
    upstream node{number} {{
        zone node{number} 256k;
{lines}
        keepalive 64;
    }}"""
        return nginx_conf(folder, len(SERVER_CORES), f"""
    map $cookie_jsessionid $upstream {{
        default new;
{routes}    }}
{upstreams}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://$upstream;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_connect_timeout {CONNECT}s;
            proxy_read_timeout {timeout}s;
            proxy_next_upstream error timeout;
            proxy_next_upstream_tries 3;
        }}
    }}""")


class Caddy(Other):
    def __init__(self):
        super().__init__("cookie", "`lb_policy cookie`, which places new sessions at random (other fallbacks came with "
                                   f"2.7), `fail_duration {RETRY}s`, `max_fails 1`, `lb_try_duration 5s`, "
                                   "`response_header_timeout`")

    def configure(self, folder, port, members, timeout, checks):
        active = "health_uri /check\n        health_interval 1s\n        health_timeout 1s" if checks else ""
        (folder / "Caddyfile").write_text(f"""{{
    admin off
    auto_https off
    log {{
        level ERROR
    }}
}}
http://127.0.0.1:{port} {{
    reverse_proxy {" ".join(members)} {{
        lb_policy cookie lb
        lb_try_duration 5s
        lb_retries 3
        fail_duration {RETRY}s
        max_fails 1
        {active}
        transport http {{
            dial_timeout {CONNECT}s
            response_header_timeout {timeout}s
        }}
    }}
}}
""")
        return ["caddy", "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"]


SERVERS = {
    "sticky rotation": HttpdServer("sticky"),
    "sticky busyness": HttpdServer("sticky", ["LBStickyPlace busyness"]),
    "sticky sessions": HttpdServer("sticky", ["LBStickyPlace sessions"]),
    "sticky rotation limits": HttpdServer("sticky", [LIMITS]),
    "sticky busyness limits": HttpdServer("sticky", ["LBStickyPlace busyness", LIMITS]),
    "sticky sessions limits": HttpdServer("sticky", ["LBStickyPlace sessions", LIMITS]),
    "httpd byrequests": HttpdServer("byrequests"),
    "httpd bybusyness": HttpdServer("bybusyness"),
    "HAProxy roundrobin": Haproxy("roundrobin"),
    "HAProxy leastconn": Haproxy("leastconn"),
    "HAProxy random(2)": Haproxy("random(2)"),
    "nginx round robin": Nginx(""),
    "nginx least_conn": Nginx("least_conn"),
    "nginx random two": Nginx("random two least_conn"),
    "Caddy cookie": Caddy(),
}


def versions():
    return {"httpd": version("apache2", "-v"), "HAProxy": version("haproxy", "-v"), "nginx": version("nginx", "-v"),
            "Caddy": version("caddy", "version")}
