#!/bin/sh
# managed by sluice.stack
# Put the firewall and SSH's settings into effect (apply), or take the last change of them back unless it was confirmed (undo).
set -u
folder=/var/lib/sluice-access
rules=/etc/nftables.d/sluice.nft
wait=

apply() {
  code=0
  if [ -e "$rules" ]; then
    nft --file "$rules" || code=1
  elif command -v nft >/dev/null && nft list table inet sluice >/dev/null 2>&1; then
    nft delete table inet sluice || code=1
  fi
  # What the kernel lists now is compared in later runs.
  if [ -e "$rules" ]; then nft --stateless list table inet sluice; fi >"$folder/loaded"
  if systemctl is-active --quiet ssh.service; then
    # Not with settings that it would not start with.
    # shellcheck disable=SC2086
    sshd -t && systemctl $wait reload ssh.service || code=1
  fi
  return "$code"
}

undo() {
  # At boot ssh.service starts after this, and so would systemd have a reload wait for it.
  wait=--no-block
  exec 9>"$folder/lock"
  flock 9
  [ -e "$folder/pending" ] || return 0
  while read -r path; do
    if [ -e "$folder/before$path" ]; then
      cp -p "$folder/before$path" "$path.undo" && mv "$path.undo" "$path"
    else
      rm -f "$path"
    fi
  done <"$folder/paths"
  mv "$folder/pending" "$folder/undone"
  systemctl --no-block stop sluice-access-undo.timer
  systemctl disable --quiet sluice-access-undo.service
  apply
  # It may have blocked the controller, which tried.
  systemctl --no-block try-restart sshguard.service 2>/dev/null || true
}

umask 077
mkdir -p "$folder"
case "${1:-}" in
  apply) apply ;;
  undo) undo ;;
  *) echo "usage: access apply|undo" >&2; exit 2 ;;
esac
