#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make this machine a controller: Ansible, the collection, an SSH agent with the key, the hosts' keys, the vault's key.
#
# Environment: SLUICE, the collection as ansible-galaxy names it (a version, or the path of an artefact);
# SLUICE_SSH_KEY, SLUICE_KNOWN_HOSTS. ci/release.sh finds the agent, and what prints SLUICE_VAULT_KEY, in RUNNER_TEMP.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${RUNNER_TEMP:?is empty: a directory that goes away with the job}"
: "${SLUICE_SSH_KEY:?is empty: set the secret with the private key}"
: "${SLUICE_KNOWN_HOSTS:?is empty: set the secret with the keys of the hosts (ssh-keyscan, compared with the hosts)}"

# What the machine has already is left as it is.
python3 -m pip --disable-pip-version-check install --quiet --require-hashes --requirement ci/controller.txt
ansible-galaxy collection install --force "${SLUICE:-sluice.stack:==0.1.0}"

install -d -m 0700 ~/.ssh
printf '%s\n' "$SLUICE_KNOWN_HOSTS" >~/.ssh/known_hosts
ssh-agent -a "$RUNNER_TEMP/sluice-agent" >/dev/null
printf '%s\n' "$SLUICE_SSH_KEY" | tr -d '\r' | SSH_AUTH_SOCK="$RUNNER_TEMP/sluice-agent" ssh-add -q -t 7200 -
# shellcheck disable=SC2016  # expands when Ansible asks
printf '#!/bin/sh\nprintf "%%s\\n" "${SLUICE_VAULT_KEY:?is empty: set the secret with the key of the vault}"\n' >"$RUNNER_TEMP/sluice-vault-key"
chmod 0700 "$RUNNER_TEMP/sluice-vault-key"
