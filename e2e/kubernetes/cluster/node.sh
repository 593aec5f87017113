#!/bin/bash
# node.sh: what can happen to a running cluster's machines. N is a node's number; 0, the control plane, can only be
# turned off and on and run commands.
#
#   node.sh off N           pulls the plug: every process is gone at once, nothing answers, disks stay
#   node.sh on N            powers it on again
#   node.sh cut N [M]       cuts N off from all others, or only from machine M, where 0 is the control plane: the
#                           node is lost, its pods run on
#   node.sh heal N          undoes every cut of N
#   node.sh run N COMMAND   runs a command inside, such as: run 1 ctr --namespace k8s.io containers list
#   node.sh load FILE...    imports image archives (OCI or docker save) on every node that is on
. "$(dirname "$0")/lib.sh"
verb=${1:-} n=${2:-}
inside() { # inside I COMMAND...
  local pid
  pid=$(first "$1")
  shift
  nsenter --target "$pid" --mount --pid --net --uts --ipc --cgroup -- "$@"
}
in_net() { ip -n "$(netns "$n")" "$@"; }
cable() { [ "$n" = 0 ] || ip -n "$(netns 0)" link set "node-$n" "$1"; } # cable up|down

load() {
  local i file workers=()
  for ((i = 1; i <= KUBE_NODES; i++)); do
    ! alive "$i" || {
      wait_for 60 "containerd of node-$i" inside "$i" ctr version
      for file in "$@"; do inside "$i" ctr --namespace k8s.io images import "$(realpath "$file")" >/dev/null; done
    } &
    workers+=($!)
  done
  for i in "${workers[@]}"; do wait "$i" || die "an image cannot be loaded: $*"; done
}

case $verb in
off)
  cable down
  plug "$n"
  ;;
on)
  cable up
  alive "$n" || boot "$n"
  ;;
cut)
  if [ $# = 2 ]; then
    cable down
  else
    in_net route replace blackhole "$(address "$3")"
    [ "$3" = 0 ] || in_net route replace blackhole "$(pods "$3")"
  fi
  ;;
heal)
  ! alive "$n" || cable up
  in_net route show type blackhole | while read -r _ to _; do
    in_net route delete blackhole "$to"
  done
  for ((j = 1; j <= KUBE_NODES; j++)); do
    [ "$j" = "$n" ] || in_net route replace "$(pods "$j")" via "$(address "$j")"
  done
  ;;
run) inside "$n" "${@:3}" ;;
load) load "${@:2}" ;;
*)
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
  exit 2
  ;;
esac
