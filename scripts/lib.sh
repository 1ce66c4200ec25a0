# SPDX-License-Identifier: Apache-2.0
# What the set-up scripts share. Sourced, never run.
# shellcheck shell=bash disable=SC2034

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB_DIR="$REPO/.lab"
# Everything the lab makes in the Docker engine carries this prefix, so that cleaning up can name it.
LAB_PREFIX=sluice-lab
# The lab's network, its first three octets. The inventory reads the same variable.
LAB_SUBNET="${SLUICE_LAB_SUBNET:-10.213.7}"

# Progress goes to standard error; standard output is for results.
say() { printf '%s\n' "$*" >&2; }

# One clear line, then out.
fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

is_debian() { [ -r /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; }

# Install missing Debian packages; explains what to do where it cannot.
need_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  is_debian || fail "these are needed: ${missing[*]}. This is not Debian: install them with your system's package manager."
  [ "$(id -u)" = 0 ] || fail "these packages are needed: ${missing[*]}. Run as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  mkdir -p "$LAB_DIR"
  local log
  log=$(mktemp)
  # One at a time: apt's own lock on the package lists does not wait.
  if ! (
    flock 8
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } 8>&-
  ) 8>"$LAB_DIR/apt.lock" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "apt-get could not install ${missing[*]}; its last words are above"
  fi
  rm -f "$log"
}

# molecule_steps COMMAND SCENARIO: Molecule's output goes to .lab/SCENARIO.log; only the steps are shown.
molecule_steps() {
  local log="$LAB_DIR/$2.log"
  # A place of our own for Molecule's state: two checkouts do not share one.
  export MOLECULE_EPHEMERAL_DIRECTORY="$LAB_DIR/molecule/$2"
  mkdir -p "$MOLECULE_EPHEMERAL_DIRECTORY"
  rm -f "$MOLECULE_EPHEMERAL_DIRECTORY/state.yml" # Molecule trusts this over the engine
  if ! (cd "$REPO" && molecule "$1" --scenario-name "$2" --no-command-borders) 2>&1 | tee "$log" |
    sed -u -n -E 's/\x1b\[[0-9;]*m//g; s/^(TASK|RUNNING HANDLER) \[(.*)\].*/  \2/p' >&2; then
    sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E -A 12 '^(fatal|failed|\[ERROR\]|ERROR|CRITICAL)' | head -n 40 >&2
    fail "molecule $1 of $2 failed; its output is in ${log#"$REPO"/}"
  fi
}
