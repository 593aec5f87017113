#!/bin/bash
# probe.sh [programs]: prints the one reason why this machine cannot run the cluster (with `programs`: not even build its
# programs), or nothing if it can. Changes nothing.
. "$(dirname "$0")/lib.sh"
no() {
  echo "$*"
  exit 0
}
[ "$(uname -sm)" = 'Linux x86_64' ] || no "it needs Linux on x86-64, this is $(uname -sm)"
can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
[ -d "$KUBE_CACHE" ] || command -v go >/dev/null || can_install || no 'Go is not installed, which builds Kubernetes'
[ "${1:-}" != programs ] || exit 0
[ "$(id -u)" = 0 ] || no 'it needs root'
for c in $controllers; do
  folder=$(cgroup "$c")
  [ -n "$folder" ] && [ -w "/sys/fs/cgroup/$c$folder/cgroup.procs" ] ||
    no "it needs the version-1 cgroup hierarchy '$c' at /sys/fs/cgroup/$c, and may not write it here"
done
command -v ip >/dev/null || no 'iproute2 is not installed'
unshare --mount --pid --fork --mount-proc --uts --ipc --net --cgroup true 2>/dev/null || no 'namespaces cannot be made here'
work=$(mktemp -d /var/tmp/ilion-probe-XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{lower,upper,work,merged}
unshare --mount mount -t overlay overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" "$work/merged" 2>/dev/null ||
  no 'overlay file systems cannot be mounted here'
losetup -f >/dev/null 2>&1 || no 'there are no loop devices'
[ -z "$(missing_packages)" ] || can_install || no "these Debian packages are missing: $(missing_packages)"
