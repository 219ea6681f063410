#!/usr/bin/env bash
# Makes .venv: packages from PyPI at the versions of constraints.txt. Up to date already: returns at once.
# EXTRAS=dev for everything the tests need; by default what `make bench` needs. What is there already stays.
set -euo pipefail
cd "$(dirname "$0")/.."

extras=${EXTRAS:-default}
stamp=$(cat tools/constraints.txt tools/install.sh pyproject.toml | sha256sum | cut -d' ' -f1)
if [ -f .venv/.stamp ] && [ "$(head -n 1 .venv/.stamp)" = "$stamp" ]; then
    here=$(tail -n +2 .venv/.stamp | tr '\n' ',')
    [[ ",$here," == *,dev,* || ",$here," == *",$extras,"* ]] && exit 0
else
    here=
fi

python=${PYTHON:-}
for candidate in python3.11 python3.12 python3; do
    [ -n "$python" ] || ! command -v "$candidate" >/dev/null || python=$candidate
done
[ -n "$python" ] || { echo "error: Python 3.11 or newer is needed (set PYTHON=/path/to/python3.11)" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "error: $python is older than 3.11 (set PYTHON=/path/to/python3.11)" >&2; exit 1; }

started=$(date +%s)
echo "making .venv with $("$python" --version) ($extras)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
export PIP_CONSTRAINT="$PWD/tools/constraints.txt" PIP_DISABLE_PIP_VERSION_CHECK=1
pip() { .venv/bin/python -m pip "$@"; }

# A copy of this repository at other versions may have left an environment behind: pip mends what differs.
requirements=$(EXTRAS=$extras .venv/bin/python - <<'PY'
import os, re, sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
offered, own = project["project"]["optional-dependencies"], project["tool"]["speech-codec-bench"]
bare = set(own["no-deps"])
wanted, seen, every = os.environ["EXTRAS"].replace(",", " ").split(), set(), list(project["project"]["dependencies"])
while wanted:
    extra = wanted.pop()
    if extra not in offered:
        sys.exit(f"error: EXTRAS={extra}: there is no such extra; there are {', '.join(offered)}")
    if extra in seen:
        continue
    seen.add(extra)
    for spec in offered[extra]:
        inner = re.fullmatch(r"speech-codec-bench\[(.*)\]", spec)
        wanted += inner[1].split(",") if inner else []
        every += [] if inner else [spec]
    every += own.get(f"with-{extra}", []) if extra != "dev" else []
every = [own["instead"].get(spec, spec) for spec in every]
alone = [spec for spec in every if re.split(r"[=<>\[]", spec)[0] in bare] + (own["with-dev"] if "dev" in seen else [])
rest = [spec for spec in every if spec not in alone]
print("\n".join(f"alone {spec}" for spec in dict.fromkeys(alone)) + "\n" + "\n".join(f"rest {spec}" for spec in dict.fromkeys(rest)))
PY
)
echo "  torch"
pip install -q "torch==2.13.0" "setuptools<81" wheel
echo "  packages"
sed -n 's/^rest //p' <<<"$requirements" | xargs .venv/bin/python -m pip install -q
sed -n 's/^alone //p' <<<"$requirements" | xargs -r .venv/bin/python -m pip install -q --no-deps
pip install -q --no-deps --no-build-isolation -e .

# PyPI's torchaudio is linked with CUDA: beside a CPU torch its compiled part cannot load and breaks the import. Its
# Python part, all that is used here, works without.
if ! .venv/bin/python -c 'import torchaudio' 2>/dev/null; then
    rm -f .venv/lib/python*/site-packages/torchaudio/lib/*.so
    .venv/bin/python -c 'import torchaudio' || { echo "error: torchaudio cannot be imported: see above" >&2; exit 1; }
    echo "  torchaudio: compiled part set aside (it needs CUDA)"
fi
{ echo "$stamp"; tr ',' '\n' <<<"$here,$extras" | sed '/^$/d' | sort -u; } > .venv/.stamp
echo "ready in $(($(date +%s) - started)) s: .venv"
