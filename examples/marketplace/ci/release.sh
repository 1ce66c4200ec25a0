#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Deploy this commit's images, or go back. The playbook backs up, migrates, starts the new release beside the old one,
# switches, and reverts on its own what does not become healthy.
#
#   ci/release.sh deploy             this commit's version
#   ci/release.sh rollback           to the release before; or to ROLLBACK_VERSION
#
# Environment: INVENTORY, SLUICE_VAULT_KEY; SLUICE_NOTIFY and SLUICE_NOTIFY_SECRET for notices. After ci/controller.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${INVENTORY:?is empty: such as inventories/staging}"
export SSH_AUTH_SOCK=$RUNNER_TEMP/sluice-agent ANSIBLE_VAULT_PASSWORD_FILE=$RUNNER_TEMP/sluice-vault-key
export ANSIBLE_STDOUT_CALLBACK=sluice.stack.console ANSIBLE_CALLBACKS_ENABLED=sluice.stack.report,sluice.stack.notify
# A version is text that somebody wrote: it goes through the environment, or as JSON, and is never a part of a command.
case ${1:?deploy or rollback} in
    deploy)
        APP_VERSION=$(ci/tags.py --version)
        export APP_VERSION
        ansible-playbook sluice.stack.deploy -i "$INVENTORY" -e release_wait_seconds=600
        ;;
    rollback)
        variables=$(python3 -c 'import json, os; to = os.environ.get("ROLLBACK_VERSION"); print(json.dumps({"release_to": to} if to else {}))')
        ansible-playbook sluice.stack.rollback -i "$INVENTORY" -e "$variables"
        ;;
    *) echo "release.sh: deploy or rollback, not '$1'" >&2; exit 64 ;;
esac
