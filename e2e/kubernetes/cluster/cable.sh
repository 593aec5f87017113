#!/bin/bash
# cable.sh NAME NET: lays a cable from machine 0 of this cluster to that of the cluster NAME, whose KUBE_NET is NET: machines and
# pods of both reach each other at their addresses, as in networks that are peered. Services do not. It goes with either cluster.
. "$(dirname "$0")/lib.sh"
[ $# = 2 ] || die 'cable.sh NAME NET'
other=$1 net=$2
[ "$net" != "$KUBE_NET" ] || die "both clusters have the addresses 10.$net.0.0/16: give one of them another KUBE_NET"
end() { # end NAMESPACE OWN OTHER: one end of it
  ip -n "$1" address add "169.254.$2.1" peer "169.254.$3.1" dev "net-$3"
  ip -n "$1" link set "net-$3" up
  ip -n "$1" route add "10.$3.0.0/16" via "169.254.$3.1"
  ip -n "$1" route add "10.$(($3 + 1)).0.0/16" via "169.254.$3.1"
}
ip link add "net-$net" netns "$(netns 0)" type veth peer name "net-$KUBE_NET" netns "$other-0"
end "$(netns 0)" "$KUBE_NET" "$net"
end "$other-0" "$net" "$KUBE_NET"
