#!/usr/bin/env bash
# Checks licences, advisories, bans and sources of every dependency against deny.toml.
#
#   scripts/deny.sh                  all checks; advisories need the network
#   scripts/deny.sh licenses bans    some of them
#
# Installs cargo-deny from source where it is missing, which takes minutes; that is why .ci/run leaves it out.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "cargo-deny is missing: installing it"
    cargo install --locked cargo-deny
fi
cargo deny --locked check "$@"
