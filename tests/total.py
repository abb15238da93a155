"""Adds up JUnit reports: total.py FOLDER prints "N passed, N failed" and fails where a test did, or none ran.

Every report must be there and hold at least one test; in CI no test may be skipped.
"""

import os
import pathlib
import sys
import xml.etree.ElementTree as ET

passed, failures, skipped = 0, [], []
reports = sorted(pathlib.Path(sys.argv[1]).glob("*.xml"))
for report in reports:
    cases = list(ET.parse(report).getroot().iter("testcase"))
    if not cases:
        failures.append(f"{report.stem}: no test ran")
    for case in cases:
        name = f"{report.stem}: {case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failures.append(name)
        elif case.find("skipped") is not None:
            skipped.append(name)
        else:
            passed += 1

if os.environ.get("CI") == "true":
    failures += [f"{name} (skipped)" for name in skipped]
elif skipped:
    print("skipped:", *skipped, sep="\n  ")
if failures:
    print("failed:", *failures, sep="\n  ")
print(f"{passed} passed, {len(failures)} failed")
sys.exit(1 if failures or not passed else 0)
