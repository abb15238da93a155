"""The alert rules that the README shows: Prometheus takes them, and they fire when they should and not otherwise."""

import json
import pathlib
import re
import subprocess

import pytest

from server import STATUS, cluster, with_routes
from test_drift import README, indented_blocks

NO_NEW, MOVED = "StickyMemberGetsNoNewSessions", "StickySessionsAreMoved"


@pytest.fixture
def rules(tmp_path):
    """The file with the rules."""
    [block] = [block for block in indented_blocks(README.read_text()) if block.startswith("groups:\n")]
    file = tmp_path / "rules.yml"
    file.write_text(block)
    return file


def promtool(*arguments):
    result = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_prometheus_takes_the_rules(rules):
    assert "SUCCESS: 2 rules found" in promtool("check", "rules", str(rules))


def two(weights, new, moved=("0x120", "0x120"), instance="front1"):
    """The series of a balancer with two members, a value each minute: what each has of everything."""
    series = {}
    for worker, weight, fresh, gone in zip("ab", weights, new, moved):
        labels = f'balancer="shop",worker="http://{worker}",instance="{instance}",job="httpd"'
        series |= {f"lbsticky_weight_ratio{{{labels}}}": weight,
                   f'lbsticky_requests_total{{{labels},affinity="new"}}': fresh,
                   f'lbsticky_requests_total{{{labels},affinity="route"}}': "0+100x120",
                   f"lbsticky_moved_away_total{{{labels}}}": gone}
    return series


HALF = ("0.5x120", "0.5x120")
BOTH = ("0+10x120", "0+10x120")
STOPS = ("0+10x120", "0+10x20 200x100")  # the second gets none from the 20th minute on
# {what happens: (series, {minute: [(alert, instance, member), …]})}
CASES = {
    "all get new sessions": (two(HALF, BOTH), {30: [], 60: [], 120: []}),
    "one gets none": (two(HALF, STOPS), {20: [], 35: [], 45: [(NO_NEW, "front1", "b")], 120: [(NO_NEW, "front1", "b")]}),
    "one gets none from the start": (two(HALF, ("0+10x120", "0x120")), {60: [(NO_NEW, "front1", "b")]}),
    "one gets none and is to get none": (two(("1x120", "0x120"), STOPS), {45: [], 120: []}),
    "one gets none at one front end of two": (
        two(HALF, STOPS) | two(HALF, BOTH, instance="front2"), {45: [(NO_NEW, "front1", "b")]}),
    "nobody gets any": (two(HALF, ("0+10x20 200x100", "0+10x20 200x100")), {30: [], 45: [], 120: []}),
    "there are hardly any": (two(HALF, ("0 0 0 0 0 0 0 0 0 0 1x110", "0x120")), {15: [], 60: []}),
    "one comes into service": (
        two(("1x59 0.5x60", "0x59 0.5x60"), ("0+10x120", "0x60 0+10x60")), {60: [], 62: [], 71: [], 120: []}),
    "one has a tenth of the weight": (two(("0.9x120", "0.1x120"), ("0+9x120", "0+1x120")), {60: [], 120: []}),
    "sessions of one are moved": (
        two(HALF, BOTH, moved=("0x120", "0x20 0+5x20 100x80")), {20: [], 30: [(MOVED, "front1", "b")], 60: []}),
    "a session is moved now and then": (
        two(HALF, BOTH, moved=("0x120", "0+1x120")), {20: [], 60: [], 120: []}),
    "a member that had sessions moved is removed": (
        two(HALF, BOTH) | {'lbsticky_moved_away_total{balancer="shop",worker="gone",instance="front1",job="httpd"}':
                           "_x59 1000x60"}, {60: [], 62: [], 65: []}),
}
SUMMARIES = {NO_NEW: "gets no new sessions, while others do",
             MOVED: "cannot serve its sessions: moved or refused"}


def expected(alerts, name):
    return [{"exp_labels": {"balancer": "shop", "worker": f"http://{worker}", "instance": instance, "job": "httpd"},
             "exp_annotations": {"summary": f"http://{worker} of shop {SUMMARIES[name]}"}}
            for alert, instance, worker in alerts if alert == name]


@pytest.mark.parametrize("series, alerts", CASES.values(), ids=CASES)
def test_an_alert_fires_when_it_should_and_not_otherwise(rules, tmp_path, series, alerts):
    # JSON is YAML.
    tests = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": expected(fired, name)}
                            for minute, fired in alerts.items() for name in SUMMARIES]}]}
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps(tests))
    assert "SUCCESS" in promtool("test", "rules", str(file))


def test_httpd_has_the_metrics_of_the_rules_with_their_labels(rules, httpd, backends):
    server = httpd(STATUS + cluster(*with_routes(backends(2))))
    server.bodies(2)
    samples = re.findall(r"^(\w+)\{(.*)\} ", server.curl("/lbsticky-status").body, re.MULTILINE)
    labels = {name: set(re.findall(r'(\w+)="', text)) for name, text in samples}
    names = set(re.findall(r"lbsticky_\w+", rules.read_text()))
    assert len(names) == 3
    assert {name: labels[name] for name in names} == {
        "lbsticky_weight_ratio": {"balancer", "worker"},
        "lbsticky_requests_total": {"balancer", "worker", "affinity"},
        "lbsticky_moved_away_total": {"balancer", "worker"}}
    assert any('affinity="new"' in text for name, text in samples if name == "lbsticky_requests_total")
