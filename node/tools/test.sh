#!/bin/sh
# Sets up what is missing, then runs all tests (or those whose path holds one of the arguments).
here=$(cd "$(dirname "$0")/../.." && pwd)
exec sh "$here/node/tools/with-node.sh" "$here/node/tools/test.ts" "$@"
