#!/bin/sh
# Builds node/native/build/ilion.node, our binding to RocksDB. Called at every start: silent and quick when up to date.
#   build.sh          the addon
#   build.sh asan     build/ilion-asan.node, under AddressSanitizer; asan.sh runs the tests with it
# The library is another npm package's, its headers come from the crate of the same RocksDB version (by cargo), both
# outside our tree. Results are cached by content, so a second clone only copies.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
variant=${1:-release}

# The one place that says which RocksDB: any shared library that exports its C++ symbols will do (rocksdbjni's too).
version=11.8.1
crate=librocksdb-sys
crateVersion="0.19.0+$version"
library=${ILION_ROCKSDB_LIBRARY:-$root/node_modules/@harperfast/rocksdb-js-linux-x64-glibc/rocksdb-js.node}

case $variant in
  release) out=$here/build/ilion.node; flags='-O2 -DNDEBUG' ;;
  asan) out=$here/build/ilion-asan.node; flags='-O1 -g -fsanitize=address -fno-omit-frame-pointer' ;;
  *) echo "build.sh: unknown variant '$variant' (release or asan)" >&2; exit 2 ;;
esac
flags="-std=c++20 -fPIC -fno-rtti -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter -DNAPI_VERSION=9 $flags"

cd "$here"
sources=$(echo src/core/*.cc src/napi/*.cc)
# Not the place of this clone: another one may use what this one built.
key=$({ echo "$version ${library#"$root"/} $flags"; cat build.sh $sources src/core/*.h src/napi/*.h; } | sha256sum | cut -c1-32)
stamp=$out.key
[ -f "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && exit 0

say() { echo "[setup 2/2] $*" >&2; }
fail() { say "$*"; exit 1; }
command -v g++ >/dev/null || fail 'no C++ compiler: apt-get install g++'
[ -f "$library" ] || fail "RocksDB's library is missing: $library (run npm ci)"

cache=${ILION_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ilion}
headers=$cache/rocksdb-$version
mkdir -p build "$cache"

# The crate's directory or archive is in cargo's own registry cache, after `cargo fetch` of a manifest that names it.
fetch_headers() {
  command -v cargo >/dev/null || fail 'cargo is needed once, for the headers of RocksDB: apt-get install cargo'
  say "fetching the headers of RocksDB $version (crate $crate) ..."
  work=$cache/fetch.$$
  mkdir -p "$work" "$headers.$$"
  # Only the crate itself is wanted: what it depends on is patched away with empty crates. (It also lets Debian's old
  # cargo do it, which cannot read the manifests of some of them.)
  manifest() { printf '[package]\nname = "%s"\nversion = "%s"\n[lib]\npath = "lib.rs"\n' "$1" "$2"; }
  {
    manifest headers 0.0.0
    printf '[dependencies]\n%s = { version = "=%s", default-features = false }\n[patch.crates-io]\n' "$crate" "$crateVersion"
    for stub in libc:0.2.999 bindgen:0.72.999 cc:1.999.0 rustflags:0.1.999; do
      name=${stub%:*}
      mkdir -p "$work/$name"
      : > "$work/$name/lib.rs"
      { manifest "$name" "${stub#*:}"; printf '[features]\nparallel = []\nruntime = []\nstatic = []\n'; } > "$work/$name/Cargo.toml"
      printf '%s = { path = "%s" }\n' "$name" "$name"
    done
  } > "$work/Cargo.toml"
  : > "$work/lib.rs"
  # Before 1.70 cargo would clone the whole index of the registry, unless told otherwise.
  minor=$(cargo --version | cut -d. -f2)
  if [ "$minor" -lt 68 ]; then sparse='-Z sparse-registry'; else sparse=''; fi
  (cd "$work" && RUSTC_BOOTSTRAP=1 CARGO_REGISTRIES_CRATES_IO_PROTOCOL=sparse cargo $sparse fetch --quiet) >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    fail "cargo could not fetch $crate $crateVersion"
  }
  registry=${CARGO_HOME:-$HOME/.cargo}/registry
  source=$(ls -d "$registry"/src/*/"$crate-$crateVersion" 2>/dev/null | head -1)
  if [ -z "$source" ]; then
    archive=$(ls "$registry"/cache/*/"$crate-$crateVersion.crate" 2>/dev/null | head -1)
    [ -n "$archive" ] || fail "cargo fetched $crate, but it is not in $registry"
    tar -xzf "$archive" -C "$work"
    source=$work/$crate-$crateVersion
  fi
  cp -R "$source/rocksdb/include" "$headers.$$/include"
  rm -rf "$work"
  mv -T "$headers.$$" "$headers" 2>/dev/null || rm -rf "$headers.$$"
}

compiler=$(g++ -dumpfullversion)
name=$(echo "$key $compiler" | sha256sum | cut -c1-32)
built=$cache/addon/$name.node
if [ ! -f "$built" ]; then
  [ -d "$headers/include/rocksdb" ] || fetch_headers
  count=$(echo $sources | wc -w)
  say "compiling the native binding ($count files, g++ $compiler) ..."
  objects=$cache/objects.$$
  mkdir -p "$objects" "$cache/addon"
  trap 'rm -rf "$objects"' EXIT
  # Names may not hold blanks; paths are relative to here. Two at a time: more gain nothing on a small machine.
  echo $sources | tr ' ' '\n' | ILION_FLAGS="$flags -I$headers/include -I$root/node_modules/node-api-headers/include" ILION_OBJECTS=$objects \
    xargs -P 2 -I{} sh -c 'g++ $ILION_FLAGS -c {} -o "$ILION_OBJECTS/$(echo {} | tr / _).o"' || fail 'the compiler failed, see above'
  directory=$(dirname "$library")
  case $directory in
    "$root"/*) rpath="\$ORIGIN/../../../${directory#"$root"/}" ;;
    *) rpath=$directory ;;
  esac
  # Never unloaded: Node closes an addon with the last worker that used it, but our threads run on.
  g++ $flags -shared -o "$built.$$" "$objects"/*.o -L"$directory" "-l:$(basename "$library")" \
    -Wl,-rpath,"$rpath" -Wl,--as-needed -Wl,-z,nodelete -pthread || fail 'the linker failed, see above'
  mv "$built.$$" "$built"
  say 'native binding built'
fi
# A new inode: a running process may have the old file mapped.
cp "$built" "$out.$$" && mv "$out.$$" "$out"
echo "$key" > "$stamp"
