#!/bin/sh
# Runs httpd in the foreground, with what the environment's variables say; the Dockerfile tells which there are.
set -e

example=/etc/lbsticky/example.conf
if [ "$LBSTICKY_CONF" = $example ] && [ -z "$LBSTICKY_MEMBERS" ]; then
  echo 'LBSTICKY_MEMBERS is empty: name the members, as in LBSTICKY_MEMBERS="http://api1:8080 http://api2:8080"' >&2
  exit 2
fi

mkdir -p /run/lbsticky
node=0
for url in $LBSTICKY_MEMBERS; do
  node=$((node + 1))
  echo "BalancerMember \"$url\" route=node$node"
done >/run/lbsticky/members.conf

. /etc/apache2/envvars
mkdir -p "$APACHE_RUN_DIR" "$APACHE_LOCK_DIR"
# Of a container that was killed, and is started again.
rm -f "$APACHE_PID_FILE"
# apache2ctl would stand between httpd and the signals that stop it.
exec apache2 -DFOREGROUND "$@"
