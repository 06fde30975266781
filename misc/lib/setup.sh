# Sourced by the entry scripts: installs what a fresh Debian machine lacks and sets the build's environment.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# One build directory for all checkouts of a user: the C++ in it takes long to compile.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/freshet/target}"
RUST_MINOR_REQUIRED=95

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        echo "Some packages are missing and this user may not install them. Run this first, then try again:" >&2
        echo "    sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
        exit 1
    fi
}

# need_packages PACKAGE...: installs those that are missing.
need_packages() {
    missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "Installing ${missing[*]} ..." >&2
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
    fi
}

rust_is_recent() {
    local minor
    minor=$(cargo --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
    [ -n "$minor" ] && [ "$minor" -ge "$RUST_MINOR_REQUIRED" ]
}

need_rust() {
    [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
    rust_is_recent && return
    echo "Installing Rust 1.$RUST_MINOR_REQUIRED or newer with rustup ..." >&2
    if command -v rustup >/dev/null; then
        rustup toolchain install stable --profile minimal --component clippy,rustfmt
        rustup default stable
    else
        need_packages curl ca-certificates
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
            sh -s -- -y --profile minimal --component clippy,rustfmt
        . "$HOME/.cargo/env"
    fi
    rust_is_recent || { echo "Rust 1.$RUST_MINOR_REQUIRED or newer is required; found: $(cargo --version)" >&2; exit 1; }
}

# What any build needs. ccache makes the second compilation of RocksDB, by another profile or checkout, quick.
need_build_tools() {
    need_packages gcc g++ make pkg-config libclang-dev zlib1g-dev ccache
    need_rust
    export CC="ccache cc" CXX="ccache c++"
    # Object files are alike wherever the registry's sources are unpacked.
    export CCACHE_NOHASHDIR=1
}
