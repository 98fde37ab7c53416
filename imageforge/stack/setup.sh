#!/bin/sh
# Install from Debian's packages what imageforge needs and this machine lacks; start nothing, touch no service.
# --check only says what is missing, and exits 1 where something is. --tests adds what only the tests need,
# --bench what the benchmarks measure against.
set -eu

have() { PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

engine_answers() {
    [ -n "${DOCKER_HOST:-}" ] && return 0
    [ -S /var/run/docker.sock ] && have python3 && python3 - <<'PY' 2>/dev/null
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(3); s.connect("/var/run/docker.sock")
s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n"); sys.exit(0 if b" 200 " in s.recv(64) else 1)
PY
}

missing=""
engine_answers || have dockerd || missing="$missing docker.io"
have docker-registry || missing="$missing docker-registry"
have redis-server || have valkey-server || missing="$missing redis-server"
have haproxy || missing="$missing haproxy"
have mmdebstrap || missing="$missing mmdebstrap"
have iptables || missing="$missing iptables"
have ip || missing="$missing iproute2"
python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ "${1:-}" = "--tests" ]; then
    have pebble || missing="$missing pebble"
    [ "$(uname -m)" != x86_64 ] || have qemu-x86_64 || missing="$missing qemu-user"
    ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$missing libfaketime"
fi
if [ "${1:-}" = "--bench" ]; then
    have docker-compose || missing="$missing docker-compose"
    have wrk || missing="$missing wrk"
    have skopeo || missing="$missing skopeo"
    have igzip || missing="$missing isal"
fi
missing="${missing# }"

[ -n "$missing" ] || exit 0
if [ "${1:-}" = "--check" ]; then
    echo "missing: $missing"
    exit 1
fi
if ! have apt-get; then
    echo "setup: this is not Debian; please install: a Docker Engine >= 20.10, CNCF Distribution (registry)," >&2
    echo "       Redis or Valkey, HAProxy >= 2.6, iptables, iproute2, and Python >= 3.11 with venv" >&2
    exit 4
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "setup: root is needed to install: $missing" >&2
    echo "       run: sudo $0" >&2
    exit 4
fi
echo "setup: installing from Debian's packages: $missing (nothing of it is started)"

# Debian's maintainer scripts ask this program before they start a service; 101 is "forbidden".
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
log="$(mktemp)"
install_all() { apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1; }
# Lists may be absent or older than the mirror.
if ! install_all; then
    apt-get update -q >>"$log" 2>&1 || true
    install_all || { cat "$log" >&2; rm -f "$log"; echo "setup: apt-get failed; see above" >&2; exit 4; }
fi
rm -f "$log"
