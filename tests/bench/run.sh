#!/bin/bash
# Installs what it needs (Debian packages), builds, and measures; the results are in tests/bench/RESULTS.md, with plots.
# Nothing else should run on the machine meanwhile; it takes half an hour, outcomes an hour and a quarter more.
#
#   tests/bench/run.sh              everything
#   tests/bench/run.sh choice ...   these parts: choice, whole, price, outcomes
#   tests/bench/run.sh --quick      runs through everything once; the figures, which are worth nothing, go to build/
set -euo pipefail
cd "$(dirname "$0")/../.."

docker/install-packages.sh build run test bench
cmake --preset bench >/dev/null
cmake --build --preset bench >/dev/null
exec /usr/bin/python3 tests/bench/bench.py build/bench/mod_lbmethod_sticky.so "$@"
