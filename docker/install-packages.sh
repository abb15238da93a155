#!/bin/sh
# Installs what packages.txt names for each of the purposes given: install-packages.sh build run test
# Does nothing, and needs no rights, where all of it is there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
missing=
for purpose in "$@"; do
  packages=$(sed -n "s/^$purpose  *//p" "$here/packages.txt")
  if [ -z "$packages" ]; then
    echo "$0: packages.txt knows no '$purpose': build, run, test or bench" >&2
    exit 2
  fi
  for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then as_root=sudo; fi
echo "installing:$missing"
$as_root apt-get update -q
# A web server that is installed for this must not start, let alone on port 80: until this is done, the machine's policy
# is that nothing starts. A machine that has a policy keeps its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap '$as_root rm -f $policy' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
  $as_root chmod 755 $policy
fi
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
