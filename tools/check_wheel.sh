#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh environment and uses it from an empty folder: what a user does first.
# Heavy packages are taken from .venv (PACKAGES=FOLDER of others: its site-packages), so that this takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-$PWD/.venv/bin/python}
packages=${PACKAGES:-$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "check_wheel: $*"; }

git ls-files -z -- setup.py MANIFEST.in pyproject.toml README.md LICENSE bench codecs tasks results |
    xargs -0 cp --parents -t "$work/" 2>/dev/null || { say "only in a git checkout"; exit 1; }
"$python" -m pip wheel -q --no-deps --no-build-isolation -w "$work/wheel" "$work"
wheel=$(ls "$work"/wheel/*.whl)
size=$(($(stat -c %s "$wheel") / 1000000))
say "$(basename "$wheel"): $size MB"
[ "$size" -lt 100 ] || { say "the wheel is larger than 100 MB"; exit 1; }

"$python" -m venv "$work/env"
site=$("$work/env/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
"$work/env/bin/python" -m pip install -q --no-deps --disable-pip-version-check "$wheel"
echo "$packages" > "$site/heavy-packages.pth"
listing() { (cd "$site/bench" && find . -type f -not -name '*.pyc' | sort | xargs sha256sum); }
listing > "$work/before"

mkdir "$work/empty"
cd "$work/empty"
unset PYTHONPATH BENCH_CODECS BENCH_RESULTS BENCH_STORE BENCH_PLUGINS
export PYTHONDONTWRITEBYTECODE=1
bench() { "$work/env/bin/bench" "$@"; }

[ "$("$work/env/bin/python" -c 'import bench; print(bench.__file__)')" = "$site/bench/__init__.py" ]
bench list > list.txt
grep -q '^focalcodec@50 .*runs here' list.txt
bench list tasks | grep -q '^vc '
bench run --limit 2 --metrics stoi,pesq_wb > run.txt
grep -q '^focalcodec@50 \[nano\]' run.txt
say "bench list, bench run: done after $SECONDS s"
"$work/env/bin/python" -m bench.tasks.vc --codec freecodec@v2 --limit 2 --metrics sim_resemblyzer > vc.txt
grep -q '^freecodec@v2' vc.txt
say "python -m bench.tasks.vc: done after $SECONDS s"
bench new codec mycodec --to codec > /dev/null
bench run --plugins codec --codec mycodec@1 --limit 2 --metrics stoi > plugin.txt
grep -q '^mycodec@1' plugin.txt
bench gate --plugins codec --codec mycodec@1 --limit 4 --metrics stoi --baseline mine.parquet --update > /dev/null
bench gate --plugins codec --codec mycodec@1 --limit 4 --metrics stoi --baseline mine.parquet > gate.txt
grep -q 'Gate passed' gate.txt
bench leaderboard .bench/results --format csv > leaderboard.csv
say "the codec of README and its gate: done after $SECONDS s"

listing > "$work/after"
cmp -s "$work/before" "$work/after" || { say "the run changed files of the installation:"; diff "$work/before" "$work/after"; exit 1; }
[ -f .bench/store.sqlite ] && [ -d .bench/results ]

mv "$site/bench/content/codecs" "$work/codecs"
if bench list > none.txt 2>&1; then say "an installation without cards exits 0"; exit 1; fi
grep -q 'no cards of codecs' none.txt
say "ok, $SECONDS s"
