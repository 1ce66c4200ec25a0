#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests of the marketplace, from a clean tree: installs what the lock files say, builds, and runs every kind of test.
# coverage runs the first three in one, and fails below the share of lines in backend/package.json.
# Postgres and Redis come from DATABASE_URL and REDIS_URL, or from the system's packages: see backend/test/services.sh.
#
#   ./test.sh [unit | integration | security | e2e | coverage | migrations]...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

install() { npm --prefix "$1" ci --ignore-scripts --no-audit --no-fund --silent; }

kinds=("$@")
[[ ${#kinds[@]} -gt 0 ]] || kinds=(unit integration security e2e migrations)
install backend
for kind in "${kinds[@]}"; do
    printf '\n== %s\n' "$kind"
    if [[ $kind == e2e ]]; then
        install frontend
        install e2e
        npm --prefix backend run --silent build >/dev/null
        npm --prefix frontend run --silent build >/dev/null
        npm --prefix e2e test --silent
    else
        npm --prefix backend run --silent "test:$kind"
    fi
done
