#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One kind of tests, with a summary for the job's page: unit, integration, security, e2e, coverage or migrations.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kind=${1:?which kind: unit, integration, security, e2e, coverage or migrations}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

prepare() {
    # What GitHub's runners lack. A machine that has them is left alone.
    if ! command -v redis-server >/dev/null; then
        sudo apt-get update -qq && sudo apt-get install -y -qq --no-install-recommends redis-server >/dev/null
    fi
    if [[ $kind == e2e && ! -x ${CHROMIUM_PATH:-/usr/bin/chromium} ]]; then
        npm --prefix e2e ci --ignore-scripts --no-audit --no-fund --silent
        (cd e2e && npx playwright install --with-deps chromium)
        export PLAYWRIGHT_OWN=1
    fi
}

failed=0
{ prepare && ./test.sh "$kind"; } 2>&1 | tee "$log" || failed=1
{
    printf '### %s: %s\n\n```\n' "$kind" "$([[ $failed == 0 ]] && echo passed || echo FAILED)"
    # The counts at the end, without colours; of a failure more.
    sed 's/\x1b\[[0-9;]*m//g' "$log" | tail -n "$([[ $failed == 0 ]] && echo 12 || echo 60)"
    printf '```\n'
} >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
exit "$failed"
