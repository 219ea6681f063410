#!/usr/bin/env bash
# After small weights were trained anew: puts them in place, with their sha256 in the card and their curves beside it, then renews
# everything that is measured with them: their rows in every table (tools/results.sh FAMILY), the scores in their card, the
# gate's baseline and golden outputs. About an hour on two cores.
#   tools/renew.sh focalcodec 50=runs/focalcodec-nano-light [25=... 12.5=...]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { echo "error: write tools/renew.sh FAMILY [POINT=]RUN ..." >&2; exit 1; }
family=$1
# Golden outputs that are of these weights; the code that makes them must be the one that has certificates.
golden=$(grep -ls "$family@[^\"]*\[nano\]" results/golden/*/*.json | sed -E 's|.*/([a-z]+)-(.*)-[^-]*\.json|\1:\2|' | sort -u || true)
[ -z "$golden" ] || .venv/bin/python -m bench certify --check $golden
for named in "${@:2}"; do
    run=${named#*=} point=
    [ "$run" = "$named" ] || point=-${named%%=*}
    [ -f "$run/weights.safetensors" ] || { echo "error: $run holds no weights.safetensors" >&2; exit 1; }
    [ ! -f "$run/curves.png" ] || cp "$run/curves.png" "codecs/$family/nano-curves$point.png"
done
.venv/bin/python tools/publish_nano.py "$@"
# Rows of the weights that these replace would stand beside theirs: the tables show what ships. Points whose weights stay keep
# their rows.
.venv/bin/python tools/old_rows.py "$family" | xargs -rd '\n' rm
tools/results.sh "$family"
.venv/bin/python tools/card_scores.py "$family" ${SPEECH:+"$SPEECH/LibriSpeech"}
.venv/bin/python -m bench gate --update
[ -n "$golden" ] || exit 0
.venv/bin/python -m bench certify --record results/golden $golden
echo "Commit all of this, run bench certify --again" $golden "and commit results/certificates.json."
