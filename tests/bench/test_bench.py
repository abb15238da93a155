"""The benchmarks run through. What they measure in this hurry is worth nothing, and nothing asks for it."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_benchmarks_run_through():
    result = subprocess.run([ROOT / "tests/bench/run.sh", "--quick"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    results = (ROOT / "build/bench/results/RESULTS.md").read_text()
    assert "failed:" not in results
    for part in ("A choice, in httpd", "Fairness under load", "How cost grows", "Whole requests",
                 "The price of stickiness", "What a placement is worth"):
        assert f"\n## {part}" in results
    for plot in ("choice", "whole", "price", "outcomes", "outcomes-sessions"):
        assert "<svg" in (ROOT / f"build/bench/results/{plot}.svg").read_text()
