#!/usr/bin/env bash
# Repeats golden training runs on the `wgpu` backend and compares every loss and the final logits, with wgpu's wider
# tolerance. Uses the CPU driver of scripts/install-vulkan.sh where it is installed; BREW_VULKAN=gpu leaves the choice
# of the driver to the system. On the CPU driver they take some minutes in all.
#
#   scripts/test-wgpu.sh                        every run
#   scripts/test-wgpu.sh basic_ce,multitask     these
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${BREW_VULKAN:-cpu}" = cpu ]; then
    drivers=(/usr/share/vulkan/icd.d/lvp_icd*.json)
    if [ ! -e "${drivers[0]}" ]; then
        echo "no Vulkan driver for the CPU: run scripts/install-vulkan.sh, or set BREW_VULKAN=gpu" >&2
        exit 1
    fi
    export VK_ICD_FILENAMES="${drivers[0]}" VK_DRIVER_FILES="${drivers[0]}"
fi
if [ $# -gt 0 ]; then export BREW_GOLDEN_CASES="$1"; fi
cargo test -p brew --features wgpu --test golden_trajectories wgpu -- --nocapture
