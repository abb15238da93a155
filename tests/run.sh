#!/bin/bash
# Installs what it needs (Debian packages), builds, and runs every test. The last line is the total: N passed, N failed.
#
#   tests/run.sh           everything; fuzzes for a moment
#   CI=true tests/run.sh   the same, fuzzes for 30 seconds, and nothing may be skipped
set -uo pipefail
cd "$(dirname "$0")/.."

reports=$PWD/build/reports
rm -rf "$reports"
mkdir -p "$reports"
python=/usr/bin/python3

docker/install-packages.sh build run test || exit 1

step() { printf '\n== %s\n' "$*"; }

build() {  # build PRESET
  step "build: $1"
  cmake --preset "$1" >"build/$1.log" 2>&1 && cmake --build --preset "$1" >>"build/$1.log" 2>&1 ||
    { cat "build/$1.log"; exit 1; }
}

unit() {  # unit PRESET: the tests of the core, in that build
  step "unit tests: $1"
  "build/$1/tests/unit/lbsticky_unit_tests" --reporter junit --out "$reports/unit-$1.xml" ||
    "build/$1/tests/unit/lbsticky_unit_tests" --reporter compact | tail -n 50
}

suite() {  # suite NAME PYTEST-ARGUMENT...
  local name=$1
  shift
  step "$name"
  "$python" -m pytest --junitxml "$reports/$name.xml" "$@"
}

for preset in ci asan tsan fuzz; do build "$preset"; done

suite source tests/source
for preset in ci asan tsan; do unit "$preset"; done
suite fuzz tests/fuzz
for preset in ci asan tsan; do LBSTICKY_BUILD=$PWD/build/$preset suite "store-$preset" tests/store -n 3; done

# Every MPM; one of them with the module under the address and undefined-behaviour sanitizers.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
LBSTICKY_MODULE=$PWD/build/asan/mod_lbmethod_sticky.so LBSTICKY_PRELOAD=$(g++ -print-file-name=libasan.so) \
  suite integration-event-sanitized tests/integration --mpm event -n 3
export LBSTICKY_MODULE=$PWD/build/ci/mod_lbmethod_sticky.so
for mpm in worker prefork; do suite "integration-$mpm" tests/integration --mpm "$mpm" -n 3; done
suite browser tests/browser
suite demo tests/demo
suite bench tests/bench
LBSTICKY_BUILD=$PWD/build/ci suite package tests/package
suite container tests/container

step "total"
exec "$python" tests/total.py "$reports"
