#!/usr/bin/env bash
# Installs llvmpipe, Mesa's Vulkan driver that runs on the CPU, so that the `wgpu` backend can be tested on a machine
# without a GPU (Debian, Ubuntu). Slow: for tests, not for training. A machine with a GPU has its own driver.
set -euo pipefail

if ! command -v apt-get >/dev/null; then
    echo "this script knows apt-get only: install a Vulkan loader and a driver with your package manager" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends libvulkan1 mesa-vulkan-drivers

drivers=(/usr/share/vulkan/icd.d/lvp_icd*.json)
if [ ! -e "${drivers[0]}" ]; then
    echo "mesa-vulkan-drivers is installed but brought no llvmpipe (lvp_icd*.json)" >&2
    exit 1
fi
echo "Vulkan on the CPU: ${drivers[0]}"
