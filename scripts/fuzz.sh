#!/usr/bin/env bash
# Gives every reader of files damaged ones: each target for so many seconds, 300 unless said otherwise, the targets of a
# crate side by side. Memory is bounded, so that a reader that takes what a file merely declares fails.
#
#   scripts/fuzz.sh                 every target, 5 minutes each
#   scripts/fuzz.sh 60              a minute each
#   scripts/fuzz.sh 60 safetensors  those with this in their names
set -uo pipefail
cd "$(dirname "$0")/.."

export FUZZ_SECONDS="${1:-300}"
name="fuzz_${2:-}"
[ $# -lt 2 ] && name=fuzz_
failed=0
for target in "brew-models --lib" "brew-data --test untrusted" "brew-distillers --lib" "brew --test untrusted"; do
    # shellcheck disable=SC2086
    cargo test -p $target --no-run --quiet || exit 1
    # In kilobytes.
    # shellcheck disable=SC2086
    (ulimit -v "${FUZZ_MEMORY:-6000000}"; cargo test -p $target --quiet -- --nocapture "$name") || failed=1
done
exit $failed
