#!/bin/sh
# Prints the path of a tarball with a minimal Debian 12, made first where there is none yet: what the package is tried
# in, and the image's base where no registry answers. Needs root, and a mirror (DEBIAN_MIRROR, if not Debian's own).
set -eu

suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lbsticky
tarball=$cache/$suite.tar

mkdir -p "$cache"
exec 9>"$tarball.lock"
flock 9
if [ ! -e "$tarball" ]; then
  root=$(mktemp -d "$cache/$suite.XXXXXX")
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase "$suite" "$root" "$mirror" >&2
  chmod 755 "$root"
  cat >"$root/etc/apt/sources.list" <<END
deb $mirror $suite main
deb $mirror-security $suite-security main
END
  # As in Debian's own images: what is thrown away soon need not reach the disk first.
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
  echo 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/no-languages"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" --one-file-system -cf "$tarball.new" .
  mv "$tarball.new" "$tarball"
fi
echo "$tarball"
