#!/usr/bin/env bash
# Trains FocalCodec's three small points from nothing: encoder, codes, then all of it, then all points at once, then the lower
# points' bottlenecks (the stages of codecs/focalcodec/recipe.nano.toml). Run again, it goes on where it stopped: a stage that
# is finished ends at once. The stages joint and light run in $PROCESSES processes (2) of one thread.
#   tools/train_focalcodec.sh [LIBRISPEECH]     in the folder that holds tiny.en.pt and runs/mixed-voices; Python from $PYTHON
set -euo pipefail
code=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$code/.venv/bin/python}
sources=(); [ -z "${1:-}" ] || sources=(--set "data.sources=[\"librispeech:$1#train-clean-100\", \"folder:runs/mixed-voices\"]")
export PYTHONPATH=$code OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
# Large blocks stay with the process from step to step: a tenth faster.
export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=17179869184
for stage in encoder codes synthesis codes25 codes12 joint light light25 light12 words25 words12; do
    launch=("$python")
    case $stage in joint|light) launch=("$python" -m torch.distributed.run --standalone --nproc-per-node "${PROCESSES:-2}") ;; esac
    "${launch[@]}" -m bench.train focalcodec --config nano --stage "$stage" --resume "${sources[@]}"
done
for rate in 25 12; do
    "$python" -m bench.train.interpolate "runs/focalcodec-nano-words$rate" --share 0.5 --out "runs/focalcodec-nano-$rate"
done
