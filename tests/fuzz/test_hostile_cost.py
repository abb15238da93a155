"""The cost of a hostile request grows with its length and no faster. It is counted in instructions, which are free of
noise."""

import pathlib
import re
import subprocess

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "build/ci/tests/unit/hostile_cost"


def names():
    result = subprocess.run([PROGRAM], capture_output=True, text=True) if PROGRAM.is_file() else None
    return result.stdout.split() if result else ["hostile_cost is not built"]


def instructions(folder, name, size):
    out = folder / f"{name}{size}"
    subprocess.run(["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}", PROGRAM, name, str(size)],
                   check=True, capture_output=True)
    return int(re.search(r"^summary: (\d+)", out.read_text(), re.MULTILINE).group(1))


@pytest.mark.parametrize("name", names())
def test_twice_the_bytes_cost_at_most_twice_the_instructions(tmp_path, name):
    none, once, twice = (instructions(tmp_path, name, size) for size in (0, 32_768, 65_536))
    assert twice - none <= 2.05 * (once - none)
    assert twice - none <= 1000 * 65_536  # two sets of rules and three functions read it
