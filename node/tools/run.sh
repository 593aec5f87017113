#!/bin/sh
# The `ilion` command: sets up what is missing, then runs it with the project's own Node.
here=$(cd "$(dirname "$0")/../.." && pwd)
# What runs clusters by the operator is not a part of the node.
if [ "${1:-}" = dev ]; then
  shift
  exec sh "$here/node/tools/with-node.sh" "$here/operator/src/dev/main.ts" "$@"
fi
exec sh "$here/node/tools/with-node.sh" "$here/node/src/main/main.ts" "$@"
