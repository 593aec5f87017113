# Settings and helpers that the scripts of this folder share.
# Every setting below can be given in the environment.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=$here/../programs
: "${KUBE_NAME:=ilion}"                      # prefix of network namespaces and cgroups: one cluster, one name
: "${KUBE_STATE:=/var/tmp/ilion-kube/$KUBE_NAME}" # one cluster's certificates, databases, disks and logs
: "${KUBE_NODES:=$(cat "$KUBE_STATE/nodes" 2>/dev/null || echo 3)}" # worker nodes that up.sh starts
: "${KUBE_PORT:=16443}"                      # the API server on the host's loopback
: "${KUBE_NET:=$(cat "$KUBE_STATE/net" 2>/dev/null || echo 89)}" # its addresses: 10.KUBE_NET.0.0/16 and the next two
if [ -z "${KUBE_CACHE:-}" ]; then            # built programs, by what they are made of
  KUBE_CACHE=${ILION_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ilion}/kubernetes/$(
    cd "$here" && cat "$programs"/go.mod "$programs"/go.sum "$programs"/cmd/*/* build.sh pack.sh | sha256sum | cut -c1-16
  )
fi
export KUBE_NAME KUBE_STATE KUBE_NODES KUBE_PORT KUBE_NET KUBE_CACHE KUBECONFIG=$KUBE_STATE/kubeconfig
bin=$KUBE_CACHE/bin
export PATH=$bin:/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin:$PATH

# The cluster is a set of machines on one switch. Machine 0 is the control plane, machine i is node-i. No address below
# exists outside the network namespaces that up.sh makes.
control=10.$KUBE_NET.0.10
address() { echo "10.$KUBE_NET.0.$((10 + $1))"; }
pods() { echo "10.$((KUBE_NET + 1)).$1.0/24"; }
pod_range=10.$((KUBE_NET + 1)).0.0/16
service_range=10.$((KUBE_NET + 2)).0.0/20
first_service=10.$((KUBE_NET + 2)).0.1
domain=cluster.local
netns() { echo "$KUBE_NAME-$1"; }
folder() { echo "$KUBE_STATE/machine-$1"; }
name() { if [ "$1" = 0 ]; then echo control; else echo "node-$1"; fi; }

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "gave up waiting for $what"
    sleep 0.2
  done
}

packages="containerd runc containernetworking-plugins nftables iptables conntrack ethtool socat kmod xfsprogs util-linux iproute2 openssl curl procps tini"
missing_packages() {
  dpkg-query -W -f '${Package} ${db:Status-Status}\n' $packages 2>&1 |
    awk '/no packages found/ {print $NF} $2 != "installed" && NF == 2 {print $1}' | tr '\n' ' '
}

# cgroups: the version-1 hierarchies of this kernel, each with the folder of the calling process, so that machines stay
# inside the caller's own limits.
controllers="cpu cpuacct cpuset memory devices freezer blkio pids systemd"
cgroup() {
  awk -F: -v c="$1" '{n = split($2, a, ","); for (i = 1; i <= n; i++) if (a[i] == c || a[i] == "name=" c) print $3}' /proc/self/cgroup
}

# Every machine's cgroups, remembered because a later shell may sit in another folder of the hierarchy.
make_cgroups() {
  local c dir
  mkdir -p "$KUBE_STATE"
  for c in $controllers; do
    dir=/sys/fs/cgroup/$c$(cgroup "$c")
    dir=${dir%/}/$KUBE_NAME
    mkdir -p "$dir"
    echo 1 >"$dir/cgroup.clone_children"
    if [ "$c" = cpuset ]; then
      cat "${dir%/*}/cpuset.cpus" >"$dir/cpuset.cpus"
      cat "${dir%/*}/cpuset.mems" >"$dir/cpuset.mems"
    fi
    echo "$dir"
  done >"$KUBE_STATE/cgroups"
}

# boot I: powers machine I on. The machine is one process tree with its own network, processes, mounts, host name and
# cgroups, so killing its first process is pulling its plug: everything in it is gone at once.
boot() {
  local i=$1 dir
  dir=$(folder "$i")
  mkdir -p "$dir/log"
  (
    while read -r group; do
      mkdir -p "$group/$(name "$i")"
      echo $BASHPID >"$group/$(name "$i")/cgroup.procs"
    done <"$KUBE_STATE/cgroups"
    exec setsid nsenter --net="/run/netns/$(netns "$i")" \
      unshare --mount --pid --fork --kill-child --mount-proc --uts --ipc --cgroup \
      bash "$here/machine.sh" "$i" </dev/null >>"$dir/log/machine.log" 2>&1
  ) &
  echo $! >"$dir/pid"
}

# alive I: is machine I on? The number in the file may be another process's by now, after a reboot of the host.
alive() {
  local pid
  pid=$(cat "$(folder "$1")/pid" 2>/dev/null) && grep -q machine.sh "/proc/$pid/cmdline" 2>/dev/null
}

# first I: its first process, seen from the host.
first() {
  local pid
  pid=$(cat "$(folder "$1")/pid")
  tr -d ' ' <"/proc/$pid/task/$pid/children"
}

# plug I: pulls machine I's plug, and returns when everything in it is gone.
plug() {
  local pid
  alive "$1" || return 0
  pid=$(cat "$(folder "$1")/pid")
  kill -9 "$(first "$1")"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  rm -f "$(folder "$1")/pid"
}
