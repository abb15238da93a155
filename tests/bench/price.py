"""The price of stickiness: each server with its plain round robin, and with its stickiness on.

    price.py MODULE [--quick] [--json FILE] [--plot FOLDER]

A server is measured alone. It listens on two ports, one plain and one sticky, and wrk loads them in turns with the same
requests, which carry the cookies that the server gave.
"""

import collections
import contextlib
import functools
import pathlib
import random
import re
import subprocess
import tempfile

import callgrind
from loadtest import (CONNECTIONS, LOAD_CORES, SERVER_CORES, Httpd, addresses, alone, alternate, ask, attempt, backends,
                      bars, cookie_file, counted, figures, free_port, median, members_reached, nginx_conf, paragraph,
                      progress, ratios, running, spread, table, version)

MEMBERS = addresses(4)
WAYS = ["plain", "sticky"]


# -- the servers: each yields its process id and the URLs of the two ways; `before` stands before its command --------

def two_ports():
    first = second = free_port()
    while second == first:
        second = free_port()
    return dict(zip(WAYS, (first, second)))


def urls(ports):
    return {way: f"http://127.0.0.1:{port}/" for way, port in ports.items()}


def virtual_host(way, port, members, more, header=""):
    lines = "\n".join(f"        BalancerMember {member}" for member in members)
    return f"""
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
    {header}
    <Proxy "balancer://{way}">
{lines}
        {more}
    </Proxy>
    ProxyPass / balancer://{way}/
</VirtualHost>
"""


@contextlib.contextmanager
def httpd_with_module(folder, module, backend, before=()):
    ports = two_ports()
    members = [f"http://{member}:{backend}" for member in MEMBERS]
    plain = virtual_host("plain", ports["plain"], members, "ProxySet lbmethod=sticky\n        LBStickyCookie off")
    sticky = virtual_host("sticky", ports["sticky"], members, "ProxySet lbmethod=sticky")
    with Httpd(folder, module, plain + sticky, before) as httpd:
        yield httpd.process.pid, urls(ports)


@contextlib.contextmanager
def httpd_stock(folder, module, backend, before=()):
    """With the recipe of httpd's own documentation."""
    ports = two_ports()
    members = [f"http://{member}:{backend} route={number}" for number, member in enumerate(MEMBERS, 1)]
    plain = virtual_host("plain", ports["plain"], members, "ProxySet lbmethod=byrequests")
    recipe = 'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED'
    sticky = virtual_host("sticky", ports["sticky"], members,
                          "ProxySet lbmethod=byrequests stickysession=ROUTEID", recipe)
    with Httpd(folder, None, plain + sticky, before) as httpd:
        yield httpd.process.pid, urls(ports)


@contextlib.contextmanager
def other(configure, folder, module, backend, before=()):
    """configure(folder, ports, backend) writes the configuration of a server, and returns the command that runs it."""
    folder.mkdir()
    ports = two_ports()
    command = configure(folder, ports, backend)
    with running([*before, *command], SERVER_CORES, ports["plain"], folder) as pid:
        yield pid, urls(ports)


def haproxy(folder, ports, backend):
    cookies = {"plain": "", "sticky": "cookie SRV insert indirect nocache"}
    listeners = ""
    for way in WAYS:
        servers = "\n".join(f"    server s{number} {member}:{backend}" + (f" cookie s{number}" if cookies[way] else "")
                            for number, member in enumerate(MEMBERS, 1))
        listeners += f"""
listen {way}
    bind 127.0.0.1:{ports[way]}
    balance roundrobin
    {cookies[way]}
{servers}
"""
    (folder / "haproxy.cfg").write_text(f"""
global
    maxconn 4096
    nbthread {len(SERVER_CORES)}
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
{listeners}""")
    return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]


def nginx(folder, ports, backend):
    members = "\n".join(f"        server {member}:{backend};" for member in MEMBERS)
    http = "".join(f"""
    upstream {way} {{
        {method}
{members}
        keepalive {4 * CONNECTIONS};
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{ports[way]};
        location / {{
            proxy_pass http://{way};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}""" for way, method in zip(WAYS, ("", "hash $cookie_sid consistent;")))
    return nginx_conf(folder, len(SERVER_CORES), http)


def caddy(folder, ports, backend):
    members = " ".join(f"{member}:{backend}" for member in MEMBERS)
    sites = "".join(f"""
http://127.0.0.1:{ports[way]} {{
    reverse_proxy {members} {{
        lb_policy {policy}
    }}
}}
""" for way, policy in zip(WAYS, ("round_robin", "cookie")))
    (folder / "Caddyfile").write_text(f"""{{
    admin off
    auto_https off
    log {{
        level ERROR
    }}
}}
{sites}""")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"]


SERVERS = {"httpd, this module": httpd_with_module, "httpd, stock": httpd_stock,
           "HAProxy": functools.partial(other, haproxy), "nginx": functools.partial(other, nginx),
           "Caddy": functools.partial(other, caddy)}
COUNTED = ["httpd, this module", "httpd, stock", "HAProxy", "nginx"]  # valgrind does not run what is written in Go
SETTINGS = {
    "httpd, this module": ("`lbmethod=sticky`, `LBStickyCookie off`", "`lbmethod=sticky`"),
    "httpd, stock": ("`lbmethod=byrequests`", "`stickysession=ROUTEID`, `Header add Set-Cookie …`"),
    "HAProxy": ("`balance roundrobin`", "`cookie SRV insert indirect nocache`"),
    "nginx": ("round robin", "`hash $cookie_sid consistent`"),
    "Caddy": ("`lb_policy round_robin`", "`lb_policy cookie`"),
}


# -- cookies, and whether they do what they are for ------------------------------------------------------------------

def cookies_given(url):
    """Asks as a new client, over and over, until each member's cookie is known."""
    given = {}
    for _ in range(200):
        answer = subprocess.run(["curl", "--silent", "--show-error", "--fail", "--include", "--max-time", "20", url],
                                capture_output=True, text=True, check=True, timeout=30).stdout
        head, _, body = answer.partition("\n\n")
        cookie = re.search(r"^set-cookie: ([^;\n]+)", head, re.IGNORECASE | re.MULTILINE)
        if not cookie:
            raise RuntimeError(f"no cookie from {url}:\n{head}")
        given[body.split()[0]] = cookie.group(1)
        if len(given) == len(MEMBERS):
            return list(given.values())
    raise RuntimeError(f"cookies of {list(given)} only")


def cookies_made():
    """For nginx, which gives none: ids that the application would have given."""
    chance = random.Random(1)
    return [f"sid={chance.randrange(16 ** 32):032x}" for _ in range(400)]


def check_sticky(url, cookies):
    """Every cookie is at one member, and all together are at all of them."""
    reached = {}
    for cookie in cookies:
        reached[cookie] = collections.Counter(members_reached(url, cookie, 5))
        assert len(reached[cookie]) == 1, f"{url}: {cookie} at {dict(reached[cookie])}"
    everywhere = set().union(*reached.values())
    assert len(everywhere) == len(MEMBERS), f"{url}: all at {everywhere}"


def check_plain(url, cookie):
    """It goes round, whatever cookie there is."""
    reached = collections.Counter(members_reached(url, cookie, 40))
    assert len(reached) == len(MEMBERS) and min(reached.values()) >= 5, f"{url}: {dict(reached)}"


# -- measuring -------------------------------------------------------------------------------------------------------

def versions():
    return {"httpd": version("apache2", "-v"), "HAProxy": version("haproxy", "-v"), "nginx": version("nginx", "-v"),
            "Caddy": version("caddy", "version"), "wrk": version("wrk", "-v")}


def measure_server(folder, module, backend, name, pairs, seconds, warm):
    with SERVERS[name](folder / "server", module, backend) as (pid, url):
        cookies = cookies_of(name, url)
        check_sticky(url["sticky"], cookies[:100])
        check_plain(url["plain"], cookies[0])
        return alternate(url, cookie_file(folder / "cookies", cookies), pairs, seconds, warm, pid)


def cookies_of(name, url):
    return cookies_made() if name == "nginx" else cookies_given(url["sticky"])


def instructions(folder, module, backend, name, times):
    """{way: instructions a request}."""
    folder.mkdir()
    found = {}
    for way in WAYS:
        def run(command, requests, way=way):
            its_own = folder / f"{way}{requests}"
            its_own.mkdir()
            with SERVERS[name](its_own / "server", module, backend, command) as (_, url):
                ask(url[way], cookies_of(name, url), requests, its_own)
        found[way] = callgrind.instructions(folder / way, times, run)
    return found


def measure(module, quick):
    pairs, seconds, warm = (1, 1, 1) if quick else (14, 1, 10_000)
    results = {"pairs": pairs, "seconds": seconds, "connections": CONNECTIONS, "server_cores": len(SERVER_CORES),
               "load_cores": len(LOAD_CORES), "versions": versions(), "cases": []}
    with tempfile.TemporaryDirectory(prefix="lbsticky-price-") as temporary:
        folder = pathlib.Path(temporary)
        folder.chmod(0o755)
        with backends(folder / "backends") as backend:
            for number, name in enumerate(SERVERS):
                (folder / str(number)).mkdir()
                runs, error = attempt(measure_server, folder / str(number), module, backend, name, pairs, seconds, warm)
                server = {"name": name, "runs": runs, "error": error}
                if not server["error"]:
                    server["ratio"] = ratios(runs, "sticky", "plain", "rate")
                    server["cpu_ratio"] = ratios(runs, "sticky", "plain", "cpu")
                    if name in (COUNTED[:1] if quick else COUNTED):
                        server["instructions"], server["error"] = attempt(
                            instructions, folder / f"{number}-counted", module, backend, name, 20 if quick else 500)
                progress(f"price of stickiness, {name}: "
                         f"{server['error'] or 'sticky to plain ' + spread(server['ratio'])}")
                results["cases"].append(server)
    return results


def row(server):
    name = server["name"]
    if server["error"]:
        return [name, f"failed: {server['error']}", *[""] * 9]
    runs = server["runs"]
    return [name, *(median(figures(runs[way], "rate")) for way in WAYS), f"**{spread(server['ratio'])}**",
            *(median(figures(runs[way], "cpu"), 3) for way in WAYS), spread(server["cpu_ratio"]),
            *counted(server.get("instructions"), "sticky", "plain"),
            median(figures(runs["plain"] + runs["sticky"], "busy"), 2)]


def report(results):
    head = ["server", "plain, requests/s", "sticky, requests/s", "sticky to plain", "plain, CPU s per 10,000",
            "sticky, CPU s per 10,000", "CPU, sticky to plain", "plain, instructions", "sticky, instructions",
            "instructions, sticky to plain", "cores busy"]
    settings = table(["server", "plain", "sticky"], [[name, *SETTINGS[name]] for name in SETTINGS])
    numbers = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    text = paragraph(f"""
        `wrk` through each server, alone on {results["server_cores"]} core(s), to {len(MEMBERS)} members, all of them
        one nginx, which has {results["load_cores"]} core(s) together with `wrk`. {results["connections"]} connections
        kept open, those to the members too; no access log. Plain and sticky in turns, with the same requests, which
        carry the cookies that the server gave (nginx gives none: ids as an application gives them):
        {results["pairs"]} pair(s) of runs of {results["seconds"]} s. Medians; a ratio is that of the two runs of a
        pair: median (lowest to highest). CPU is user and system time of all processes of the server, per 10,000
        requests. Instructions are those of one request in user space, counted by callgrind, which noise does not touch;
        the system calls are the same in both ways. Where a server does not keep its cores busy, `wrk` and the members
        are the limit, and the CPU time tells more than the requests a second. {numbers}.""")
    return f"""## The price of stickiness

{text}

{table(head, [row(server) for server in results["cases"]])}

{settings}
"""


def plot(results, folder):
    panels = [(title, WAYS, [(server["name"].replace(", ", "\\n"), [
        [] if server["error"] else figures(server["runs"][way], key) for way in WAYS]) for server in results["cases"]])
        for title, key in (("requests a second", "rate"), ("CPU seconds per 10,000 requests", "cpu"))]
    bars(folder / "price.svg", "The price of stickiness", panels)


if __name__ == "__main__":
    alone(measure, report, plot)
