"""What a placement of new sessions is worth: the latency of the slowest requests, and how full a member becomes.

    outcomes.py MODULE [--quick] [--only WORD,...] [--rounds N] [--json FILE] [--plot FOLDER]

Visitors (sim_visitors) send what they planned, through one server after the other, to members (sim_members) that serve
a few requests at once and let the others wait. WORD is a scenario (`b`) or a word of a server's name (`haproxy`).
"""

import concurrent.futures
import contextlib
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import outcomes_servers
from loadtest import (LOAD_CORES, SERVER_CORES, alone, attempt, cpu_seconds, free_port, on_cores, paragraph, progress,
                      table)
from outcomes_servers import SERVERS

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build/bench/tests/bench"
ROUNDS = 5
AT_ONCE = 2  # runs beside each other: what is measured is waiting at members, and each needs a third of a core
PATIENCE = 5
QUICK = 1 / 16  # of each time of a scenario

# Half of what all members can serve: 8 × 4 at once, 20 ms each, are 1,600 requests a second.
VISITORS = {"rate": 100, "requests": 8, "pause": 0.25, "gap": 0.25, "service": 0.02, "from": 2.5, "seconds": 10}
MEMBERS = {"members": 8, "capacity": 4}
SILENCE = {"members": {"silent": (1, 3, 13)}, "visitors": {"seconds": 14.5}, "timeout": 1}
IN_STEP = {"steady": 1, "requests": 3, "service": 0.001, "step": 0.005, "from": 1, "seconds": 6}

# What differs from the above. Times in seconds; windows are MEMBER:FROM:TO.
SCENARIOS = {
    "a": {"title": "all members equal"},
    "b": {"title": "one of eight is ten times as slow", "members": {"slow": (1, 0, 1000, 10)},
          "visitors": {"watch": (1, 2.5)}},
    "c": {"title": "one is silent for 10 s: it accepts and does not answer", **SILENCE},
    "c-checks": {"title": "the same, with health checks where a server has them", **SILENCE, "checks": True},
    "d": {"title": "one restarts (0.5 s), and is five times as slow for its first 20 s",
          "members": {"down": (1, 2.5, 3), "slow": (1, 3, 23, 5)}, "visitors": {"seconds": 23, "watch": (1, 3)}},
    "e": {"title": "the third of three members comes back under load",
          "members": {"members": 3, "down": (1, 0, 4)}, "visitors": {"rate": 37.5, "watch": (1, 4)}},
    "f": {"title": "heavy sessions: 1% make half of the requests",
          "visitors": {"requests": 4, "heavy": 0.01, "heavy_requests": 396, "heavy_gap": 0.01, "from": 4.5,
                       "seconds": 11}},
    "g": {"title": "three times as many new sessions for 5 s", "visitors": {"rate": 60, "burst": (3.5, 8.5, 3)}},
    "h-options": {"title": "in step: each visitor sends OPTIONS, then GET",
                  "visitors": {**IN_STEP, "before": "options"}},
    "h-pages": {"title": "in step: each visitor fetches two pages before the login that makes its session",
                "members": {"members": 6}, "visitors": {**IN_STEP, "before": "pages"}},
}

# Limits matter where members are slow or crowded. Checks: the strongest server of each program that has them.
ONLY_IN = {"limits": {"b", "c", "c-checks", "d", "g"}}
ONLY = {"c-checks": ["sticky rotation", "sticky busyness", "sticky busyness limits", "httpd bybusyness",
                     "HAProxy leastconn", "Caddy cookie"]}

# In each of these the first is a time, or an end of a window of time.
TIMES = {"pause": [0], "gap": [0], "from": [0], "seconds": [0], "heavy_gap": [0], "slow": [1, 2], "silent": [1, 2],
         "down": [1, 2], "burst": [0, 1], "watch": [1]}


def words(settings, scale):
    """NAME=VALUE as sim_visitors and sim_members take them, all times multiplied by scale."""
    found = []
    for name, value in settings.items():
        parts = list(value) if isinstance(value, tuple) else [value]
        for position in TIMES.get(name, []):
            parts[position] *= scale
        found.append(f"{name}={':'.join(map(str, parts))}")
    return found


# -- one run ---------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def members_running(settings):
    """The members until the end of the block: (process id, function that ends them and returns what they counted)."""
    process = subprocess.Popen(on_cores(LOAD_CORES, [BUILD / "sim_members", *settings]), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the members did not start: {process.communicate(timeout=20)[1]}")

        def end():
            process.terminate()
            return json.loads(process.communicate(timeout=20)[0])

        yield process.pid, end
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def run_once(folder, module, server, scenario, seed, quick):
    """One run of a scenario through a server: its figures."""
    folder.mkdir()
    scale = QUICK if quick else 1
    members = {**MEMBERS, **scenario.get("members", {})}
    visitors = {**VISITORS, **scenario.get("visitors", {})}
    seconds = visitors["seconds"] * scale
    port = free_port("0.0.0.0")
    timeout, checks = scenario.get("timeout", 60), scenario.get("checks", False)
    addresses = [f"127.0.1.{number}:{port}" for number in range(1, members["members"] + 1)]
    with contextlib.ExitStack() as stack:
        # The server, which is still to start, must be up by then.
        start = time.monotonic() + (1 if quick else 1.5)
        pid, end = stack.enter_context(members_running(
            [f"port={port}", f"start={start}", f"from={visitors['from'] * scale}", *words(members, scale)]))
        address, proxy = stack.enter_context(server(folder / "server", module, addresses, timeout, checks))
        late = time.monotonic() - start
        if late > 0:
            raise RuntimeError(f"the server took {late:.1f} s too long to start")
        used, used_by_members = cpu_seconds(proxy), cpu_seconds(pid)
        command = [BUILD / "sim_visitors", f"port={address}", f"start={start}", f"seed={seed}",
                   f"patience={1 if quick else PATIENCE}", *words(visitors, scale)]
        result = subprocess.run(on_cores(LOAD_CORES, command), capture_output=True, text=True, timeout=seconds + 60)
        if result.returncode:
            raise RuntimeError(f"the visitors failed: {result.stderr}")
        seen = json.loads(result.stdout)
        busy = {"server": (cpu_seconds(proxy) - used) / seconds,
                "load": (seen.pop("cpu") + cpu_seconds(pid) - used_by_members) / seconds}
        return figures_of(seen, end(), busy)


def figures_of(seen, members, busy):
    """What is told of a run. seen: by the visitors; members: what each counted."""
    sessions = [seen["sessions"].get(str(number), 0) for number in range(1, len(members) + 1)]
    mean = statistics.mean(sessions)
    return {**seen,
            "failed": seen["refused"] + seen["lost"] + seen["slow"],
            "in_flight": max(member["most_in_flight"] for member in members),
            "caught": sum(member["caught"] for member in members),
            "variation": statistics.pstdev(sessions) / mean if mean else 0,
            "deviation": max(abs(number - mean) for number in sessions) / mean if mean else 0,
            "fullest": max(sessions) / mean if mean else 0,
            "emptiest": min(sessions) / mean if mean else 0,
            "share": seen["watched_there"] / seen["watched"] if seen["watched"] else None,
            "members": members, "busy": busy}


# -- all of them -----------------------------------------------------------------------------------------------------

def names_of(case):
    """The words that name a scenario or a server: `HAProxy`, `h`, or all of it."""
    return {case.lower(), *case.lower().split(), case.split("-")[0]}


def wanted(only):
    """([scenario, …], [server, …]) that these words name; all where none of them names one."""
    words_of = {word.lower() for word in only}
    scenarios = [name for name in SCENARIOS if names_of(name) & words_of]
    servers = [name for name in SERVERS if names_of(name) & words_of]
    unknown = words_of - set().union(*map(names_of, [*SCENARIOS, *SERVERS]))
    if unknown:
        raise SystemExit(f"no scenario and no server: {', '.join(sorted(unknown))}")
    return scenarios or list(SCENARIOS), servers or list(SERVERS)


def chosen(scenario, servers):
    """Those of the servers that have a part in a scenario."""
    return [server for server in servers if server in ONLY.get(scenario, servers)
            and all(scenario in scenarios for word, scenarios in ONLY_IN.items() if word in server.split())]


def measure(module, quick, only=(), rounds=None):
    """only: words for wanted()."""
    rounds = rounds or (1 if quick else ROUNDS)
    scenarios, servers = wanted(only)
    results = {"rounds": rounds, "at_once": AT_ONCE, "versions": outcomes_servers.versions(),
               "server_cores": len(SERVER_CORES), "load_cores": len(LOAD_CORES), "cases": []}
    with tempfile.TemporaryDirectory(prefix="lbsticky-outcomes-") as temporary, \
            concurrent.futures.ThreadPoolExecutor(AT_ONCE) as beside:
        folder = pathlib.Path(temporary)
        folder.chmod(0o755)

        def run(case, seed):
            if case["error"]:
                return
            scenario, server = case["scenario"], case["server"]
            figures, case["error"] = attempt(run_once, folder / f"{scenario} {server} {seed}".replace(" ", "-"), module,
                                             SERVERS[server], SCENARIOS[scenario], seed, quick)
            case["runs"] += [figures] if figures else []
            progress(f"outcomes, {scenario}, {server}: {case['error'] or line(figures)}")

        for place, scenario in enumerate(scenarios):
            # In a hurry every server and every scenario has its turn, but not each with each.
            some = servers[place::len(scenarios)] if quick and not only else servers
            cases = [{"scenario": scenario, "server": server, "runs": [], "error": None}
                     for server in (some if quick else chosen(scenario, some))]
            for seed in range(1, rounds + 1):
                first = seed % len(cases)  # so that it is not always the same that run beside each other
                list(beside.map(run, cases[first:] + cases[:first], [seed] * len(cases)))
            results["cases"] += cases
    return results


def line(run):
    """A run in a few words, for who waits."""
    return (f"p50 {run['p50']:.0f} ms, p95 {run['p95']:.0f}, p99 {run['p99']:.0f}; {run['requests']} requests, "
            f"{run['refused']} refused, {run['lost']} lost; in flight {run['in_flight']}; variation "
            f"{run['variation']:.3f}; cores {run['busy']['server']:.2f} + {run['busy']['load']:.2f}")


# -- what is told ----------------------------------------------------------------------------------------------------

def middle(case, key):
    """The median of a figure over the runs; None where there is none."""
    values = [run[key] for run in case["runs"] if run[key] is not None] if case and not case["error"] else []
    return statistics.median(values) if values else None


COLUMNS = {"p50 (ms)": ("p50", "{:,.0f}"), "p95 (ms)": ("p95", "{:,.0f}"), "p99 (ms)": ("p99", "{:,.0f}"),
           "p99.9 (ms)": ("p99.9", "{:,.0f}"), "refused": ("refused", "{:,.0f}"), "lost": ("lost", "{:,.0f}"),
           "slower than 1 s": ("slow", "{:,.0f}"), "most in flight at a member": ("in_flight", "{:,.0f}"),
           "variation of sessions": ("variation", "{:.3f}"), "largest deviation": ("deviation", "{:.1%}")}
MORE = {"b": {"share of the slow member": ("share", "{:.1%}")},
        "c": {"caught by the silent member": ("caught", "{:,.0f}")},
        "d": {"share of the slow member": ("share", "{:.1%}")},
        "e": {"share of the new member": ("share", "{:.1%}")}}


def columns(scenario):
    return {**COLUMNS, **MORE.get(scenario.split("-")[0], {})}


def row(case):
    shown = columns(case["scenario"])
    if case["error"]:
        return [case["server"], f"failed: {case['error']}", *[""] * (len(shown) - 1)]
    figures = [(middle(case, key), form) for key, form in shown.values()]
    return [case["server"], *("-" if figure is None else form.format(figure) for figure, form in figures)]


def case_of(results, scenario, server):
    return next((case for case in results["cases"] if (case["scenario"], case["server"]) == (scenario, server)), None)


def best(results, scenario, key, without):
    """(least median of all servers but these, its server); (None, None) where there is none."""
    found = [(middle(case, key), case["server"]) for case in results["cases"]
             if case["scenario"] == scenario and case["server"] not in without and middle(case, key) is not None]
    return min(found, default=(None, None))


def compared(figure, limit, of, unit=" ms"):
    """A figure and what it is at most to be, as text, with whether it is. of: whose the limit is."""
    if figure is None or limit is None:
        return "not measured"
    return f"{'yes' if figure <= limit else '**no**'}: {figure:,.3g}{unit}, at most {limit:,.3g}{unit} ({of})"


def bars_reached(results):
    """Rows of the table: what is to be reached, and what was."""
    def of(scenario, server, key):
        return middle(case_of(results, scenario, server), key)

    def times(factor, figure):
        return None if figure is None else factor * figure

    ours = [name for name in SERVERS if name.startswith("sticky")]
    busy = [name for name in ours if "busyness" in name]
    rows = []
    for scenario in ("b", "d", "g"):
        for key in ("p95", "p99"):
            least, server = best(results, scenario, key, busy)
            rows.append([f"({scenario}) {key} of busyness at most 1.1 times the best of all others",
                         compared(of(scenario, "sticky busyness", key), times(1.1, least), f"1.1 × {server}")])
    rows.append(["(b) p95 of busyness at most a third of that of byrequests",
                 compared(of("b", "sticky busyness", "p95"), times(1 / 3, of("b", "httpd byrequests", "p95")),
                          "byrequests / 3")])
    for scenario in ("c", "c-checks"):
        least, server = best(results, scenario, "failed", ours)
        for name in busy:
            failed = of(scenario, name, "failed")
            rows.append([f"({scenario}) refused, lost or slower than 1 s, {name}: at most those that the silent member "
                         "caught", compared(failed, of(scenario, name, "caught"), "caught", "")])
            rows.append([f"({scenario}) the same, {name}: fewer than with every other server",
                         compared(failed, None if least is None else least - 1, f"{server} less 1", "")])
    rows.append(["(a) p99 of busyness at most 5% above that of rotation",
                 compared(of("a", "sticky busyness", "p99"), times(1.05, of("a", "sticky rotation", "p99")),
                          "1.05 × rotation")])
    rows.append(["(f) variation of sessions with `sessions` at most half of that with `busyness`",
                 compared(of("f", "sticky sessions", "variation"), times(0.5, of("f", "sticky busyness", "variation")),
                          "busyness / 2", "")])
    for scenario in ("h-options", "h-pages"):
        rows.append([f"({scenario}) largest deviation of a member from the mean, with `sessions`, at most 10%",
                     compared(of(scenario, "sticky sessions", "deviation"), 0.1, "10%", "")])
    return rows


def report(results):
    numbers = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    runs = [run for case in results["cases"] for run in case["runs"]]
    busiest = {part: max((run["busy"][part] for run in runs), default=0) for part in ("server", "load")}
    lag = max((run["lag_p99"] for run in runs), default=0)
    text = paragraph(f"""
        Simulated visitors through a real server to simulated members. An open loop: what is sent when is planned
        before, from a seed, and nobody waits for an answer; latency counts from the planned moment. There are
        {MEMBERS["members"]} members, each of which serves {MEMBERS["capacity"]} requests at once while others wait; a
        request takes it {VISITORS["service"] * 1e3:.0f} ms on average (exponential). {VISITORS["rate"]} sessions a
        second begin at random, each with {VISITORS["requests"]} requests, {VISITORS["gap"]} s apart on average, the
        first two {VISITORS["pause"]} s more: half of what the members can do. Scenarios say what differs. Every server
        is asked the same, seed by seed, in turns, {results["at_once"]} runs beside each other, and is started anew for
        each; of {results["rounds"]} run(s) the median. Each visitor has a cookie jar; the application gives a session
        its `JSESSIONID=ID.ROUTE`, and again where it moves, as a Tomcat with replicated sessions. Each request has a
        connection of its own: none waits for another one's, and none goes to a connection that is just being closed.
        The servers have {results["server_cores"]} core(s), visitors and members {results["load_cores"]}, of which a run
        used at most {busiest["server"]:.2f} and {busiest["load"]:.2f}; 99 of 100 requests of every run were sent at
        most {lag:.1f} ms late.""")
    meaning = paragraph(f"""
        *Refused* is any answer but 200, *lost* is a connection that broke or no answer within {PATIENCE} s. Percentiles
        are of the requests that were answered with 200 or lost, which count as {PATIENCE} s; refused ones are told
        beside. *In flight at a member* are the requests that it serves and that wait there. *Variation of sessions* is
        the coefficient of variation of the new sessions of a member, *largest deviation* that of a member from the
        mean. Counted are requests planned after the first seconds ({VISITORS["from"]}, or as many as the scenario
        needs until as many sessions end as begin). {numbers}.""")
    parts = [f"## What a placement is worth\n\n{text}\n\n{meaning}\n",
             "![Latency by scenario and server](outcomes.svg)\n",
             "![Sessions of the fullest and the emptiest member](outcomes-sessions.svg)\n",
             table(["to be reached", "measured"], bars_reached(results)) + "\n"]
    for name, scenario in SCENARIOS.items():
        rows = [row(case) for case in results["cases"] if case["scenario"] == name]
        if rows:
            parts.append(f"### ({name}) {scenario['title']}\n\n{table(['server', *columns(name)], rows)}\n")
    parts.append(f"### What each server was given\n\n{outcomes_servers.TOLD}\n")
    parts.append("\n".join(paragraph(f"- {name}: {server.told}") for name, server in SERVERS.items()) + "\n")
    return "\n".join(parts)


# -- plots -----------------------------------------------------------------------------------------------------------

OURS, OTHERS = "#1f6feb", "#9aa5b1"


def colour(server):
    return OURS if server.startswith("sticky") else OTHERS


def panels(results, keys):
    """[(title, [(server, median of each of the keys), …]), …] of the scenarios that were measured."""
    found = []
    for name, scenario in SCENARIOS.items():
        cases = [case for case in results["cases"] if case["scenario"] == name and case["runs"] and not case["error"]]
        if cases:
            found.append((f"({name}) {scenario['title']}",
                          [(case["server"], [middle(case, key) for key in keys]) for case in cases]))
    return found


def draw(path, title, found, settings, plots):
    """Panels in two columns. plots: what is drawn of each, with DATA for its figures."""
    if not found:
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')
        return
    blocks, drawn = [], []  # the key stands in the first, and is true of all
    for number, (panel, rows) in enumerate(found):
        lines = "\n".join(f'"{server}" ' + " ".join(f"{figure:.4f}" for figure in figures)
                          + f" {int(colour(server)[1:], 16)}" for server, figures in rows)
        blocks.append(f"$panel{number} << END\n{lines}\nEND")
        drawn.append(f'set title "{panel}"\nset xrange [-0.7:{len(rows) - 0.3}]\nplot '
                     + ", ".join(plot.replace("DATA", f"$panel{number}") for plot in plots))
    lines = (len(found) + 1) // 2
    script = f"""
set terminal svg noenhanced size 1240,{380 * lines + 40} background rgb "white" font "Helvetica,13"
set output "{path}"
set encoding utf8
set border 3
set grid ytics linecolor rgb "#d0d7de"
set xtics nomirror rotate by -40 scale 0 font "Helvetica,11"
set ytics nomirror
set key top right horizontal
set bmargin 7
set rmargin 6
{settings}
{chr(10).join(blocks)}
set multiplot layout {lines},2 title "{title}" font "Helvetica,15"
{(chr(10) + "unset key" + chr(10)).join(drawn)}
unset multiplot
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True, timeout=60)


def plot(results, folder):
    draw(folder / "outcomes.svg", "Latency (ms)", panels(results, ["p50", "p95", "p99", "p99.9"]),
         'set logscale y\nset format y "%.0f"\nset yrange [1:12000]',
         ['DATA using 0:2:5:6 with vectors nohead linewidth 2 linecolor rgb variable notitle'.replace(
             "0:2:5:6", "0:2:(0):($5-$2):6"),
          'DATA using 0:2:6:xtic(1) with points pointtype 6 linecolor rgb variable title "p50"',
          'DATA using 0:3:6 with points pointtype 7 linecolor rgb variable title "p95"',
          'DATA using 0:4:6 with points pointtype 9 linecolor rgb variable title "p99"',
          'DATA using 0:5:6 with points pointtype 2 linecolor rgb variable title "p99.9"'])
    draw(folder / "outcomes-sessions.svg", "New sessions: emptiest to fullest member, 1 is an even share",
         panels(results, ["emptiest", "fullest"]), 'set yrange [0:*]\nset format y "%.1f"',
         ['DATA using 0:2:(0):($3-$2):4 with vectors nohead linewidth 8 linecolor rgb variable notitle',
          'DATA using 0:3:xtic(1) with points pointtype 0 notitle', '1 linecolor rgb "#30363d" notitle'])


if __name__ == "__main__":
    alone(measure, report, plot,
          only={"default": [], "type": lambda text: [word for word in text.split(",") if word],
                "help": "scenarios and servers, by words, with commas between"},
          rounds={"type": int, "help": f"runs of each, else {ROUNDS}"})
