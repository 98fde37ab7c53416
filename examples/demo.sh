#!/bin/sh
# The main job, on the first example: what `make demo` runs.
set -eu
cd "$(dirname "$0")/.."
imageforge="${IMAGEFORGE:-.venv/bin/imageforge}"

echo "setup: starting engine (where none answers), registry, Redis, balancer, controller, API, workers"
"$imageforge" --quiet up
echo "setup: making the base image imageforge/python:3.11 from the host's package mirror, where it is not there yet"
"$imageforge" --quiet base create python:3.11 >/dev/null
"$imageforge" deploy examples/01-hello-http

url="$("$imageforge" apps show hello --format json | .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["url"])')"
echo
echo "six answers through the balancer, $url"
.venv/bin/python - "$url" <<'PY'
import http.client, sys, urllib.parse
target = urllib.parse.urlsplit(sys.argv[1])
for number in range(1, 7):
    # The name ends in .localhost, which not every resolver knows; the Host header is what the balancer goes by.
    connection = http.client.HTTPConnection("127.0.0.1", target.port or 80, timeout=10)
    connection.request("GET", "/", headers={"Host": target.netloc})
    print(f"  {number}  {connection.getresponse().read().decode().strip()}")
    connection.close()
PY
cat <<TXT

next: curl $url        .venv/bin/imageforge status        .venv/bin/imageforge logs -f hello
      .venv/bin/imageforge remote add hello, then git push forge main    .venv/bin/imageforge report hello
undo: make down            stops it all; make down PURGE=1 removes every trace
TXT
