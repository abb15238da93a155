"""Runs all benchmarks, and writes RESULTS.md and the plots beside this file; with --quick only runs through them.

    bench.py MODULE [--quick] [PART ...]      parts: choice, whole, price, outcomes (default: all)
"""

import datetime
import json
import pathlib
import platform
import re
import signal
import subprocess
import sys

import choice
import outcomes
import price
import whole

HERE = pathlib.Path(__file__).resolve().parent
PARTS = {"choice": choice, "whole": whole, "price": price, "outcomes": outcomes}


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    cores = subprocess.run(["nproc"], capture_output=True, text=True).stdout.strip()
    httpd = subprocess.run(["apache2", "-v"], capture_output=True, text=True).stdout.splitlines()[0]
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    return (f"{datetime.date.today()}, {model.group(1) if model else platform.machine()}, {cores} cores, "
            f"Linux {platform.release()}, {httpd.removeprefix('Server version: ')}, {compiler}")


def errors(found):
    """What went wrong, wherever it stands in the results."""
    if isinstance(found, dict):
        if found.get("error"):
            yield found["error"]
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from errors(one)


def main(module, *arguments):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what was started
    quick = "--quick" in arguments
    parts = [name for name in arguments if name in PARTS] or list(PARTS)
    folder = HERE.parents[1] / "build/bench/results" if quick else HERE
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name in parts:
        results[name] = PARTS[name].measure(pathlib.Path(module).resolve(), quick)
        results[name]["machine"] = machine()
        PARTS[name].plot(results[name], folder)
        kept.write_text(json.dumps(results, indent=1) + "\n")
    notes = HERE / "NOTES.md"
    text = "# Results\n\nMade by `tests/bench/run.sh`.\n"
    for name, part in PARTS.items():
        if name in results:
            text += f"\n{part.report(results[name]).rstrip()}\n\nMeasured {results[name]['machine']}.\n"
    if notes.exists():
        text += "\n" + notes.read_text()
    (folder / "RESULTS.md").write_text(text)
    print(text)
    sys.exit("\n".join(errors(results)) or 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
