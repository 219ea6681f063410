#!/usr/bin/env bash
# Renews everything under results/: one command per table, the same ones that results/README.md names.
#   tools/results.sh [FAMILY]      with FAMILY, only the rows of its codecs; the rows of others stay as they are
# SPEECH is the folder that holds LibriSpeech/, VCTK/, FSDD/, RAVDESS/ and published/ (default: ../shared/data).
set -euo pipefail
cd "$(dirname "$0")/.."
speech=${SPEECH:-../shared/data}
export BENCH_RESULTS=results
family=${1:-}
ours=
if [ -n "$family" ]; then
    # What `all` means for one family: its operating points that run here.
    ours=$(.venv/bin/python -m bench list codecs | awk -v name="$family" '$1 ~ "^" name "(@|$)" && /runs here/ { print $1 }' | paste -sd, -)
    [ -n "$ours" ] || { echo "error: no codec of the family '$family' runs here; see python -m bench list" >&2; exit 1; }
fi

# bench run ... --codec LIST ...: with a family, its codecs of the list; a command that has none of them is left out.
bench() {
    local arguments=() kept before=
    for argument in "$@"; do
        if [ -n "$family" ] && [ "$before" = --codec ]; then
            if [ "$argument" = all ]; then kept=$ours; else
                kept=$(tr , '\n' <<<"$argument" | grep -Fx -f <(tr , '\n' <<<"$ours") | paste -sd, - || true)
            fi
            [ -n "$kept" ] || return 0
            argument=$kept
        fi
        arguments+=("$argument") before=$argument
    done
    echo "== bench ${arguments[*]}"
    .venv/bin/python -m bench "${arguments[@]}" --quiet
}

bench run --codec all --data embedded
bench run --codec all --data "librispeech:$speech/LibriSpeech#test-clean+test-other"
BENCH_DATA="$speech" bench run --codec "identity,published:$speech/published/freecodec-demo" --data "published:$speech/published/freecodec-demo"
bench run --codec all --data embedded-noisy
# Codecs that can convert, and what they are built of.
converting="focalcodec@50,focalcodec@25,focalcodec@12.5,freqcodec@2,freqcodec@4,freqcodec@8,freecodec@v1,freecodec@v2,freecodec@v3,lyra@3.2,lyra@6,lyra@9.2"
bench run --task vc --codec "$converting" --data embedded
bench run --task vc --codec "$converting" --data "vctk:$speech/VCTK"
# Small on purpose: every codec has many lines.
bench run --task streaming --codec focalcodec@50,focalcodec@12.5,freqcodec@2 --data "embedded#british+parallel"
bench run --task robustness --codec identity,opus@12,codec2@1200,focalcodec@50 --metrics pesq_wb,stoi,dwer \
    --data "embedded#british+parallel+female"
# Five languages; the recordings are stored as Opus, and no recogniser of many languages comes with a package.
bench run --codec focalcodec@50,opus@6,codec2@700 --metrics stoi,sim_resemblyzer,dnsmos_p808 --data "fleurs:$speech/FLEURS"
# A decoder learns six sentences by heart (tokens of one codebook, and of two): this shows that the path is right.
bench run --task synthesis --codec focalcodec@50,focalcodec@25,focalcodec@12.5,freqcodec@1 --data embedded
# Probes train networks: every codec with weights (v1's tokens are v2's), and two more, one of them heard decoded
# (packets are no tokens).
probed="focalcodec@50,focalcodec@25,focalcodec@12.5,freqcodec@2,freqcodec@4,freqcodec@8,freecodec@v2,freecodec@v3,lyra@3.2,lyra@6,lyra@9.2,codec2@1200,opus@12"
for task in asr si; do
    bench run --task "$task" --codec "$probed" --data embedded
    bench run --task "$task" --codec "$probed" --data "fsdd:$speech/FSDD"
done
bench run --task ser --codec "$probed" --data "ravdess:$speech/RAVDESS"
# Heads between encoder and decoder, on tokens and on features: one seed, since each of them takes minutes.
bench run --task enhancement --codec focalcodec@50,freqcodec@2 --continuous --seeds 0 --data embedded
bench run --task separation --codec focalcodec@50 --continuous --seeds 0 --data embedded
