#!/usr/bin/env bash
# Makes .venv: everything from PyPI at the versions of constraints.txt. Up to date already: returns at once.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=$(cat tools/constraints.txt tools/install.sh pyproject.toml | sha256sum | cut -d' ' -f1)
[ -f .venv/.stamp ] && [ "$(cat .venv/.stamp)" = "$stamp" ] && exit 0

python=${PYTHON:-}
for candidate in python3.11 python3.12 python3; do
    [ -n "$python" ] || ! command -v "$candidate" >/dev/null || python=$candidate
done
[ -n "$python" ] || { echo "error: Python 3.11 or newer is needed (set PYTHON=/path/to/python3.11)" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "error: $python is older than 3.11 (set PYTHON=/path/to/python3.11)" >&2; exit 1; }

started=$(date +%s)
echo "making .venv with $("$python" --version) (once; about 2 GB and two minutes)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
export PIP_CONSTRAINT="$PWD/tools/constraints.txt" PIP_DISABLE_PIP_VERSION_CHECK=1
pip() { .venv/bin/python -m pip "$@"; }

# A copy of this repository at other versions may have left an environment behind: pip mends what differs.
requirements=$(.venv/bin/python - <<'PY'
import re, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
bare = set(project["tool"]["speech-codec-bench"]["no-deps"])
every = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
alone = [spec for spec in every if re.split(r"[=<>\[]", spec)[0] in bare]
rest = [spec for spec in every if spec not in alone]
print("\n".join(f"alone {spec}" for spec in alone) + "\n" + "\n".join(f"rest {spec}" for spec in rest))
PY
)
echo "  torch"
pip install -q "torch==2.13.0" "setuptools<81" wheel
echo "  packages"
sed -n 's/^rest //p' <<<"$requirements" | xargs .venv/bin/python -m pip install -q
sed -n 's/^alone //p' <<<"$requirements" | xargs .venv/bin/python -m pip install -q --no-deps
pip install -q --no-deps --no-build-isolation -e .

# PyPI's torchaudio is linked with CUDA: beside a CPU torch its compiled part cannot load and breaks the import. Its
# Python part, all that is used here, works without.
if ! .venv/bin/python -c 'import torchaudio' 2>/dev/null; then
    rm -f .venv/lib/python*/site-packages/torchaudio/lib/*.so
    .venv/bin/python -c 'import torchaudio' || { echo "error: torchaudio cannot be imported: see above" >&2; exit 1; }
    echo "  torchaudio: compiled part set aside (it needs CUDA)"
fi
echo "$stamp" > .venv/.stamp
echo "ready in $(($(date +%s) - started)) s: .venv"
