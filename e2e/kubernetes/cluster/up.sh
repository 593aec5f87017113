#!/bin/bash
# up.sh: starts a Kubernetes cluster on this machine, a control plane and KUBE_NODES worker nodes that run real
# containers, and prints its KUBECONFIG. Does nothing when it is up. down.sh takes all of it away again, which happens by
# itself when the process $KUBE_OWNER ends, if there is one given.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || die 'up.sh must run as root'
if alive 0 && [ -e "$KUBE_STATE/up" ]; then
  echo "KUBECONFIG=$KUBECONFIG"
  exit 0
fi
reason=$("$here/probe.sh")
[ -z "$reason" ] || die "Kubernetes cannot run here: $reason"
"$here/build.sh"
SECONDS=0
"$here/down.sh"
conf=$KUBE_STATE/conf
mkdir -p "$conf" "$KUBE_STATE/disks"
echo "$KUBE_NODES" >"$KUBE_STATE/nodes"
echo "$KUBE_NET" >"$KUBE_STATE/net"
if [ -n "${KUBE_OWNER:-}" ]; then
  setsid bash -c 'tail --pid="$KUBE_OWNER" -f /dev/null; exec "$0"' "$here/down.sh" </dev/null >/dev/null 2>&1 &
  echo $! >"$KUBE_STATE/guard.pid"
fi

# Certificates and kubeconfigs.
plain='[req]
distinguished_name = name
[name]'
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650)
openssl req -x509 "${key[@]}" -subj /CN=e2e-ca -config <(echo "$plain") -addext basicConstraints=critical,CA:TRUE \
  -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature -keyout "$conf/ca.key" -out "$conf/ca.crt" 2>/dev/null
issue() { # issue NAME SUBJECT [ALTERNATIVE NAMES]
  openssl req -x509 "${key[@]}" -subj "$2" -config <(echo "$plain") -CA "$conf/ca.crt" -CAkey "$conf/ca.key" \
    -addext basicConstraints=CA:FALSE -addext extendedKeyUsage=clientAuth,serverAuth \
    -addext "subjectAltName=${3:-DNS:$1}" -keyout "$conf/$1.key" -out "$conf/$1.crt" 2>/dev/null
}
kubeconfig() { # kubeconfig NAME SERVER: with NAME's certificate inside
  cat <<-EOF
	{"apiVersion": "v1", "kind": "Config", "current-context": "e2e",
	 "clusters": [{"name": "e2e", "cluster": {"server": "$2", "certificate-authority-data": "$(base64 -w0 "$conf/ca.crt")"}}],
	 "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "$1"}}],
	 "users": [{"name": "$1", "user": {"client-certificate-data": "$(base64 -w0 "$conf/$1.crt")", "client-key-data": "$(base64 -w0 "$conf/$1.key")"}}]}
	EOF
}
user() { # user NAME SUBJECT [ALTERNATIVE NAMES]: a certificate and a kubeconfig
  issue "$@"
  kubeconfig "$1" "https://$control:6443" >"$conf/$1.kubeconfig"
}
issue apiserver /O=system:masters/CN=apiserver \
  "IP:$first_service,IP:$control,IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$domain"
issue front-proxy /CN=front-proxy
user admin /O=system:masters/CN=admin
user controllers /CN=system:kube-controller-manager
user scheduler /CN=system:kube-scheduler
user proxy /CN=system:kube-proxy
user dns /CN=ilion-dns
user volumes /CN=ilion-volumes
for ((i = 1; i <= KUBE_NODES; i++)); do
  user "node-$i" "/O=system:nodes/CN=system:node:node-$i" "IP:$(address "$i"),DNS:node-$i"
done
openssl genrsa -out "$conf/accounts.key" 2048 2>/dev/null
openssl rsa -in "$conf/accounts.key" -pubout -out "$conf/accounts.pub" 2>/dev/null
kubeconfig admin "https://127.0.0.1:$KUBE_PORT" >"$KUBECONFIG"

# The services' settings.
cat >"$conf/Corefile" <<EOF
$domain in-addr.arpa {
  errors
  kubernetes {
    kubeconfig $conf/dns.kubeconfig
    ttl 1
  }
}
. {
  template ANY ANY {
    rcode NXDOMAIN
  }
}
EOF
cat >"$conf/containerd.toml" <<'EOF'
version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "e2e.local/pause:1"
  restrict_oom_score_adj = true # works without CAP_SYS_RESOURCE too
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
EOF
cat >"$conf/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $pod_range
clientConnection: {kubeconfig: $conf/proxy.kubeconfig}
conntrack: {maxPerCore: 0}
EOF
for ((i = 1; i <= KUBE_NODES; i++)); do
  mkdir -p "$KUBE_STATE/disks/node-$i"
  cat >"$conf/kubelet-$i.yaml" <<-EOF
	apiVersion: kubelet.config.k8s.io/v1beta1
	kind: KubeletConfiguration
	failSwapOn: false
	failCgroupV1: false
	cgroupDriver: cgroupfs
	containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
	authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $conf/ca.crt}}
	authorization: {mode: Webhook}
	tlsCertFile: $conf/node-$i.crt
	tlsPrivateKeyFile: $conf/node-$i.key
	clusterDomain: $domain
	clusterDNS: [$control]
	resolvConf: /dev/null
	nodeStatusUpdateFrequency: 4s
	syncFrequency: 10s
	volumePluginDir: /var/lib/kubelet/volume-plugins
	evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
	imageGCHighThresholdPercent: 100
	EOF
  cat >"$conf/cni-$i.conflist" <<-EOF
	{"cniVersion": "1.0.0", "name": "e2e", "plugins": [
	 {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(pods "$i")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
	 {"type": "portmap", "capabilities": {"portMappings": true}}]}
	EOF
done

# The network: a switch in machine 0, one cable to every node.
make_cgroups
ip netns add "$(netns 0)"
in0() { ip -n "$(netns 0)" "$@"; }
in0 link add switch type bridge
in0 link set switch up
in0 address add "$control/24" dev switch
ip netns exec "$(netns 0)" sysctl -qw net.ipv4.ip_forward=1
for ((i = 1; i <= KUBE_NODES; i++)); do
  ip netns add "$(netns "$i")"
  in0 link add "node-$i" type veth peer name eth0 netns "$(netns "$i")"
  in0 link set "node-$i" master switch up
  in0 route add "$(pods "$i")" via "$(address "$i")"
  ip -n "$(netns "$i")" link set eth0 up
  ip -n "$(netns "$i")" address add "$(address "$i")/24" dev eth0
  ip -n "$(netns "$i")" route add default via "$control"
  ip netns exec "$(netns "$i")" sysctl -qw net.ipv4.ip_forward=1
  for ((j = 1; j <= KUBE_NODES; j++)); do
    [ "$j" = "$i" ] || ip -n "$(netns "$i")" route add "$(pods "$j")" via "$(address "$j")"
  done
done
[ "$KUBE_NODES" = 0 ] || in0 route add "$service_range" via "$(address 1)" # services, from machine 0, by way of node-1

# Power on.
boot 0
for ((i = 1; i <= KUBE_NODES; i++)); do boot "$i"; done
setsid socat "TCP-LISTEN:$KUBE_PORT,bind=127.0.0.1,fork,reuseaddr" "UNIX-CONNECT:$(folder 0)/api.sock" \
  </dev/null >>"$(folder 0)/log/door.log" 2>&1 &
echo $! >"$KUBE_STATE/door.pid"
wait_for 300 'the API server' kubectl get --raw /readyz
kubectl apply -f - >/dev/null <<EOF
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: e2e.local/loop
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
reclaimPolicy: Delete
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: ilion-dns}
rules:
- {apiGroups: [""], resources: [services, pods, namespaces, endpoints], verbs: [list, watch, get]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: ilion-volumes}
rules:
- {apiGroups: [""], resources: [persistentvolumes, persistentvolumeclaims, persistentvolumeclaims/status], verbs: ["*"]}
- {apiGroups: [storage.k8s.io], resources: [storageclasses], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: ilion-dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ilion-dns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ilion-dns}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: ilion-volumes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ilion-volumes}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ilion-volumes}]
EOF
for ((i = 1; i <= KUBE_NODES; i++)); do
  wait_for 300 "node-$i" kubectl get node "node-$i"
  kubectl wait --for=condition=Ready "node/node-$i" --timeout=300s >/dev/null
done
wait_for 300 'the default service account' kubectl get serviceaccount default
touch "$KUBE_STATE/up"
say "[kubernetes] up in $SECONDS s: control plane and $KUBE_NODES nodes"
echo "KUBECONFIG=$KUBECONFIG"
