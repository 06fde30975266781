# Sourced after setup.sh: a private PostgreSQL 15 on a Unix socket and, with TLS, on localhost, for tests that keep something in one.

postgres_bin=/usr/lib/postgresql/15/bin

# PostgreSQL refuses to run as root; Debian's package brings a user for it.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    else
        "$@"
    fi
}

# Starts a server and exports its URL as FRESHET_TEST_POSTGRES, its port on localhost as FRESHET_TEST_POSTGRES_PORT, and the
# file of the authority that its certificate is of as FRESHET_TEST_POSTGRES_CA.
start_postgres() {
    need_packages postgresql openssl python3
    postgres_dir=$(mktemp -d)
    [ "$(id -u)" != 0 ] || chown postgres:postgres "$postgres_dir"
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    (cd "$postgres_dir" && as_postgres openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
        -keyout server.key -out server.pem 2>/dev/null && as_postgres chmod 600 server.key) || return 1
    (cd / && as_postgres "$postgres_bin/initdb" -D "$postgres_dir/data" -U postgres -A trust --locale=C -E UTF8 &&
        as_postgres "$postgres_bin/pg_ctl" -D "$postgres_dir/data" -w -l "$postgres_dir/log" \
            -o "-c listen_addresses=localhost -c port=$port -c unix_socket_directories=$postgres_dir -c ssl=on \
                -c ssl_cert_file=$postgres_dir/server.pem -c ssl_key_file=$postgres_dir/server.key" start) >/dev/null || return 1
    export FRESHET_TEST_POSTGRES="postgres://postgres@${postgres_dir//\//%2F}:$port/postgres?sslmode=disable"
    export FRESHET_TEST_POSTGRES_PORT=$port FRESHET_TEST_POSTGRES_CA="$postgres_dir/server.pem"
}

stop_postgres() {
    (cd / && as_postgres "$postgres_bin/pg_ctl" -D "$postgres_dir/data" -m immediate stop) >/dev/null
    rm -rf "$postgres_dir"
    unset FRESHET_TEST_POSTGRES FRESHET_TEST_POSTGRES_PORT FRESHET_TEST_POSTGRES_CA
}
