#!/bin/bash
# Fuzzes every target at once, for so many seconds, from a copy of the kept corpus, which is never written to.
#
#   tests/fuzz/run.sh SECONDS BUILD_DIR      BUILD_DIR as `cmake --preset fuzz && cmake --build --preset fuzz` makes it
#
# Fails on a finding, and says where the input is that leads to it: BUILD_DIR/fuzz-findings/TARGET/.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ $# -ne 2 || ! $1 =~ ^[1-9][0-9]*$ || ! -d $2 ]]; then
  echo "usage: $0 SECONDS BUILD_DIR" >&2
  exit 2
fi
seconds=$1
build=$(cd "$2" && pwd)

work=$(mktemp -d)
declare -A running=()
clean_up() {
  local pid
  for pid in "${running[@]}"; do kill "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

targets=()
for corpus in "$here"/corpus/*/; do targets+=("$(basename "$corpus")"); done
if [[ ! -d $here/corpus/${targets[0]} ]]; then
  echo "there is no corpus in $here/corpus" >&2
  exit 1
fi
for target in "${targets[@]}"; do
  program=$build/tests/fuzz/$target
  if [[ ! -x $program ]]; then
    echo "$program is not built" >&2
    exit 1
  fi
  findings=$build/fuzz-findings/$target
  mkdir -p "$findings" "$work/$target"
  cp "$here/corpus/$target"/* "$work/$target/"
  # Nothing in the code looks at more than 64 bytes at a time; long inputs are in the corpus, which is replayed.
  # An input takes less than a millisecond: 10 s is a loop.
  "$program" -max_total_time="$seconds" -max_len=1024 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$findings/" "$work/$target" >"$work/$target.log" 2>&1 &
  running[$target]=$!
done

failed=0
for target in "${targets[@]}"; do
  if wait "${running[$target]}"; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log")
    echo "$target: nothing found in ${runs:-no} runs, ${seconds} s"
  else
    failed=1
    cp "$work/$target.log" "$build/fuzz-findings/$target.log"
    tail -n 60 "$work/$target.log"
    echo "$target: FOUND SOMETHING. All of the output is in $build/fuzz-findings/$target.log. The input again:" >&2
    sed -n "s|.*Test unit written to \(.*\)|  $build/tests/fuzz/$target \1|p" "$work/$target.log" >&2
  fi
  unset "running[$target]"
done
exit $failed
