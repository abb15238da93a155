#!/bin/bash
# Shows what lbmethod=sticky does, on this machine: installs what that needs (Debian packages), builds the module,
# starts backends and an httpd on free loopback ports, and asks them with curl. Ends with an error if anything it
# shows is not so. Everything it writes is in a temporary folder of its own.
#
#   apache-conf/demo.sh          stays until Ctrl-C, so that one can look at balancer-manager
#   apache-conf/demo.sh --once   ends by itself
set -euo pipefail

case "${1-}" in
  "" | --once) ;;
  *) echo "usage: $0 [--once]" >&2; exit 2 ;;
esac

source_dir=$(cd "$(dirname "$0")/.." && pwd)
demo=$(mktemp -d "${TMPDIR:-/tmp}/lbsticky-demo.XXXXXX")
chmod 755 "$demo"
declare -A backend_pid=()
httpd_pid=

finish() {
  [ -z "$httpd_pid" ] || kill "$httpd_pid" 2>/dev/null || true
  for pid in "${backend_pid[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$demo"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
  echo "NOT SO: $1" >&2
  tail -n 20 "$demo"/*error.log >&2 || true
  exit 1
}

wait_for() {  # wait_for WHAT COMMAND...: until the command succeeds
  local what=$1
  shift
  for _ in $(seq 200); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "$what, within 20 seconds"
}

# --- build ------------------------------------------------------------------------------------------------------------

"$source_dir/docker/install-packages.sh" build run
echo "building the module ..."
cmake -S "$source_dir" -B "$demo/build" -G Ninja -DLBSTICKY_TESTS=OFF >"$demo/build.log" 2>&1 &&
  cmake --build "$demo/build" >>"$demo/build.log" 2>&1 || { cat "$demo/build.log" >&2; exit 1; }

# --- backends and httpd -----------------------------------------------------------------------------------------------

# Free ports, of those that the system does not give to outgoing connections.
free_ports() {
  /usr/bin/python3 - "$1" <<'PYTHON'
import random, socket, sys
sockets = []
while len(sockets) < int(sys.argv[1]):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(10000, 32000)))
        sockets.append(s)
    except OSError:
        pass
print(*(s.getsockname()[1] for s in sockets))
PYTHON
}
read -r port port1 port2 site_port api1 api2 web1 web2 status_port <<<"$(free_ports 9)"

start_backend() {  # start_backend NAME PORT: answers / and /api/ with its name, and keeps a log
  mkdir -p "$demo/$1/api"
  echo "$1" | tee "$demo/$1/index.html" >"$demo/$1/api/index.html"
  /usr/bin/python3 -m http.server "$2" --bind 127.0.0.1 --directory "$demo/$1" >>"$demo/$1.log" 2>&1 &
  backend_pid[$1]=$!
  answers_with() { [ "$(curl --silent --fail "http://127.0.0.1:$2/")" = "$1" ]; }
  wait_for "$1 is up" answers_with "$1" "$2"
}
start_backend node1 "$port1"
start_backend node2 "$port2"
for name in api1 api2 web1 web2; do start_backend "$name" "${!name}"; done

cat >"$demo/cluster.conf" <<EOF
<Proxy "balancer://mycluster">
    BalancerMember http://127.0.0.1:$port1 route=node1 retry=1
    BalancerMember http://127.0.0.1:$port2 route=node2 retry=1
    ProxySet lbmethod=sticky stickysession=JSESSIONID
</Proxy>

<VirtualHost *:$port>
    ServerName example.com

    ProxyPreserveHost On
    ProxyPass /balancer-manager !
    ProxyPass / balancer://mycluster/
    ProxyPassReverse / balancer://mycluster/

    <Location "/balancer-manager">
        SetHandler balancer-manager
        Require local
    </Location>

    ErrorLog \${APACHE_LOG_DIR}/load_balancer_error.log
    CustomLog \${APACHE_LOG_DIR}/load_balancer_access.log combined
</VirtualHost>
EOF

# The example, with the ports of this machine.
sed -e "s/\*:80>/*:$site_port>/" \
    -e "s/192.168.1.101:8080/127.0.0.1:$api1/" -e "s/192.168.1.102:8080/127.0.0.1:$api2/" \
    -e "s/192.168.1.103:8080/127.0.0.1:$web1/" -e "s/192.168.1.104:8080/127.0.0.1:$web2/" \
    "$source_dir/apache-conf/examples/api-and-static.conf" >"$demo/site.conf"

export APACHE_LOG_DIR=$demo
modules=$(apxs -q LIBEXECDIR)
load() { for name in "$@"; do echo "LoadModule ${name}_module $modules/mod_$name.so"; done; }
{
  echo "LoadModule lbmethod_sticky_module $demo/build/mod_lbmethod_sticky.so"
  load mpm_event authz_core authz_host slotmem_shm proxy proxy_http proxy_balancer
  [ "$(id -u)" -ne 0 ] || printf 'User www-data\nGroup www-data\n'
  cat <<EOF
DefaultRuntimeDir $demo
PidFile $demo/httpd.pid
ServerName 127.0.0.1
ErrorLog $demo/error.log
LogLevel lbmethod_sticky:debug
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{User-Agent}i\\"" combined
Listen 127.0.0.1:$port
Listen 127.0.0.1:$site_port
Listen 127.0.0.1:$status_port
<Location "/lbsticky-status">
    SetHandler lbsticky-status
    Require local
</Location>
Include $demo/cluster.conf
Include $demo/site.conf
EOF
} >"$demo/httpd.conf"

echo
echo "The configuration, as in every tutorial but for one word, lbmethod=sticky:"
sed 's/^./    &/' "$demo/cluster.conf"
apache2 -f "$demo/httpd.conf" -t
setsid apache2 -f "$demo/httpd.conf" -DFOREGROUND &
httpd_pid=$!
cluster=http://127.0.0.1:$port/
site=http://127.0.0.1:$site_port/
wait_for "httpd is up" curl --silent --fail "$cluster"

# --- the show ---------------------------------------------------------------------------------------------------------

# ask COUNT [CURL ARGUMENTS] URL: makes and prints the requests; leaves what came back in $answers
ask() {
  local count=$1
  shift
  local shown
  shown=$(printf ' %q' "$@")
  echo "  \$ curl$shown    ($count times)"
  answers=
  for _ in $(seq "$count"); do
    answers+=$(curl --silent --show-error --fail "$@" | tr '\n' ' ') || fail "every request is answered"
  done
  answers=${answers% }
  echo "    $answers"
}
expect() {  # expect PATTERN WHAT: the answers match
  [[ $answers =~ ^($1)$ ]] || fail "$2: got '$answers'"
}

echo
echo "Requests without a cookie take turns:"
ask 6 "$cluster"
expect '(node1 node2 ){2}node1 node2|(node2 node1 ){2}node2 node1' "the nodes alternate"

echo
echo "A session id without a route sticks (with the stock methods it jumps):"
ask 6 --cookie "JSESSIONID=12345" "$cluster"
expect '(node1 ?){6}|(node2 ?){6}' "one node answers all of them"

echo
echo "A session id with a route reaches the node it names:"
ask 4 --cookie "JSESSIONID=12345.node2" "$cluster"
expect '(node2 ?){4}' "node2 answers"

echo
echo "node2 is stopped: its session goes to the other node and stays there, and no request is lost:"
kill "${backend_pid[node2]}"
wait "${backend_pid[node2]}" 2>/dev/null || true
ask 4 --cookie "JSESSIONID=12345.node2" "$cluster"
expect '(node1 ?){4}' "node1 answers"

echo
echo "node2 is back, and so is the session:"
start_backend node2 "$port2"
back() { [ "$(curl --silent --cookie "JSESSIONID=12345.node2" "$cluster")" = node2 ]; }
wait_for "the session is back on node2" back
ask 4 --cookie "JSESSIONID=12345.node2" "$cluster"
expect '(node2 ?){4}' "node2 answers"

echo
echo "Where a request would go, and why, is answered before it goes:"
question="http://127.0.0.1:$status_port/lbsticky-status?explain=mycluster"
echo "  \$ curl --cookie JSESSIONID=12345.node2 '$question'"
answers=$(curl --silent --fail --cookie "JSESSIONID=12345.node2" "$question" | sed 's/^./    &/')
echo "$answers"
expect '.*> route .*goes to .*, route node2.*' "it would go to node2"

echo
echo "What LogLevel lbmethod_sticky:debug tells of it:"
decisions=$(sed -n 's/.*\(balancer:\/\/mycluster: affinity\)/    \1/p' "$demo/load_balancer_error.log" | uniq -c)
echo "$decisions"
for affinity in new hash route failover; do
  grep -q "affinity $affinity," <<<"$decisions" || fail "the log has a line with affinity $affinity"
done

echo
echo "Another site, from apache-conf/examples/api-and-static.conf:"
sed -n '/^<Proxy/,$ { s/^./    &/; p }' "$demo/site.conf"

asked() { grep -c "\"GET $2 " "$demo/$1.log" || true; }  # asked BACKEND PATH: how often, by the backend's own log

echo
echo "The first answer of /api carries a cookie that names the member:"
ask 1 --write-out '%header{set-cookie}' "${site}api/"
expect '(api[12]) api_sticky=\.(api[12]); .*' "there is a cookie"
read -r api cookie <<<"${answers%%;*}"
[ "$cookie" = "api_sticky=.$api" ] || fail "the cookie names the member that answered"

echo
echo "Every request that has it reaches that member, which gives no other cookie; the members' own logs say so, too:"
ask 10 --cookie "$cookie" --write-out '%header{set-cookie}' "${site}api/"
expect "($api ?){10}" "$api answers"
for name in api1 api2; do
  count=$(asked "$name" /api/)
  echo "    $name: $count requests"
  [ "$count" -eq "$([ "$name" = "$api" ] && echo 11 || echo 0)" ] || fail "all eleven requests were made to $api"
done

echo
echo "The web servers take turns, five requests each, and no answer has a cookie:"
ask 10 --write-out '%header{set-cookie}' "${site}index.html"
expect '(web1 web2 ){4}web1 web2|(web2 web1 ){4}web2 web1' "the web servers alternate, without a cookie"
for name in web1 web2; do
  count=$(asked "$name" /index.html)
  echo "    $name: $count requests"
  [ "$count" -eq 5 ] || fail "five requests were made to $name"
done

echo
curl --silent --fail "${cluster}balancer-manager" | grep -q 'balancer://mycluster' || fail "balancer-manager answers"
echo "All of that was so. The members are managed at ${cluster}balancer-manager"
if [ "${1-}" != --once ]; then
  echo "Press Ctrl-C to end."
  wait "$httpd_pid"
fi
