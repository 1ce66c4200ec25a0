#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sign what ci/build.sh pushed, by its digest: the signature covers the image, its provenance and its bill of materials.
#
#   ci/sign.sh backend | frontend
#
# Environment: REGISTRY as for ci/build.sh; COSIGN_PRIVATE_KEY and COSIGN_PASSWORD, from `cosign generate-key-pair`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

service=${1:?which service: backend or frontend}
image=${REGISTRY:?is empty}
image=${image,,}/$service
: "${COSIGN_PRIVATE_KEY:?is empty: set the secret with the key that cosign generate-key-pair makes}"
cosign sign --yes --key env://COSIGN_PRIVATE_KEY "$image@$(jq --raw-output '."containerimage.digest"' "results/$service.json")"
