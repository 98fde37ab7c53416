#!/bin/sh
# pack.sh URL FOLDER FILE…: each file packed by igzip at the level that imageforge packs at, and sent as a blob of the
# repository at URL; two at a time, the largest first. What a push that finds nothing packed cannot do without: nothing
# is read out of an engine, unpacked again or compared.
set -eu
url=$1 folder=$2 send=$(dirname "$0")/send.sh
shift 2
export url folder send
ls -S "$@" | xargs -P 2 -I FILE sh -c '
    packed=$(mktemp -p "$folder")
    igzip -2 -c FILE > "$packed"
    digest=$(sha256sum "$packed")
    mv "$packed" "$folder/${digest%% *}"
    "$send" "$url" "$folder/${digest%% *}"
'
