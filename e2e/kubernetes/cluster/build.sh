#!/bin/bash
# build.sh [programs]: installs the Debian packages that the cluster needs and are missing (not with `programs`), and
# builds its programs from the Go module proxy into $KUBE_CACHE, once for each content of ../programs and of this file.
# Where there is no Go, Debian's is installed, which fetches the one that ../programs/go.mod asks for.
# Silent and quick when all is there.
. "$(dirname "$0")/lib.sh"
progress() { say "[kubernetes] $*"; }

install_packages() { # install_packages MISSING...
  local missing=$*
  [ -n "$missing" ] || return 0
  [ "$(id -u)" = 0 ] || die "these Debian packages are missing, and only root can install them: $missing"
  progress "installing Debian packages: $missing ..."
  export DEBIAN_FRONTEND=noninteractive
  # A list of packages from another day names files that are gone.
  apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null ||
    die "these Debian packages cannot be installed: $missing"
}

# use_go: Go 1.21 and later fetch the version that a module asks for by themselves; older ones are helped.
use_go() {
  local minor wanted
  command -v go >/dev/null || install_packages golang-go ca-certificates
  minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ "${minor:-0}" -lt 21 ] || return 0
  wanted=$(sed -n 's/^go /go/p' "$programs/go.mod")
  progress "fetching $wanted ..."
  wanted=$(cd / && go mod download -json "golang.org/toolchain@v0.0.1-$wanted.linux-amd64" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  # Files of modules are not executable.
  chmod -R a+x "$wanted/bin" "$wanted/pkg/tool"
  export PATH=$wanted/bin:$PATH
}

# Shows how far `go build -v` is; whatever it says that is no package's name is passed on.
count_packages() {
  awk -v all="$1" '
    /^[^ :]+$/ { if (++n % 250 == 0) { printf "[kubernetes] compiled %d packages, of at most %d ...\n", n, all; fflush() } next }
    { print; fflush() }'
}

build_programs() {
  local to=$1/bin version flags package all
  cd "$programs"
  progress 'downloading the sources (165 MB) ...'
  go mod download
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  flags="-s -w"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$version") -X $package.gitTreeState=clean"
  done
  mkdir -p "$to"
  all=$(CGO_ENABLED=0 go list -deps ./cmd/... tool | wc -l)
  progress "building Kubernetes $version, once: 8 minutes on two idle cores ..."
  CGO_ENABLED=0 go build -v -trimpath -buildvcs=false -ldflags "$flags" -o "$to/" ./cmd/... tool 2> >(count_packages "$all" >&2)
  # Go calls etcd's program by the last part of its package's path.
  mv "$to/server" "$to/etcd" 2>/dev/null || mv "$to/v3" "$to/etcd"
}

# A module of its own, with the definitions of its objects.
build_cert_manager() {
  local module
  cd "$programs/cmd/cert-manager"
  progress 'building cert-manager ...'
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$1/bin/" . &&
    module=$(go list -m -f '{{.Dir}}' github.com/cert-manager/cert-manager) &&
    cat "$module"/deploy/crds/*.yaml >"$1/cert-manager.yaml"
}

# What kwok makes of its pretend nodes and pods.
write_stages() {
  local stages file
  stages=$(cd "$programs" && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
  for file in "$stages"/pod/fast/pod-*.yaml "$stages"/node/fast/node-*.yaml "$stages"/node/heartbeat-with-lease/node-*.yaml; do
    echo ---
    cat "$file"
  done >"$1/kwok.yaml"
}

pack_pause() {
  mkdir "$1/root"
  cp "$1/bin/pause" "$1/root/pause"
  "$here/pack.sh" "$1/root" e2e.local/pause:1 "$1/pause.tar" '{"Entrypoint": ["/pause"], "User": "65535:65535"}'
  rm -rf "$1/root"
}

[ "${1:-}" = programs ] || install_packages $(missing_packages)
mkdir -p "$(dirname "$KUBE_CACHE")"
exec 9>"$(dirname "$KUBE_CACHE")/lock"
flock 9
if ! [ -d "$KUBE_CACHE" ]; then
  use_go
  # Who is interrupted leaves nothing that looks done.
  rm -rf "${KUBE_CACHE%/*}"/building.*
  work=${KUBE_CACHE%/*}/building.$$
  (build_programs "$work" && build_cert_manager "$work" && write_stages "$work" && pack_pause "$work")
  mv -T "$work" "$KUBE_CACHE"
  progress "built in $((SECONDS / 60)) min $((SECONDS % 60)) s: $(du -sh "$KUBE_CACHE" | cut -f1) in $KUBE_CACHE"
fi
# Programs of other contents go when nobody has used them for two weeks.
touch "$KUBE_CACHE"
find "${KUBE_CACHE%/*}" -mindepth 1 -maxdepth 1 -type d -mtime +14 -exec rm -rf {} +
