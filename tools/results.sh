#!/usr/bin/env bash
# Renews everything under results/: one command per table, the same ones that results/README.md names.
# SPEECH is the folder that holds LibriSpeech/, VCTK/, FSDD/, RAVDESS/ and published/ (default: ../shared/data).
set -euo pipefail
cd "$(dirname "$0")/.."
speech=${SPEECH:-../shared/data}
bench() {
    echo "== bench $*"; .venv/bin/python -m bench "$@" --quiet; }

bench run --codec all --data embedded
bench run --codec all --data "librispeech:$speech/LibriSpeech#test-clean+test-other"
bench run --codec "identity,published:$speech/published/freecodec-demo" --data "published:$speech/published/freecodec-demo"
bench run --codec all --data embedded-noisy
bench run --task vc --codec all --data embedded
bench run --task vc --codec all --data "vctk:$speech/VCTK"
for task in asr si; do
    bench run --task "$task" --codec all --data embedded
    bench run --task "$task" --codec all --data "fsdd:$speech/FSDD"
done
bench run --task ser --codec all --data "ravdess:$speech/RAVDESS"
