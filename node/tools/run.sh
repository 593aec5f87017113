#!/bin/sh
# The `ilion` command: sets up what is missing, then runs it with the project's own Node.
here=$(cd "$(dirname "$0")/../.." && pwd)
exec sh "$here/node/tools/with-node.sh" "$here/node/src/main/main.ts" "$@"
