#!/usr/bin/env bash
# Trains focalcodec@50 from nothing for voices and rooms not met: encoder, codes, then all of it (codecs/focalcodec/recipe.nano.toml,
# the stages robust_*). Run again, it goes on where it stopped: a stage that is finished ends at once.
#   tools/train_robust.sh [LIBRISPEECH]     in the folder that holds tiny.en.pt and runs/mixed-voices; Python from $PYTHON
set -euo pipefail
code=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$code/.venv/bin/python}
sources=(); [ -z "${1:-}" ] || sources=(--set "data.sources=[\"librispeech:$1#train-clean-100\", \"folder:runs/mixed-voices\"]")
export PYTHONPATH=$code OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
for stage in robust_encoder robust_codes robust; do
    "$python" -m bench.train focalcodec --config nano --stage "$stage" --resume "${sources[@]}"
done
