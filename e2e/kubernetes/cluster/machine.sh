#!/bin/bash
# machine.sh I: the first process of machine I, started by boot() in lib.sh inside namespaces of its own. It lays the
# machine's own folders over the host's, keeps its services running, and reaps what they leave behind.
. "$(dirname "$0")/lib.sh"
i=$1
dir=$(folder "$i") conf=$KUBE_STATE/conf
hostname "$(name "$i")"
ip link set lo up

own() { # own PATH: this machine's PATH is its own, and survives a reboot
  mkdir -p "$1" "$dir/root$1"
  mount --bind "$dir/root$1" "$1"
}

keep() { # keep SERVICE COMMAND...: restarts it whenever it ends
  local service=$1
  shift
  while :; do
    "$@" >>"$dir/log/$service.log" 2>&1 || true
    say "$service ended; starting it again"
    sleep 1
  done &
}

control_plane() {
  keep etcd etcd --name control --data-dir "$dir/etcd" --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster control=http://127.0.0.1:2380 --unsafe-no-fsync
  keep kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$control" --secure-port 6443 --allow-privileged \
    --tls-cert-file "$conf/apiserver.crt" --tls-private-key-file "$conf/apiserver.key" \
    --client-ca-file "$conf/ca.crt" --kubelet-certificate-authority "$conf/ca.crt" \
    --kubelet-client-certificate "$conf/apiserver.crt" --kubelet-client-key "$conf/apiserver.key" \
    --kubelet-preferred-address-types InternalIP \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --service-cluster-ip-range "$service_range" --enable-aggregator-routing \
    --service-account-issuer "https://kubernetes.default.svc.$domain" \
    --service-account-key-file "$conf/accounts.pub" --service-account-signing-key-file "$conf/accounts.key" \
    --requestheader-client-ca-file "$conf/ca.crt" --requestheader-allowed-names front-proxy \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$conf/front-proxy.crt" --proxy-client-key-file "$conf/front-proxy.key"
  # The way in from the host: a socket file, since files cross network namespaces.
  keep door socat "UNIX-LISTEN:$dir/api.sock,fork,unlink-early" TCP:127.0.0.1:6443
  wait_for 300 'the API server' curl -fsk https://127.0.0.1:6443/readyz
  keep kube-controller-manager kube-controller-manager --kubeconfig "$conf/controllers.kubeconfig" \
    --authentication-kubeconfig "$conf/controllers.kubeconfig" --authorization-kubeconfig "$conf/controllers.kubeconfig" \
    --use-service-account-credentials --service-account-private-key-file "$conf/accounts.key" \
    --root-ca-file "$conf/ca.crt" --cluster-signing-cert-file "$conf/ca.crt" --cluster-signing-key-file "$conf/ca.key" \
    --leader-elect=false --kube-api-qps 300 --kube-api-burst 600 \
    --node-monitor-grace-period 20s --node-monitor-period 2s
  keep kube-scheduler kube-scheduler --kubeconfig "$conf/scheduler.kubeconfig" \
    --authentication-kubeconfig "$conf/scheduler.kubeconfig" --authorization-kubeconfig "$conf/scheduler.kubeconfig" \
    --leader-elect=false --kube-api-qps 300 --kube-api-burst 600
  keep coredns coredns -conf "$conf/Corefile"
  keep volumes volumes -kubeconfig "$conf/volumes.kubeconfig" -disks "$KUBE_STATE/disks"
}

node() {
  local c f
  # This network namespace's devices, and cgroup hierarchies that begin here.
  umount -R /sys
  mount -t sysfs sysfs /sys
  mount -t tmpfs cgroup /sys/fs/cgroup
  for c in $controllers; do
    mkdir "/sys/fs/cgroup/$c"
    if [ "$c" = systemd ]; then c=none,name=systemd; fi
    mount -t cgroup -o "$c" cgroup "/sys/fs/cgroup/${c#none,name=}"
  done
  # The kubelet wants three kernel settings; it finds them set here, and the
  # host's own stay as they are.
  for f in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    mkdir -p "$dir/sysctl/${f%/*}"
    echo "${f#*=}" >"$dir/sysctl/${f%=*}"
    mount --bind "$dir/sysctl/${f%=*}" "/proc/sys/${f%=*}"
  done
  mount -t tmpfs tmpfs /run
  own /var/lib/containerd
  own /var/lib/kubelet
  own /var/lib/cni
  own /var/log/pods
  own /var/log/containers
  own /etc/cni/net.d
  cp "$conf/cni-$i.conflist" /etc/cni/net.d/e2e.conflist

  keep containerd containerd --config "$conf/containerd.toml"
  wait_for 300 containerd ctr --address /run/containerd/containerd.sock version
  if [ ! -e "$dir/loaded" ]; then
    ctr --namespace k8s.io images import "$KUBE_CACHE/pause.tar"
    touch "$dir/loaded"
  fi
  keep kubelet kubelet --config "$conf/kubelet-$i.yaml" --kubeconfig "$conf/node-$i.kubeconfig" \
    --hostname-override "node-$i" --node-ip "$(address "$i")" --node-labels "topology.kubernetes.io/zone=zone-$i"
  keep kube-proxy kube-proxy --config "$conf/kube-proxy.yaml" --hostname-override "node-$i"
}

if [ "$i" = 0 ]; then control_plane; else node; fi
while :; do wait -n || true; done
