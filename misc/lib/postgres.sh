# Sourced after setup.sh: a private PostgreSQL 15 on a Unix socket, for tests that keep something in one.

postgres_bin=/usr/lib/postgresql/15/bin

# PostgreSQL refuses to run as root; Debian's package brings a user for it.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    else
        "$@"
    fi
}

# Starts a server and exports its URL as FRESHET_TEST_POSTGRES.
start_postgres() {
    need_packages postgresql
    postgres_dir=$(mktemp -d)
    [ "$(id -u)" != 0 ] || chown postgres:postgres "$postgres_dir"
    (cd / && as_postgres "$postgres_bin/initdb" -D "$postgres_dir/data" -U postgres -A trust --locale=C -E UTF8 &&
        as_postgres "$postgres_bin/pg_ctl" -D "$postgres_dir/data" -w -l "$postgres_dir/log" \
            -o "-c listen_addresses= -c unix_socket_directories=$postgres_dir" start) >/dev/null || return 1
    export FRESHET_TEST_POSTGRES="postgres://postgres@${postgres_dir//\//%2F}/postgres?sslmode=disable"
}

stop_postgres() {
    (cd / && as_postgres "$postgres_bin/pg_ctl" -D "$postgres_dir/data" -m immediate stop) >/dev/null
    rm -rf "$postgres_dir"
    unset FRESHET_TEST_POSTGRES
}
