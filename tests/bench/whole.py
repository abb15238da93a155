"""Whole requests through httpd: byrequests with stickysession= against sticky, by the number of members.

    whole.py MODULE [--quick] [--json FILE] [--plot FOLDER]

Both balancers are in one httpd, and wrk loads them in turns: each run is compared with the run beside it.
"""

import pathlib
import random
import tempfile

import callgrind
from loadtest import (CONNECTIONS, LOAD_CORES, SERVER_CORES, Httpd, addresses, alone, alternate, ask, attempt, backends,
                      bars, cookie_file, counted, figures, median, members_reached, paragraph, progress, ratios, spread,
                      table, version)

MEMBERS = [2, 128, 1000]
PATHS = {"stock": "/stock/", "sticky": "/sticky/"}
NAMES = ["byrequests", "sticky"]  # as they are called in what people read, in the order of PATHS

# What clients send: sessions whose route is known, or nothing.
KINDS = {"session": "session cookie", "new": "no cookie"}


def balancer(name, members, port, settings, more):
    lines = "\n".join(f"    BalancerMember http://{address}:{port} route=node{number}"
                      for number, address in enumerate(members, 1))
    return f"""
<Proxy "balancer://{name}">
{lines}
    ProxySet {settings}
    {more}
</Proxy>
ProxyPass {PATHS[name]} balancer://{name}/
"""


def configuration(members, port, kind):
    own_cookie = "" if kind == "session" else "LBStickyCookie off"
    return (balancer("stock", members, port, "lbmethod=byrequests stickysession=JSESSIONID", "") +
            balancer("sticky", members, port, "lbmethod=sticky", f"LBStickySession JSESSIONID\n    {own_cookie}"))


def session_cookies(members):
    """Cookie headers of about 100 bytes: every member has as many sessions as every other, in no order."""
    chance = random.Random(members)
    routes = [number % members + 1 for number in range(max(4000 // members, 1) * members)]
    chance.shuffle(routes)
    return [f"_ga=GA1.2.{chance.randrange(10 ** 9, 10 ** 10)}.1760000000; "
            f"JSESSIONID={chance.randrange(16 ** 32):032X}.node{route}" for route in routes]


def check_routes(url, members, cookies, kind):
    """A session is at the member that its route names; new ones go round."""
    if kind == "new":
        reached = members_reached(url, None, 2)
        assert len(set(reached)) == 2, f"{url}: both to {reached[0]}"
        return
    for cookie in cookies[:10]:
        home = members[int(cookie.rpartition("node")[2]) - 1]
        reached = set(members_reached(url, cookie, 2))
        assert reached == {home}, f"{url}: a session of {home} at {reached}"


def measure_case(folder, module, port, count, kind, pairs, seconds, warm):
    folder.mkdir()
    members = addresses(count)
    cookies = session_cookies(count) if kind == "session" else []
    with Httpd(folder / "httpd", module, configuration(members, port, kind)) as httpd:
        urls = {name: httpd.url + path for name, path in PATHS.items()}
        for url in urls.values():
            check_routes(url, members, cookies, kind)
        return alternate(urls, cookie_file(folder / "cookies", cookies), pairs, seconds, warm, httpd.process.pid)


def instructions(folder, module, port, count, kind, times):
    """{name: instructions a request}."""
    folder.mkdir()
    members = addresses(count)
    cookies = session_cookies(count) if kind == "session" else []
    found = {}
    for name, path in PATHS.items():
        def run(command, requests, name=name, path=path):
            its_own = folder / f"{name}{requests}"
            its_own.mkdir()
            with Httpd(its_own / "httpd", module, configuration(members, port, kind), command) as httpd:
                ask(httpd.url + path, cookies, requests, its_own)
        found[name] = callgrind.instructions(folder / name, times, run)
    return found


def measure(module, quick):
    # Many short runs: what disturbs a shared machine often lasts longer than a run, and then hits both of a pair.
    pairs, seconds = (1, 1) if quick else (30, 1)
    results = {"pairs": pairs, "seconds": seconds, "connections": CONNECTIONS, "server_cores": len(SERVER_CORES),
               "load_cores": len(LOAD_CORES), "cases": [],
               "versions": {"httpd": version("apache2", "-v"), "nginx": version("nginx", "-v"),
                            "wrk": version("wrk", "-v")}}
    with tempfile.TemporaryDirectory(prefix="lbsticky-whole-") as temporary:
        folder = pathlib.Path(temporary)
        folder.chmod(0o755)
        with backends(folder / "backends") as port:
            for kind in KINDS:
                for count in MEMBERS[:2] if quick else MEMBERS:
                    runs, error = attempt(measure_case, folder / f"{kind}{count}", module, port, count, kind, pairs,
                                          seconds, 1 if quick else 10_000 + 40 * count)
                    case = {"members": count, "kind": kind, "runs": runs, "error": error}
                    if not error:
                        case["ratio"] = ratios(runs, "sticky", "stock", "rate")
                    if not error and not (quick and count > MEMBERS[0]):
                        case["instructions"], case["error"] = attempt(
                            instructions, folder / f"{kind}{count}-counted", module, port, count, kind,
                            20 if quick else 500)
                    progress(f"whole requests, {count} members, {KINDS[kind]}: "
                             f"{case['error'] or 'sticky to stock ' + spread(case['ratio'])}")
                    results["cases"].append(case)
    return results


def row(case):
    label = [case["members"], KINDS[case["kind"]]]
    if case["error"]:
        return [*label, f"failed: {case['error']}", *[""] * 8]
    runs = case["runs"]
    return [*label, *(median(figures(runs[name], "rate")) for name in PATHS), f"**{spread(case['ratio'])}**",
            *(median(figures(runs[name], "cpu"), 3) for name in PATHS),
            *counted(case.get("instructions"), "sticky", "stock"),
            median(figures(runs["stock"] + runs["sticky"], "busy"), 2)]


def report(results):
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    head = ["members", "request", *(f"{name}, requests/s" for name in NAMES), "sticky to byrequests",
            *(f"{name}, CPU s per 10,000" for name in NAMES), *(f"{name}, instructions" for name in NAMES),
            "instructions, sticky to byrequests", "cores busy"]
    text = paragraph(f"""
        `wrk` through httpd (event MPM) to nginx, {results["connections"]} connections kept open; httpd on
        {results["server_cores"]} core(s), `wrk` and nginx together on {results["load_cores"]}. `lbmethod=byrequests
        stickysession=JSESSIONID` and `lbmethod=sticky` with `LBStickySession JSESSIONID` in one httpd, in turns:
        {results["pairs"]} pair(s) of runs of {results["seconds"]} s. Medians; the ratio of the requests a second is
        that of the two runs of a pair: median (lowest to highest). CPU is user and system time of all processes of
        httpd, per 10,000 requests. Instructions are those of one request in user space, counted by callgrind, which
        noise does not touch; the system calls are the same for both (with 1,000 members nearly every request opens its
        connection to the member, as few come). {versions}.""")
    return f"## Whole requests\n\n{text}\n\n{table(head, [row(case) for case in results['cases']])}\n"


def plot(results, folder):
    panels = []
    for kind, title in KINDS.items():
        cases = [case for case in results["cases"] if case["kind"] == kind]
        panels.append((title, NAMES, [
            (f"{case['members']} members", [[] if case["error"] else figures(case["runs"][name], "rate")
                                            for name in PATHS]) for case in cases]))
    bars(folder / "whole.svg", "Requests a second through httpd", panels)


if __name__ == "__main__":
    alone(measure, report, plot)
