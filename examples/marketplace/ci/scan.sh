#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One scan; its findings go to results/NAME.sarif. It fails when the scanner could not do its work, never for what it
# found: that is for ci/verdict.py to judge.
#
#   ci/scan.sh setup | npm-audit | pip-audit | semgrep | gitleaks | licences | codeql | sbom | dependency-check | snyk
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

parts=(backend frontend e2e)
# Not wheels, and fetched when they run.
dependency_check=owasp/dependency-check:12.1.0
snyk=snyk@1.1307.4

fail() {
    printf 'scan.sh: %s\n' "$1" >&2
    exit 69
}

# up_to CODE COMMAND...: scanners say by their exit code that they found something; only more than that is a failure.
up_to() {
    local most=$1 code=0
    shift
    "$@" || code=$?
    ((code <= most)) || fail "$1 failed with exit code $code"
}

# with_key NAME: whether a scan that needs a key has it; where not, the job's page says so.
with_key() {
    [[ -z ${!1:-} ]] || return 0
    printf -- '- %s: not run, there is no secret %s\n' "$scan" "$1" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
    return 1
}

scan=${1:?which scan: see ci/scan.sh}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p results
case $scan in
    setup)
        # What the machine has already is left as it is.
        python3 -m pip --disable-pip-version-check install --quiet --require-hashes --requirement ci/requirements.txt
        ;;
    npm-audit)
        for part in "${parts[@]}"; do
            up_to 1 npm --prefix "$part" audit --package-lock-only --json >"$work/$part"
            reports+=("$part=$work/$part")
        done
        ci/to_sarif.py npm-audit "${reports[@]}" >"results/$scan.sarif"
        ;;
    pip-audit)
        up_to 1 pip-audit --progress-spinner off --require-hashes --disable-pip --format json --output "$work/report" \
            --requirement ci/requirements.txt --requirement ci/controller.txt
        ci/to_sarif.py pip-audit "ci=$work/report" >"results/$scan.sarif"
        ;;
    semgrep)
        up_to 0 semgrep scan --quiet --metrics off --disable-version-check --config ci/semgrep.yml --sarif --output "results/$scan.sarif" .
        ;;
    gitleaks)
        # The whole history: what was once committed is known to whoever has a clone. A secret is an error, of which its report says nothing.
        up_to 0 gitleaks git --no-banner --log-level error --redact --exit-code 0 --report-format sarif --report-path "$work/report" .
        jq '.runs[].results[]?.level = "error"' "$work/report" >"results/$scan.sarif"
        ;;
    licences) ci/to_sarif.py licences backend=backend/package-lock.json frontend=frontend/package-lock.json >"results/$scan.sarif" ;;
    sbom) up_to 0 syft scan --quiet dir:. --output cyclonedx-json=results/sbom.cdx.json ;;
    codeql) cp codeql/*.sarif "results/$scan.sarif" ;; # what its action left
    dependency-check)
        with_key NVD_API_KEY || exit 0
        # Arguments are seen by others; a file is not.
        printf 'nvd.api.key=%s\n' "$NVD_API_KEY" >"$work/properties"
        up_to 0 docker run --rm --volume "$PWD:/src:ro" --volume "$work:/report" "$dependency_check" \
            --scan /src --project marketplace --format SARIF --out /report --propertyfile /report/properties
        cp "$work/dependency-check-report.sarif" "results/$scan.sarif"
        ;;
    snyk)
        with_key SNYK_TOKEN || exit 0
        up_to 1 npx --yes "$snyk" test --all-projects --sarif-file-output="results/$scan.sarif" >/dev/null
        ;;
    *) fail "there is no scan '$scan'" ;;
esac
