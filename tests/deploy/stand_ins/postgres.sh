#!/usr/bin/env bash
# As the official image starts: made once, prepared by scripts over a socket that nobody else reaches, then opened.
set -euo pipefail
data=/var/lib/postgresql/18
sockets=/tmp
export PGHOST=$sockets
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

if [ ! -e "$data/PG_VERSION" ]; then
    install --directory --owner=postgres --group=postgres --mode=700 "$data"
    password=$(mktemp)
    echo "$POSTGRES_PASSWORD" > "$password"
    chown postgres "$password"
    # shellcheck disable=SC2086
    as_postgres initdb --pgdata="$data" --username=postgres --pwfile="$password" --auth-local=trust \
        --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-} > /dev/null
    rm "$password"
    as_postgres pg_ctl --pgdata="$data" --wait --silent --log=/dev/null \
        --options="-c listen_addresses='' -c unix_socket_directories=$sockets" start
    for script in /docker-entrypoint-initdb.d/*.sh; do
        PGUSER=postgres as_postgres bash "$script"
    done
    as_postgres pg_ctl --pgdata="$data" --wait --silent --mode=fast stop
fi
[ "$1" = postgres ] && shift
exec setpriv --reuid=postgres --regid=postgres --init-groups \
    postgres -D "$data" -c listen_addresses="$LISTEN" -c unix_socket_directories="$sockets" "$@"
