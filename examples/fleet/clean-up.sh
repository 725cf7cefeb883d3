#!/bin/bash
# Removes what runners that are gone have left on this instance: clean-up.sh /_work
#
# The question that matters: when is a runner gone? Each runner's folder ends in "-" and the first 12 digits
# of its container's id (RANDOM_RUNNER_SUFFIX=false and bridge networking make it so). A folder goes only when
# the engine lists no container of that id, in whatever state, and no container that has the folder mounted.
# Age proves nothing: a runner can wait for its job for days, and a job can leave old files untouched.
#
# Everything uncertain is kept: a folder whose name holds no id, a link, an engine that does not answer, or
# that lists no container at all (on an ECS instance at least the agent runs).
set -uo pipefail
shopt -s nullglob dotglob

root=$(realpath --canonicalize-existing -- "${1:?the folder that holds the folders of all runners}") || exit 1
failed=0

# First the folders, then the containers: a runner that starts in between has a container that is listed, and
# a folder that is not. The other way round its folder would look like one that nobody owns.
folders=()
for path in "$root"/*; do
  [[ -d $path && ! -L $path ]] && folders+=("$path")
done

if ! known=$(docker ps --all --no-trunc --format '{{.ID}} {{.Mounts}}') || [[ -z $known ]]; then
  echo "the Docker Engine lists no containers: nothing is removed" >&2
  exit 1
fi

for path in "${folders[@]}"; do
  if [[ ! ${path##*/} =~ -([0-9a-f]{12})$ ]]; then
    printf 'kept, its name holds no container id: %q\n' "$path"
  elif [[ $'\n'$known == *$'\n'"${BASH_REMATCH[1]}"* ]]; then
    : # its runner's container is there
  elif [[ $known == *"$path"* ]]; then
    printf 'kept, a container has it mounted: %q\n' "$path"
  elif rm --recursive --force --one-file-system -- "$path"; then
    printf 'removed: %q\n' "$path"
  else
    failed=1
  fi
done

# What else a job leaves when its runner is killed. The agent removes containers and images (see
# ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP), but no networks, volumes or build cache. Only what nothing uses goes, and
# no volume that someone named.
docker network prune --force --filter until=24h >/dev/null || failed=1
docker volume ls --quiet --filter dangling=true | { grep --extended-regexp '^[0-9a-f]{64}$' || true; } |
  xargs --no-run-if-empty docker volume rm >/dev/null || failed=1
docker builder prune --force --filter until=48h >/dev/null || failed=1
exit "$failed"
