#!/bin/bash
# pack.sh ROOT NAME OUT [CONFIG]: packs the folder ROOT as a container image of one layer into the OCI archive OUT, which
# containerd imports under NAME. CONFIG is the image's run settings as JSON, such as {"Entrypoint": ["/program"]}. Equal
# folders make equal archives.
set -euo pipefail
root=$1 name=$2 out=$3 config=${4:-'{}'}
work=$(mktemp -d "$(dirname "$out")/pack-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/blobs/sha256"
blob() { # blob FILE: moves it among the blobs, prints its digest and size as members of a JSON object
  local sum size
  sum=$(sha256sum "$1" | cut -d' ' -f1) size=$(stat -c %s "$1")
  mv "$1" "$work/blobs/sha256/$sum"
  printf '"digest": "sha256:%s", "size": %s' "$sum" "$size"
}
type=application/vnd.oci.image
tar -C "$root" --sort=name --mtime=@0 --numeric-owner -cf "$work/layer" .
layer=$(blob "$work/layer")
printf '{"architecture": "amd64", "os": "linux", "config": %s, "rootfs": {"type": "layers", "diff_ids": [%s]}}' \
  "$config" "$(cut -d' ' -f2 <<<"$layer" | tr -d ,)" >"$work/config"
printf '{"schemaVersion": 2, "mediaType": "%s", "config": {"mediaType": "%s", %s}, "layers": [{"mediaType": "%s", %s}]}' \
  "$type.manifest.v1+json" "$type.config.v1+json" "$(blob "$work/config")" "$type.layer.v1.tar" "$layer" >"$work/manifest"
printf '{"schemaVersion": 2, "manifests": [{"mediaType": "%s", %s, "annotations": {"io.containerd.image.name": "%s"}}]}' \
  "$type.manifest.v1+json" "$(blob "$work/manifest")" "$name" >"$work/index.json"
echo '{"imageLayoutVersion": "1.0.0"}' >"$work/oci-layout"
tar -C "$work" --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -cf "$out" oci-layout index.json blobs
