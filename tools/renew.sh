#!/usr/bin/env bash
# After small weights were trained anew: puts them in place, with their sha256 in the card and their curves beside it, then renews
# everything that is measured with them: their rows in every table (tools/results.sh FAMILY), the scores in their card and the
# gate's baseline. About an hour on two cores.
#   tools/renew.sh focalcodec 50=runs/focalcodec-nano-robust [25=... 12.5=...]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { echo "error: write tools/renew.sh FAMILY [POINT=]RUN ..." >&2; exit 1; }
family=$1
for named in "${@:2}"; do
    run=${named#*=} point=
    [ "$run" = "$named" ] || point=-${named%%=*}
    [ -f "$run/weights.safetensors" ] || { echo "error: $run holds no weights.safetensors" >&2; exit 1; }
    [ ! -f "$run/curves.png" ] || cp "$run/curves.png" "codecs/$family/nano-curves$point.png"
done
.venv/bin/python tools/publish_nano.py "$@"
tools/results.sh "$family"
.venv/bin/python tools/card_scores.py "$family" ${SPEECH:+"$SPEECH/LibriSpeech"}
.venv/bin/python -m bench gate --update
