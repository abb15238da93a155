"""What choosing a member costs, in httpd itself; how fair the choices are; how the cost grows with the members."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import callgrind
from loadtest import MANAGER, Server, table

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/bench/tests/bench"
MEMBERS = [2, 8, 32, 128, 512, 1024, 4096]
SESSION = "0123456789ABCDEF0123456789ABCDEF"


def cookies(length, session=""):
    """A Cookie header of about that many bytes, which ends with the cookie that matters."""
    other = "_ga=GA1.2.{}; theme=dark"
    text = other.format("1234567890.1234567890")
    while len(text) + len(session) + 40 < length:
        text += f"; preference{len(text)}=abcdefghijklmnopqrstuvwxyz"
    return f"{text}; {session}" if session else text


def members(number, options=lambda i: ""):
    return "\n".join(f"BalancerMember http://127.1.{i >> 8}.{i & 255}:8000 route=node{i} {options(i)}"
                     for i in range(1, number + 1))


def balancer(name, number, settings, more="", options=lambda i: ""):
    return (f'<Proxy "balancer://{name}">\n{members(number, options)}\nProxySet {settings}\n{more}\n</Proxy>\n'
            f"ProxyPass /{name} balancer://{name}\n")


def configuration(number):
    sticky = "LBStickyCookie off"
    return (balancer("byrequests", number, "lbmethod=byrequests stickysession=JSESSIONID")
            + balancer("bybusyness", number, "lbmethod=bybusyness stickysession=JSESSIONID")
            + balancer("sticky", number, "lbmethod=sticky", f"LBStickySession JSESSIONID\n{sticky}")
            + balancer("down", number, "lbmethod=sticky", f"LBStickySession JSESSIONID\n{sticky}",
                       lambda i: "status=+D" if i == 1 else "")
            + "".join(balancer(word, number, "lbmethod=sticky",
                               f"LBStickySession JSESSIONID\nLBStickyPlace {word}\n{sticky}") for word in LOADED)
            + balancer("learned", number, "lbmethod=sticky", learning(LEARNED))
            + balancer("cookie", number, "lbmethod=sticky", "LBStickyCookie lbsticky"))


def learning(sessions):
    """A balancer with room for so many learned sessions and as many more."""
    return f"LBStickySession JSESSIONID route=learn\nLBStickyTable sessions={2 * sessions}\nLBStickyCookie off"


# Balancers of which each member is serving a request, of a session.
LOADED = "busyness", "sessions"

LEARNED = 1000  # sessions

# A line of the decision table: the balancer, the session in the Cookie header (`@` counts up), how many of them.
LINES = {
    "new": ("sticky", "", 1),
    **{f"new by {word}": (word, "", 1) for word in LOADED},
    "route": ("sticky", f"JSESSIONID={SESSION}.node@", "members"),
    "learned": ("learned", f"JSESSIONID={SESSION}@", LEARNED),
    "hash": ("sticky", f"JSESSIONID={SESSION}@", 1000),
    "failover": ("down", f"JSESSIONID={SESSION}@.node1", 1000),
    "cookie": ("cookie", "lbsticky=.node@", "members"),
    "forged cookie": ("cookie", "lbsticky=@.forged", 1000),
}
STOCK = {
    "new": ("", 1),
    "route": (f"JSESSIONID={SESSION}.node@", "members"),
}


class Bench(Server):
    """httpd with mod_lbbench and these balancers, of so many members each."""

    def __init__(self, module, folder, balancers, number, command=(), **options):
        self.number = number
        self.before = list(command)
        super().__init__(folder, module, f"LoadModule lbbench_module {BUILD}/mod_lbbench.so\n<Location /lbbench>\n"
                         f"SetHandler lbbench\n</Location>\nProxyPass /lbbench !\n{balancers}", processes=1,
                         log_level="warn", modules=["lbmethod_bybusyness"], **options)

    def command(self, *arguments):
        return [*self.before, *super().command(*arguments)]

    def load(self):
        """Loads all members of the balancers that are to be LOADED, and has sessions learned."""
        for name in LOADED:
            self.ask(name, LINES["route"][1], "members", what="pre_request", choices=self.number, end=0)
        self.learn(LEARNED)

    def learn(self, sessions):
        """Has so many sessions learned: each is placed once."""
        # Where a session was placed is remembered with the answer, or at once where that may be a 101.
        self.ask(*LINES["learned"][:2], sessions, headers=["Upgrade: none"], what="pre_request", choices=sessions)

    def ask(self, balancer, cookie="", variants=1, headers=(), **arguments):
        """{name: number}, as mod_lbbench answers."""
        arguments |= {"balancer": balancer, "variants": self.number if variants == "members" else variants}
        query = "&".join(f"{name}={value}" for name, value in arguments.items())
        headers = [part for header in (f"Choice-Cookie: {cookie}", *headers) for part in ("--header", header)]
        result = subprocess.run(["curl", "--silent", "--show-error", "--fail", *headers,
                                 f"{self.url}/lbbench?{query}"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr + self.log()
        return {name: float(value) for name, value in (line.split() for line in result.stdout.splitlines())}


def rounds(number, quick):
    """How many choices to measure, where a choice may cost a look at each member."""
    return 640 if quick else max(640, min(25_600, 64 * (500_000 // number // 64)))


def measure_lines(server, quick, length):
    """{what: {name: (nanoseconds, mallocs a choice)}} with a Cookie header of that length.

    All in turns, over and over; of each the least, which was least disturbed by others on the machine.
    """
    fast = 6400 if quick else 25_600
    slow = rounds(server.number, quick)
    server.load()
    asked = []  # (what, name, choices, what the server is asked)

    def also(what, name, balancer, session, variants, choices, **more):
        asked.append((what, name, choices, (balancer, cookies(length, session), variants), more))

    for method in ("byrequests", "bybusyness"):
        also("finder", f"{method} new", method, "", 1, slow, method=method)
        for line, (session, variants) in STOCK.items():
            also("pre_request", f"{method} {line}", method, session, variants, slow)
    for line, (balancer, session, variants) in LINES.items():
        also("finder", f"sticky {line}", balancer, session, variants, fast, method="sticky")
        also("pre_request", f"sticky {line}", balancer, session, variants, fast)

    answers = {}
    for turn in range(2 if quick else 16):
        for what, name, choices, question, more in asked:
            answer = server.ask(*question, what=what, choices=choices, **more)
            if turn > 0:  # the first one warms
                answers.setdefault((what, name), []).append((answer["nanoseconds"], answer["allocations"] / choices))
    found = {"finder": {}, "pre_request": {}}
    for (what, name), figures in answers.items():
        found[what][name] = tuple(pick(figure) for pick, figure in zip((min, max), zip(*figures)))
    return found


def at_once(module, quick):
    """{processes × threads that choose at once: {name: nanoseconds a choice}}, of 128 members."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="lbbench-") as folder:
        os.chmod(folder, 0o755)
        with Bench(module, f"{folder}/h", configuration(128), 128) as server:
            for processes, threads in [(1, 1), (1, 2), (2, 1), (4, 4)]:
                how = found[f"{processes} × {threads}"] = {}
                for name in ("byrequests new", "sticky new", "sticky route", "sticky hash"):
                    method, line = name.split()
                    balancer, session, variants = LINES[line] if method == "sticky" else (method, *STOCK[line])
                    answers = [server.ask(balancer, cookies(100, session), variants, what="finder", method=method,
                                          choices=640 if quick else 25_600, processes=processes, threads=threads)
                               for _ in range(1 if quick else 15)]
                    how[name] = min(answer["nanoseconds"] for answer in answers)
    return found


def instructions(module, quick):
    """{members: {line: instructions a choice}}."""
    found = {}
    for number in [2] if quick else [2, 128, 1024]:
        lines = {f"sticky {line}": (*rest, "sticky") for line, rest in LINES.items()}
        lines["byrequests new"] = ("byrequests", "", 1, "byrequests")
        if quick:
            lines = {name: lines[name] for name in ("sticky new", "byrequests new")}
        found[number] = {}
        for line, (balancer, session, variants, method) in lines.items():
            with tempfile.TemporaryDirectory(prefix="lbbench-") as temporary:
                folder = pathlib.Path(temporary)
                folder.chmod(0o755)

                def choose(command, choices):
                    with Bench(module, folder / str(choices), configuration(number), number, command) as server:
                        server.load()
                        server.ask(balancer, cookies(100, session), variants, what="finder", method=method,
                                   choices=choices)

                found[number][line] = callgrind.instructions(folder, 1280, choose, "--toggle-collect=lbbench_choose*")
    return found


def by_sessions(module, quick):
    """{sessions in the table: {line: nanoseconds a choice}} of 128 members; ids come in turns, all of them."""
    found = {}
    for sessions in [1000] if quick else [1000, 100_000, 1_000_000]:
        with tempfile.TemporaryDirectory(prefix="lbbench-") as folder:
            os.chmod(folder, 0o755)
            balancers = (balancer("sticky", 128, "lbmethod=sticky", "LBStickySession JSESSIONID\nLBStickyCookie off")
                         + balancer("learned", 128, "lbmethod=sticky", learning(sessions)))
            with Bench(module, f"{folder}/h", balancers, 128) as server:
                server.learn(sessions)
                found[sessions] = {}
                for line in ("route", "learned"):
                    name, session, variants = LINES[line]  # of all members, both
                    variants = sessions if line == "learned" else variants
                    answers = [server.ask(name, cookies(100, session), variants, what="finder", method="sticky",
                                          choices=max(sessions, 6400)) for _ in range(1 if quick else 5)]
                    found[sessions][line] = min(answer["nanoseconds"] for answer in answers)
    return found


def fairness(module, quick):
    """{(method, weights): largest deviation of a member from its exact share} after choices of 4 × 4 at once."""
    found = {}
    each = 6400 if quick else 62_528  # of 16 threads: 1,000,448
    weights = {"1:2:5": [1, 2, 5], "100:1": [100, 1]}
    balancers = ""
    for name, factors in weights.items():
        for method in ("byrequests", "sticky"):
            balancers += balancer(f"{method}-{name.replace(':', '-')}", len(factors), f"lbmethod={method}", "",
                                  lambda i, factors=factors: f"loadfactor={factors[i - 1]}")
    with tempfile.TemporaryDirectory(prefix="lbbench-") as folder:
        os.chmod(folder, 0o755)
        with Bench(module, f"{folder}/h", balancers, 0) as server:
            for name, factors in weights.items():
                for method in ("byrequests", "sticky"):
                    answer = server.ask(f"{method}-{name.replace(':', '-')}", what="finder", method=method,
                                        choices=each, processes=4, threads=4)
                    chosen = [answer.get(f"chosen.{i}", 0) for i in range(len(factors))]
                    total = sum(chosen)
                    found[f"{method} {name}"] = {
                        "choices": total,
                        "deviation": max(abs(c - total * f / sum(factors)) for c, f in zip(chosen, factors))}
    return found


def growth(module, quick):
    """{members: what a balancer costs as a whole}."""
    found = {}
    for line in subprocess.run([BUILD / "bench_roster"], capture_output=True, text=True, check=True).stdout.splitlines():
        number, weights, milliseconds, size, shared = line.split()
        found.setdefault(number, {"shared_bytes": int(shared)})[weights] = {"milliseconds": float(milliseconds),
                                                                            "bytes": int(size)}
    for number in [2, 128] if quick else [2, 128, 1000, 4096]:
        with tempfile.TemporaryDirectory(prefix="lbbench-") as folder:
            os.chmod(folder, 0o755)
            found[str(number)]["manager_milliseconds"] = manager_change(module, folder, number)
    return found


def manager_change(module, folder, number):
    """Milliseconds that a change takes in balancer-manager; the first request after it is decided by it."""
    text = MANAGER + balancer("mycluster", number, "lbmethod=sticky", "LBStickyCookie off",
                              lambda i: "retry=0 connectiontimeout=1")
    with Server(f"{folder}/m", module, text, processes=4, log_level="warn") as server:
        start = time.monotonic()
        server.manager("mycluster", "http://127.1.0.1:8000", w_lf="2")
        return 1000 * (time.monotonic() - start)


def measure(module, quick):
    results = {"choices": {}, "long": {}}
    for number in MEMBERS[:2] if quick else MEMBERS:
        with tempfile.TemporaryDirectory(prefix="lbbench-") as folder:
            os.chmod(folder, 0o755)
            print(f"choices of {number} members", file=sys.stderr)
            with Bench(module, f"{folder}/h", configuration(number), number,
                       environment={"LD_PRELOAD": str(BUILD / "count_malloc.so")}) as server:
                results["choices"][number] = measure_lines(server, quick, 100)
                results["long"][number] = measure_lines(server, quick, 4096)
    print("choices at once", file=sys.stderr)
    results["at once"] = at_once(module, quick)
    print("learned sessions", file=sys.stderr)
    results["by sessions"] = by_sessions(module, quick)
    print("fairness", file=sys.stderr)
    results["fairness"] = fairness(module, quick)
    print("instructions", file=sys.stderr)
    results["instructions"] = instructions(module, quick)
    print("growth", file=sys.stderr)
    results["growth"] = growth(module, quick)
    return json.loads(json.dumps(results))


def as_table(head, rows):
    return table(head, rows) + "\n"


def by_members(choices, what, shown):
    numbers = list(choices)
    names = list(choices[numbers[0]][what])
    return as_table(["", *numbers],
                    [[name, *(shown(choices[number][what][name]) for number in numbers)] for name in names])


def report(results):
    nanoseconds = lambda found: f"{found[0]:.0f}"  # noqa: E731
    mallocs = max(found[1] for length in ("choices", "long") for whats in results[length].values()
                  for names in whats.values() for name, found in names.items() if name.startswith("sticky"))
    text = "## A choice, in httpd\n\nNanoseconds a choice, by members. "
    text += ("Of fifteen measurements the least, the one that was disturbed least.\n\n"
             "The finder alone, under the mutex that mod_proxy_balancer holds, with a Cookie header of 100 bytes:\n\n")
    text += by_members(results["choices"], "finder", nanoseconds)
    text += "\nWith one of 4 KB:\n\n" + by_members(results["long"], "finder", nanoseconds)
    text += ("\nAll that mod_proxy does to find the worker of a request (the hook `pre_request`), 100 bytes; the stock "
             "methods find a route by `stickysession=`:\n\n")
    text += by_members(results["choices"], "pre_request", nanoseconds)
    text += "\nWith 4 KB:\n\n" + by_members(results["long"], "pre_request", nanoseconds)
    text += ("\nBy several at once, processes × threads of each, 128 members, 100 bytes (medians of batches of eight: "
             "waiting that hits fewer than half of them is not in it):\n\n")
    together = results["at once"]
    names = list(next(iter(together.values())))
    text += as_table(["", *together], [[name, *(f"{together[how][name]:.0f}" for how in together)] for name in names])
    text += "\nBy learned sessions, which come in turns, 128 members, 100 bytes (the finder alone, nanoseconds):\n\n"
    sessions = results["by sessions"]
    text += as_table(["", *(f"{int(number):,}" for number in sessions)],
                     [[line, *(f"{sessions[number][line]:.0f}" for number in sessions)] for line in ("route", "learned")])
    text += f"\nCalls of malloc in a choice, beyond the request's pool: at most {mallocs:.4f}.\n"
    numbers = list(results["instructions"])
    text += "\nInstructions a choice (callgrind; the finder and the mutex, 100 bytes):\n\n"
    text += as_table(["", *numbers], [[name, *(f"{results['instructions'][n][name]:.0f}" for n in numbers)]
                                   for name in results["instructions"][numbers[0]]])
    text += "\n## Fairness under load\n\nFrom 4 processes with 4 threads each, in picks:\n\n"
    text += as_table(["method, weights", "choices", "largest deviation from the exact share"],
                  [[name, f"{found['choices']:.0f}", f"{found['deviation']:.2f}"]
                   for name, found in results["fairness"].items()])
    text += "\n## How cost grows\n\n"
    rows = []
    for number, found in sorted(results["growth"].items(), key=lambda item: int(item[0])):
        rows.append([number, *(f"{found[w]['milliseconds']:.2f}" for w in ("equal", "arbitrary")),
                     f"{found['arbitrary']['bytes'] / 1024:.0f}",
                     f"{found['shared_bytes'] / 1024:.1f}",
                     f"{found['manager_milliseconds']:.0f}" if "manager_milliseconds" in found else ""])
    text += as_table(["members", "roster, equal load factors (ms)", "arbitrary ones (ms)", "memory a process (KB)",
                   "shared memory (KB)", "change in balancer-manager (ms)"], rows)
    text += ("\nA change in balancer-manager is in force with the first request after its answer, in every process: the "
             "time is that of the two requests that make it, the page with its form and the change.\n")
    return text


def plot(results, folder):
    numbers = list(results["choices"])
    names = ["byrequests new", "bybusyness new", "sticky new", "sticky new by busyness", "sticky route",
             "sticky hash", "sticky cookie"]
    data = "\n".join(" ".join([number, *(str(results["choices"][number]["finder"][name][0]) for name in names)])
                     for number in numbers)
    lines = ", ".join(f'$data using 1:{i} with linespoints lw 2 pt 7 ps 0.5 title "{name}"'
                      for i, name in enumerate(names, 2))
    script = f"""$data << EOD
{data}
EOD
set terminal svg size 720,420 background rgb "white" font "sans-serif,13"
set output "{folder}/choice.svg"
set title "A choice, by members of the balancer"
set logscale xy
set xlabel "members"
set ylabel "nanoseconds"
set xtics ({", ".join(numbers)})
set grid
set key outside right
plot {lines}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    print(report(measure(pathlib.Path(sys.argv[1]).resolve(), "--quick" in sys.argv)))
