"""A user of the module's client."""

import json
import os
import pathlib
import subprocess

from stores import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LBSTICKY_BUILD", ROOT / "build/ci"))


class Driver:
    """Speaks to store_driver, which uses the store at that address."""

    def __init__(self, *words):
        self.process = subprocess.Popen([BUILD / "tests/store/store_driver", *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def look(self, key):
        return self(f"look {key}")["value"]

    def put(self, key, value, life=600, mode="set"):
        """Has it stored, and waits until it is."""
        before = self.counts()["stored"]
        self(f"put {life} {mode} {key} {value}")
        wait_until(lambda: self.counts()["stored"] == before + 1)

    def work(self, threads, seconds, name="key"):
        return self(f"work {threads} {seconds} {name}")

    def counts(self):
        return self("counts")

    def events(self):
        return [event for event, _ in self.counts()["events"]]

    def end(self):
        """How many milliseconds that took."""
        took = self("end")["took"]
        assert self.process.wait() == 0
        return took
