#!/usr/bin/env bash
# Makes the Python environment of the peer scripts in xtask/peer: PyTorch, transformers and TextBrewer, at the
# versions the goldens were made with. Nothing of Brew needs it to build, test or run.
#
#   scripts/setup-peer.sh                     into .venv-peer
#   BREW_PEER_VENV=/elsewhere scripts/setup-peer.sh
#   PYTHON=python3.12 scripts/setup-peer.sh   another interpreter (3.9 to 3.13)
#
# Takes 1 to 2 GB with PyTorch's CPU build, and 6 to 8 GB where only the package index is reachable, whose build
# for x86-64 Linux brings CUDA along. A finished environment is kept; delete the folder to start afresh.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${BREW_PEER_VENV:-.venv-peer}"
python="${PYTHON:-python3}"
requirements=xtask/peer/requirements.txt
stamp="$venv/installed-requirements.txt"
cpu_index=https://download.pytorch.org/whl/cpu

if cmp -s "$requirements" "$stamp"; then
    echo "$venv is ready"
    exit 0
fi

"$python" -m venv "$venv"
torch=$(grep '^torch==' "$requirements")
if curl --silent --fail --max-time 15 --output /dev/null "$cpu_index/torch/"; then
    "$venv/bin/pip" install --quiet --no-cache-dir --index-url "$cpu_index" "$torch"
else
    echo "$cpu_index is out of reach: taking PyTorch from the package index, several GB"
fi
"$venv/bin/pip" install --quiet --no-cache-dir --requirement "$requirements"
"$venv/bin/python" - <<'CHECK'
import torch, transformers, textbrewer
print(f"torch {torch.__version__}, transformers {transformers.__version__}, textbrewer from {textbrewer.__path__[0]}")
CHECK
cp "$requirements" "$stamp"
echo "$venv is ready"
