#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An app of its own for a pull request, with a scrubbed copy of the data.
#
#   ci/preview.sh present            up, with this pull request's images
#   ci/preview.sh absent             away
#   ci/preview.sh expired            away with those that nobody deployed for long
#
# Environment: INVENTORY, SLUICE_PREVIEW (the number), SLUICE_VAULT_KEY. After ci/controller.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${INVENTORY:?is empty: such as inventories/staging}"
export SSH_AUTH_SOCK=$RUNNER_TEMP/sluice-agent ANSIBLE_VAULT_PASSWORD_FILE=$RUNNER_TEMP/sluice-vault-key
export ANSIBLE_STDOUT_CALLBACK=sluice.stack.console ANSIBLE_CALLBACKS_ENABLED=sluice.stack.report
case ${1:?present, absent or expired} in
    present)
        APP_VERSION=$(ci/tags.py --version)
        export APP_VERSION
        ansible-playbook sluice.stack.preview -i "$INVENTORY" -e release_wait_seconds=600
        ;;
    absent | expired) ansible-playbook sluice.stack.preview -i "$INVENTORY" -e "state=$1" ;;
    *) echo "preview.sh: present, absent or expired, not '$1'" >&2; exit 64 ;;
esac
