"""The kept corpus is replayed in every build; then the fuzzers look for more, for a moment (30 seconds in CI)."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
TARGETS = sorted(folder.name for folder in CORPUS.iterdir())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("build", ["ci", "asan"])
def test_the_kept_corpus_holds_no_surprise(build, target):
    files = sorted((CORPUS / target).iterdir())
    assert files
    result = subprocess.run([ROOT / f"build/{build}/tests/unit/replay_{target}", *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_fuzzers_find_nothing():
    seconds = "30" if os.environ.get("CI") == "true" else "5"
    result = subprocess.run([ROOT / "tests/fuzz/run.sh", seconds, ROOT / "build/fuzz"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
