#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run a command with a database and a cache. What DATABASE_URL and REDIS_URL name is used as it is; without them both are
# started for the command, from the system's packages, on free loopback ports and in a directory that goes away with it.
#
#   test/services.sh npm run test:integration
set -euo pipefail

fail() {
    printf 'services.sh: %s\n' "$1" >&2
    exit 69
}

# The system's own database is neither used nor asked: only its programs are.
find_program() {
    local name=$1 found
    found=$(compgen -G "/usr/lib/postgresql/*/bin/$name" | sort -V | tail -n 1)
    [[ -n $found ]] || found=$(command -v "$name") || fail "there is no $name: apt-get install postgresql redis-server, or set DATABASE_URL and REDIS_URL"
    printf '%s\n' "$found"
}

free_ports() {
    node -e "const { createServer } = require('node:net');
        const servers = [1, 2].map(() => createServer().listen(0, '127.0.0.1'));
        setTimeout(() => { console.log(servers.map((server) => server.address().port).join(' ')); servers.map((server) => server.close()); }, 50)"
}

# Postgres does not run as root.
unprivileged() {
    if [[ $(id -u) == 0 ]]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$place" "$@"
    else
        "$@"
    fi
}

start() {
    local initdb redis_server database_port redis_port
    initdb=$(find_program initdb)
    pg_ctl=$(find_program pg_ctl)
    redis_server=$(find_program redis-server)
    read -r database_port redis_port <<<"$(free_ports)"
    place=$(mktemp -d)
    trap stop EXIT
    [[ $(id -u) != 0 ]] || chown 65534:65534 "$place"
    (
        cd "$place"
        unprivileged "$initdb" --pgdata=database --username=market --auth=trust --encoding=UTF8 --no-sync >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
        # Nothing here outlives a crash, or has to.
        unprivileged "$pg_ctl" --pgdata=database --log=database/log --wait --silent start \
            -o "-c listen_addresses=127.0.0.1 -c port=$database_port -c unix_socket_directories='$place' -c fsync=off -c full_page_writes=off" ||
            { cat database/log >&2; exit 1; }
    )
    unprivileged "$redis_server" --bind 127.0.0.1 --port "$redis_port" --dir "$place" --save '' --appendonly no --loglevel warning \
        --daemonize yes --pidfile "$place/redis.pid" --logfile "$place/redis.log" >/dev/null
    export DATABASE_URL=postgresql://market@127.0.0.1:$database_port/postgres REDIS_URL=redis://127.0.0.1:$redis_port/0
    for _ in {1..100}; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$redis_port") 2>/dev/null; then return; fi
        sleep 0.05
    done
    cat "$place/redis.log" >&2
    fail 'redis-server does not answer within five seconds'
}

stop() {
    [[ ! -s $place/redis.pid ]] || kill "$(<"$place/redis.pid")" || true
    (cd "$place" && unprivileged "$pg_ctl" --pgdata=database --mode=immediate --silent stop >/dev/null 2>&1) || true
    rm -rf "$place"
}

(($# > 0)) || fail 'which command?'
if [[ -z ${DATABASE_URL:-} || -z ${REDIS_URL:-} ]]; then
    start
fi
"$@"
