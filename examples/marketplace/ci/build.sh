#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Build the image of one service, push it under all its tags, and say its digest.
#
#   ci/build.sh backend | frontend
#
# Environment: REGISTRY, such as ghcr.io/example/marketplace, with REGISTRY_USER and REGISTRY_PASSWORD; PUSH=false only
# builds; NODE_IMAGE and NGINX_IMAGE replace the base images; SBOM names another program that lists an image's packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

service=${1:?which service: backend or frontend}
image=${REGISTRY:?is empty: where images go, such as ghcr.io/example/marketplace}
image=${image,,}/$service
[[ $service == backend || $service == frontend ]] || { echo "build.sh: there is no service '$service'" >&2; exit 64; }

mapfile -t tags < <(ci/tags.py)
((${#tags[@]} > 0)) || exit 64 # tags.py has said why
flags=()
for tag in "${tags[@]}"; do flags+=(--tag "$image:$tag"); done
for name in NODE_IMAGE NGINX_IMAGE; do [[ -z ${!name:-} ]] || flags+=(--build-arg "$name=${!name}"); done
if [[ ${PUSH:-true} == true ]]; then
    docker login --username "${REGISTRY_USER:?is empty}" --password-stdin "${image%%/*}" <<<"${REGISTRY_PASSWORD:?is empty}"
    flags+=(--push --cache-to "type=registry,ref=$image:cache,mode=max")
fi

mkdir -p results
docker buildx build "${flags[@]}" \
    --cache-from "type=registry,ref=$image:cache" \
    --provenance mode=max --sbom "${SBOM:-true}" \
    --build-arg "VERSION=${tags[0]}" --build-arg "REVISION=$GITHUB_SHA" --build-arg "SOURCE=$GITHUB_SERVER_URL/$GITHUB_REPOSITORY" \
    --label "org.opencontainers.image.created=$(git show --no-patch --format=%cI HEAD)" \
    --metadata-file "results/$service.json" --progress plain "$service"

digest=$(jq --raw-output '."containerimage.digest" // "not pushed"' "results/$service.json")
printf 'image=%s@%s\n' "$image" "$digest" >>"${GITHUB_OUTPUT:-/dev/null}"
# shellcheck disable=SC2016  # marks of Markdown
{
    printf '### %s\n\n`%s@%s`\n\n' "$service" "$image" "$digest"
    printf -- '- `%s`\n' "${tags[@]}"
} | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
