"""What the load tests share: backends, servers on cores of their own, wrk, figures as text and as plots."""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from server import MANAGER, Server, free_port, wait_until  # noqa: E402

CONNECTIONS = 32  # that wrk keeps open; httpd has more threads than that in each of its two processes
THREADS = 64
SERVED = ["authz_core", "headers", "slotmem_shm", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests"]

# Half of the cores for the server under test, the other half for what loads it and what stands behind it.
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = CORES[:len(CORES) // 2] or CORES
LOAD_CORES = CORES[len(CORES) // 2:]

# Sends the Cookie headers of a file in turn, a line each; a file without lines: no cookie. Prints the sums as JSON.
WRK_SCRIPT = """
local requests, last = {}, 0

function init(arguments)
    for cookie in io.lines(arguments[1]) do
        requests[#requests + 1] = wrk.format(nil, nil, {Host = wrk.headers.Host, Cookie = cookie})
    end
    if #requests == 0 then requests[1] = wrk.format() end
end

function request()
    last = last % #requests + 1
    return requests[last]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "errors": {"connect": %d, "read": %d, ' ..
        '"write": %d, "timeout": %d, "non-2xx": %d}}\\n', summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.connect, errors.read, errors.write,
        errors.timeout, errors.status))
end
"""


def progress(line):
    print(line, file=sys.stderr, flush=True)


def on_cores(cores, command):
    return ["taskset", "--cpu-list", ",".join(map(str, cores)), *map(str, command)]


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(command, cores, port, folder):
    """A server in the foreground until the end of the block; its process id. Its output is in the folder."""
    with open(folder / "output", "wb") as output:
        environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        process = subprocess.Popen(on_cores(cores, command), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   cwd=folder, env=environment, start_new_session=True)
    try:
        wait_until(lambda: process.poll() is not None or listening(port), f"{command[0]} is up")
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} did not start: {(folder / 'output').read_text(errors='replace')}")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# -- nginx, as what stands behind, and as one of those that are measured ---------------------------------------------

def nginx_conf(folder, workers, http):
    """Writes the configuration; the command that runs it."""
    temporary = "\n".join(f"    {kind}_temp_path {folder}/{kind};"
                          for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user www-data;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"""{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes {workers};
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
{temporary}
{http}
}}
""")
    # -e: what it says before it has read its configuration
    return ["nginx", "-e", f"{folder}/error.log", "-p", folder, "-c", f"{folder}/nginx.conf"]


@contextlib.contextmanager
def backends(folder):
    """One nginx behind all addresses of 127/8; its port. It answers with 1 KB that begins with the address asked."""
    folder.mkdir()
    port = free_port("0.0.0.0")
    body = "$server_addr " + "x" * 1000
    command = nginx_conf(folder, 1, f"""
    server {{
        listen 0.0.0.0:{port} backlog=4096;
        location / {{ return 200 "{body}"; }}
    }}""")
    with running(command, LOAD_CORES, port, folder):
        yield port


def addresses(count):
    """127.0.1.1, 127.0.1.2, …: as many members as wanted, each at an address of its own."""
    return [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(count)]


# -- httpd -----------------------------------------------------------------------------------------------------------

class Httpd(Server):
    """httpd as it is run where speed matters: event MPM, a fixed number of threads, nothing loaded that is not used."""

    served = SERVED
    threads = THREADS

    def __init__(self, folder, module, configuration, before=()):
        """module: None for an httpd without it. before: what stands before its command, such as valgrind."""
        self.before = before
        super().__init__(folder, module, configuration, log_level="warn")

    def configure(self, configuration):
        self.modules = self.served
        self.conf_path.write_text(f"""{self.basics()}
ServerLimit 2
StartServers 2
ThreadLimit {self.threads}
ThreadsPerChild {self.threads}
MinSpareThreads 1
MaxSpareThreads {2 * self.threads}
MaxRequestWorkers {2 * self.threads}
MaxConnectionsPerChild 0
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
<Directory />
    AllowOverride None
</Directory>
{configuration}
""")

    def command(self, *arguments):
        return on_cores(SERVER_CORES, [*self.before, *super().command(*arguments)])


# -- load ------------------------------------------------------------------------------------------------------------

def processes(parent):
    """The process and all below it."""
    found = [parent]
    for children in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
        for child in children.read_text().split():
            found += processes(int(child))
    return found


def cpu_seconds(parent):
    """User and system time that a server has used up to now, all its processes and those that have ended."""
    ticks = 0
    for process in processes(parent):
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def wrk(url, cookies, seconds, parent):
    """One run, with these Cookie headers in turn: requests a second, CPU seconds of the server (its process id)."""
    threads = max(1, len(LOAD_CORES) // 2)
    script = cookies.with_name("wrk.lua")
    script.write_text(WRK_SCRIPT)
    command = ["wrk", "--threads", threads, "--connections", CONNECTIONS, "--duration", f"{seconds}s",
               "--timeout", "10s", "--script", script, url, "--", cookies]
    before = cpu_seconds(parent)
    result = subprocess.run(on_cores(LOAD_CORES, command), capture_output=True, text=True, timeout=seconds + 60)
    used = cpu_seconds(parent) - before
    last = (result.stdout.splitlines() or [""])[-1]
    if result.returncode or not last.startswith("{"):
        return {"error": f"wrk: exit code {result.returncode} {result.stderr.strip()}"}
    sums = json.loads(last)
    failed = {kind: count for kind, count in sums.pop("errors").items() if count}
    # What wrk itself says, besides.
    said = re.findall(r"^\s*((?:Non-2xx|Socket errors).*)", result.stdout, re.MULTILINE)
    if failed or said or not sums["requests"]:
        return {"error": f"{sums['requests']} requests; " + "; ".join(said or map(str, failed.items()))}
    return {**sums, "rate": sums["requests"] / sums["seconds"], "cpu": used / sums["requests"] * 10_000,
            "busy": used / sums["seconds"]}


def cookie_file(path, cookies):
    path.write_text("".join(f"{cookie}\n" for cookie in cookies))
    return path


def warm_up(url, cookies, requests, parent):
    """At least so many requests: not the time, their number tells whether all connections to the members are there."""
    while requests > 0:
        run = wrk(url, cookies, 1, parent)
        if "error" in run:
            raise RuntimeError(f"warming up {url}: {run['error']}")
        requests -= run["requests"]


def alternate(urls, cookies, pairs, seconds, warm, parent):
    """{name: URL}, each after the other, over and over: {name: [a run, …]}. Raises RuntimeError if a run failed.

    warm: how many requests each gets beforehand.
    """
    for url in urls.values():
        warm_up(url, cookies, warm, parent)
    runs = {name: [] for name in urls}
    for _ in range(pairs):
        for name, url in urls.items():
            runs[name].append(wrk(url, cookies, seconds, parent))
            if "error" in runs[name][-1]:
                raise RuntimeError(f"{name}: {runs[name][-1]['error']}")
    return runs


def attempt(measure, *arguments):
    """(what was measured, what went wrong or None); a server whose log has complaints has gone wrong too."""
    try:
        return measure(*arguments), None
    except (AssertionError, RuntimeError, subprocess.SubprocessError) as error:
        return {}, " ".join(str(error).split())


def ask(url, cookies, count, folder):
    """So many requests, one after the other on one connection, with these Cookie headers in turn; each must be answered
    by a member."""
    requests = [f'url = "{url}"\noutput = /dev/null\n'
                + (f'header = "Cookie: {cookies[number % len(cookies)]}"\n' if cookies else "")
                for number in range(count)]
    config = folder / "requests"
    config.write_text("silent\nshow-error\nfail-early\nfail\n" + "next\nfail\n".join(requests))
    subprocess.run(["curl", "--config", config], check=True, stdout=subprocess.DEVNULL, timeout=300)


def members_reached(url, cookie, count):
    """The member that answered, of so many requests after each other, each on a connection of its own."""
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", "--header", "Connection: close",
               "--write-out", "\n", f"{url}?n=[1-{count}]"]
    if cookie:
        command += ["--header", f"Cookie: {cookie}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    return [line.split()[0] for line in lines if line]


# -- figures ---------------------------------------------------------------------------------------------------------

def figures(runs, key):
    return [run[key] for run in runs]


def ratios(runs, above, below, key):
    """One a pair."""
    return [first[key] / second[key] for first, second in zip(runs[above], runs[below]) if second[key]]


def median(values, digits=0):
    return f"{statistics.median(values):,.{digits}f}" if values else "-"


def spread(values, digits=3):
    """Median, and from what to what."""
    return f"{median(values, digits)} ({min(values):.{digits}f} to {max(values):.{digits}f})" if values else "-"


def counted(found, above, below):
    """Instructions of one, of the other, and their ratio, as cells of a table; found: None if they were not counted."""
    if not found:
        return ["-"] * 3
    return [f"{found[below]:,.0f}", f"{found[above]:,.0f}", f"**{found[above] / found[below]:.3f}**"]


def paragraph(text):
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def version(*command):
    """The first version number in what a program says of itself."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return re.search(r"\d+\.\d+\S*", result.stdout + result.stderr).group()


def bars(path, title, panels, terminal="svg"):
    """Bars with their spread, panel beside panel: (title, names of the bars, [(label, [values of a bar, …]), …])."""
    blocks, plots = [], []
    for number, (panel, names, groups) in enumerate(panels):
        lines = []
        for label, bar_values in groups:
            points = [(statistics.median(values), min(values), max(values)) if values else (0, 0, 0)
                      for values in bar_values]
            lines.append(" ".join([f'"{label}"', *(str(figure) for point in points for figure in point)]))
        blocks.append(f"$panel{number} << END\n" + "\n".join(lines) + "\nEND")
        of_names = ", ".join(
            f'$panel{number} using {3 * bar + 2}:{3 * bar + 3}:{3 * bar + 4}:xtic(1) title "{name}" '
            f'linecolor rgb "{("#9aa5b1", "#1f6feb")[bar]}"' for bar, name in enumerate(names))
        plots.append(f'set title "{panel}"\nplot {of_names}')
    size = f"{600 * len(panels)},420"
    script = f"""
set terminal {terminal} size {size} background rgb "white" font "Helvetica,13"
set output "{path}"
set encoding utf8
set style data histogram
set style histogram errorbars gap 1 linewidth 1
set style fill solid 1 noborder
set errorbars linecolor rgb "#30363d"
set boxwidth 0.9
set border 3
set grid ytics linecolor rgb "#d0d7de"
set xtics nomirror scale 0
set ytics nomirror
set format y "%'g"
set yrange [0:*]
set offsets 0, 0, graph 0.12, 0
set key top right horizontal
set bmargin 3.5
{chr(10).join(blocks)}
set multiplot layout 1,{len(panels)} title "{title}" font "Helvetica,15"
{chr(10).join(plots)}
unset multiplot
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True, timeout=60)


def alone(measure, report, plot, **more):
    """The command line of each of these: MODULE [--quick] [--json FILE] [--plot FOLDER]. Fails where a case has.

    more: further options by their names, as argparse takes them; measure() is given their values.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("module", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="only see that it runs through")
    parser.add_argument("--json", type=pathlib.Path, help="write the raw results there")
    parser.add_argument("--plot", type=pathlib.Path, help="the folder for the plots")
    for name, option in more.items():
        parser.add_argument(f"--{name}", **option)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    results = measure(arguments.module.resolve(), arguments.quick, **{name: getattr(arguments, name) for name in more})
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    if arguments.plot:
        plot(results, arguments.plot)
    print(report(results))
    sys.exit(any(case["error"] for case in results["cases"]))
