# Sourced after setup.sh and minio.sh: a real Kubernetes control plane for the tests. It is built from Kubernetes' Go modules, at
# the version that test/k8s/kubelab/go.mod pins, and kept beside the build directory.

# Sets and exports KUBELAB_BIN, the program; the first time this compiles for about 15 minutes on one core.
need_kubelab() {
    local directory version
    directory="$(dirname "$CARGO_TARGET_DIR")/kubelab"
    KUBELAB_BIN="$directory/kubelab-$(cat test/k8s/kubelab/{go.sum,go.mod,*.go} | sha256sum | cut -c1-16)"
    export KUBELAB_BIN
    [ -x "$KUBELAB_BIN" ] && return
    need_go || return 1
    echo "Building a Kubernetes control plane (once, about 15 minutes) ..." >&2
    mkdir -p "$directory"
    version=$(sed -n 's|^\tk8s.io/kubernetes v||p' test/k8s/kubelab/go.mod)
    # Without these an API server calls itself v0.0.0, and refuses what newer ones may.
    local stamp="-X k8s.io/component-base/version.gitVersion=v$version -X k8s.io/client-go/pkg/version.gitVersion=v$version"
    stamp+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${version:2:2}"
    (cd test/k8s/kubelab && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly nice -n 10 "$go" build -p "${KUBELAB_JOBS:-2}" \
        -trimpath -buildvcs=false -ldflags "-s -w $stamp" -o "$KUBELAB_BIN.new" .) || return 1
    mv "$KUBELAB_BIN.new" "$KUBELAB_BIN"
}
