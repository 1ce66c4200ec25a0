#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Build the backend and frontend images of one version of the marketplace.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# What this tree is without an overlay from versions/.
readonly tree_version=v1.0.0

usage() {
    cat <<EOF
Usage: build.sh VERSION [--prefix IMAGE_PREFIX] [--build-arg NAME=VALUE]...

Builds IMAGE_PREFIX/backend:VERSION and IMAGE_PREFIX/frontend:VERSION.
  VERSION       one of: $(known_versions)
  --prefix      default: marketplace
  --build-arg   handed to 'docker build'; NODE_IMAGE and NGINX_IMAGE name the base images
Environment: REVISION and SOURCE go into the image labels (default: what git says).
EOF
}

known_versions() {
    local overlay
    printf '%s' "$tree_version"
    for overlay in "$here"/versions/*/; do
        printf ' %s' "$(basename "$overlay")"
    done
}

fail() {
    printf 'build.sh: %s\n' "$1" >&2
    exit 64
}

# The tree with the overlay of the version laid over it, without what git would not keep.
assemble() {
    local version=$1 target=$2
    tar -C "$here" --exclude=node_modules --exclude=dist --exclude=.test-build --exclude=generated \
        -cf - backend frontend | tar -C "$target" -xf -
    if [[ $version != "$tree_version" ]]; then
        cp -R "$here/versions/$version/." "$target/"
    fi
}

main() {
    local version='' prefix=marketplace service
    local -a build_args=()
    while (($# > 0)); do
        case $1 in
            -h | --help) usage; exit 0 ;;
            --prefix) prefix=${2:?--prefix needs a value}; shift 2 ;;
            --build-arg) build_args+=(--build-arg "${2:?--build-arg needs NAME=VALUE}"); shift 2 ;;
            -*) fail "unknown option '$1'; see build.sh --help" ;;
            *) [[ -z $version ]] || fail "one version at a time, got '$version' and '$1'"; version=$1; shift ;;
        esac
    done
    [[ -n $version ]] || fail "which version? One of: $(known_versions)"
    [[ " $(known_versions) " == *" $version "* ]] || fail "unknown version '$version'; there are: $(known_versions)"

    local revision source
    revision=${REVISION:-$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)}
    source=${SOURCE:-$(git -C "$here" config --get remote.origin.url 2>/dev/null || echo unknown)}

    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    assemble "$version" "$context"
    for service in backend frontend; do
        docker build --tag "$prefix/$service:$version" \
            --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE=$source" \
            "${build_args[@]}" "$context/$service"
    done
}

main "$@"
