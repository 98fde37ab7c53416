#!/bin/sh
# What one would write by hand: clone, lint, build, push, run, wait, switch off the one before. The arguments:
# repository, commit, registry, number of the run, the docker client. Prints the container's address.
set -eu
repository=$1 commit=$2 registry=$3 number=$4 docker=$5
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git clone --quiet --depth 1 --branch main "file://$repository" "$folder/tree"
hadolint --failure-threshold error "$folder/tree/Dockerfile" >/dev/null
DOCKER_BUILDKIT=1 "$docker" build --quiet --tag "$registry/peer:$commit" "$folder/tree" >/dev/null
"$docker" push --quiet "$registry/peer:$commit" >/dev/null
"$docker" run --detach --name "peer-$number" --env PORT=8080 "$registry/peer:$commit" >/dev/null
address=$("$docker" inspect --format '{{.NetworkSettings.IPAddress}}' "peer-$number")
until curl --silent --fail --output /dev/null "http://$address:8080/"; do sleep 0.02; done
"$docker" rm --force "peer-$((number - 1))" >/dev/null 2>&1 || true
echo "$address"
