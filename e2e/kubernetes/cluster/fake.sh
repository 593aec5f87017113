#!/bin/bash
# fake.sh N: adds N pretend nodes to the running cluster, for tests of scale: the API server, the scheduler and the
# controllers are the real ones, but a pod on such a node is only said to run (kwok says it). Pods come to them when they
# tolerate the taint kwok=true:NoSchedule and select the label type: kwok.
. "$(dirname "$0")/lib.sh"
count=${1:?how many nodes?}
if ! [ -e "$KUBE_STATE/kwok" ]; then
  touch "$KUBE_STATE/kwok"
  nsenter --target "$(first 0)" --mount --pid --net --uts --ipc -- setsid \
    kwok --kubeconfig "$KUBE_STATE/conf/admin.kubeconfig" --config "$KUBE_CACHE/kwok.yaml" \
    --manage-nodes-with-label-selector type=kwok --node-lease-duration-seconds 40 --cidr 10.92.0.0/16 \
    </dev/null >>"$(folder 0)/log/kwok.log" 2>&1 &
fi
for ((i = 1; i <= count; i++)); do
  cat <<-EOF
	---
	apiVersion: v1
	kind: Node
	metadata: {name: fake-$i, labels: {type: kwok, kubernetes.io/hostname: fake-$i, kubernetes.io/os: linux, topology.kubernetes.io/zone: zone-$((i % 3 + 1))}}
	spec: {taints: [{key: kwok, value: "true", effect: NoSchedule}]}
	status:
	  allocatable: {cpu: 32, memory: 256Gi, pods: 110}
	  capacity: {cpu: 32, memory: 256Gi, pods: 110}
	EOF
done | kubectl apply -f - >/dev/null
kubectl wait --for=condition=Ready node -l type=kwok --timeout=300s >/dev/null
