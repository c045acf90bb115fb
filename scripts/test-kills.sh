#!/usr/bin/env bash
# Kills runs and exports with `kill -9` at random times, continues them, and compares the weights at the end with those of
# a run that was left alone, bit for bit; fills a small disk; takes away the right to write.
#
#   scripts/test-kills.sh             100 kills
#   scripts/test-kills.sh 500 3       500 kills, at the times of seed 3
set -euo pipefail
cd "$(dirname "$0")/.."
export BREW_KILLS="${1:-100}" BREW_KILL_SEED="${2:-1}"
cargo test -p brew-cli --test kills -- --nocapture
