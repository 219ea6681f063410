"""`bench certify`: show that code whose hash is unknown computes what it did. `--check` compares hashes only."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import definitions, provenance, writing
from bench.certify.certificates import Certificates, golden_file, read, write
from bench.definitions import Definition
from bench.errors import BenchError, UnknownName
from bench.provenance import cpu_kind

if TYPE_CHECKING:
    from bench.certify.outputs import Cases

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "results"


def main(argv: Sequence[str], prog: str = "bench certify") -> int:
    """Exit 0: every definition's code has a certificate; 1: some code has none, or computes something else."""
    from bench.tasks import options

    made = options.Parser(prog=prog, description="Show that changed code computes what it did.")
    made.add_argument("names", nargs="*", metavar="DEFINITION", help="audio, adapter:opus, metric:stoi (default: all)")
    made.add_argument("--check", action="store_true", help="compare hashes only; exit 1 for code without a certificate")
    made.add_argument("--again", action="store_true", help="recompute also what has a certificate")
    made.add_argument("--seed", type=int, default=None, metavar="N", help="draw of the sample of committed results")
    made.add_argument(
        "--trust", default="", metavar="REASON", help="certify the named definitions unseen: what cannot be recomputed here"
    )
    made.add_argument("--record", type=Path, default=None, metavar="FOLDER", help="write golden outputs there, certify nothing")
    parsed = made.parse_args(argv)
    chosen = _chosen(parsed.names)
    if parsed.record is not None:
        writing.check_folder(parsed.record, "name another folder with --record")
        return _record(chosen, parsed.record)
    certificates = Certificates(RESULTS / "certificates.json")
    due = [one for one in chosen if parsed.again or one.code not in certificates.of(one)]
    if parsed.check:
        return _tell_unknown(due, len(chosen))
    if parsed.trust:
        return _trust(due, certificates, parsed.trust, named=bool(parsed.names))
    seed = parsed.seed if parsed.seed is not None else random.SystemRandom().randrange(10**6)
    return _certify(due, certificates, seed, len(chosen))


def _chosen(names: Sequence[str]) -> list[Definition]:
    every = {one.id: one for one in definitions.own()}
    for name in names:
        if name not in every:
            raise UnknownName("definition", name, every)
    return [every[name] for name in names or every]


def _tell_unknown(due: Sequence[Definition], count: int) -> int:
    for one in due:
        print(f"{one.id} (version {one.version}): its code {one.code} has no certificate")
    if due:
        print("error: run `python -m bench certify` and commit results/certificates.json", file=sys.stderr)
        return 1
    print(f"{count} definitions: the code of each has a certificate")
    return 0


def _trust(due: Sequence[Definition], certificates: Certificates, reason: str, *, named: bool) -> int:
    if not named:
        raise BenchError("--trust certifies only definitions that are named: bench certify metric:utmos --trust REASON")
    for one in due:
        certificates.add(one, _facts(f"not recomputed: {reason}"))
        print(f"{one.id}: certified unseen, {reason}")
    return 0


def _certify(due: Sequence[Definition], certificates: Certificates, seed: int, count: int) -> int:
    from bench.certify import recipes

    writing.check_folder(RESULTS, "run it in a checkout that can be written")
    one_thread()
    kind = cpu_kind()
    if due:
        print(f"{len(due)} of {count} definitions to show on {kind}; sample drawn with --seed {seed}", flush=True)
    failed: list[str] = []
    for one in due:
        try:
            how, told = _show(one, certificates, kind, seed)
        except recipes.NotHere as error:
            how, told = "", f"cannot be recomputed here: {error}"
            cure = f"run `bench certify` where it can, or `bench certify {one.id} --trust REASON`"
        else:
            cure = f'mend the code, or raise its version (now "{one.version}") if the change is meant'
        if told:
            failed.append(one.id)
            print(f"{one.id}: {told}\n  cure: {cure}", flush=True)
        else:
            certificates.add(one, _facts(how))
            print(f"{one.id}: {how}", flush=True)
    if failed:
        print(f"error: {len(failed)} without a certificate: {', '.join(failed)}", file=sys.stderr)
        return 1
    print(f"{count} definitions: the code of each has a certificate")
    return 0


def _show(one: Definition, certificates: Certificates, kind: str, seed: int) -> tuple[str, str | None]:
    """(how the code was shown, the first difference or None). Raises NotHere."""
    from bench.certify import recipes, sample
    from bench.certify.outputs import compare, joined

    try:
        now = recipes.outputs(one)
    except (recipes.NotHere, KeyboardInterrupt):
        raise
    except Exception as error:
        return "", f"fails: {type(error).__name__}: {error}"
    path = golden_file(RESULTS / "golden", one, kind)
    if not certificates.of(one):
        write(path, _golden(now), indent=None)
        return f"version {one.version} is new: golden outputs recorded", None
    made = "" if path.is_file() else _from_certified(one, certificates, path)
    golden = read(path)["cases"]
    told = compare(golden, now, recipes.margins())
    if told:
        return "", told
    count, told = sample.check(one, RESULTS / "resynthesis" / "embedded", seed)
    if told:
        return "", f"golden cases are equal, but {told}"
    if (both := joined(golden, now)) != golden:
        write(path, _golden(both), indent=None)
    return f"equal in {len(golden)} golden cases and {count} committed results{made}", None


def _from_certified(one: Definition, certificates: Certificates, path: Path) -> str:
    """Make the golden outputs of this kind of CPU with the code of a certified commit, in a checkout of its own."""
    from bench.certify.recipes import NotHere

    for commit in reversed(certificates.commits(one)):
        with tempfile.TemporaryDirectory(prefix="bench-certify-") as folder:
            tree, out = Path(folder) / "tree", Path(folder) / "golden"
            if _run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(tree), commit]):
                continue
            try:
                words = [sys.executable, "-m", "bench", "certify", "--record", str(out), one.id]
                failed = _run(words, cwd=tree)
            finally:
                _run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)])
            made = golden_file(out, one, cpu_kind())
            if not failed and made.is_file():
                write(path, read(made), indent=None)
                return f" (golden outputs made on this kind of CPU with the code of {commit})"
    raise NotHere(f"there are no golden outputs for {cpu_kind()}, and no certified commit that could make them is here")


def _run(words: Sequence[str], cwd: Path | None = None) -> str:
    """Run a command; what it said when it failed, else ""."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stderr or done.stdout or f"exit {done.returncode}")


def _record(chosen: Sequence[Definition], folder: Path) -> int:
    from bench.certify import recipes

    one_thread()
    for one in chosen:
        try:
            write(golden_file(folder, one, cpu_kind()), _golden(recipes.outputs(one)), indent=None)
        except recipes.NotHere as error:
            print(f"{one.id}: {error}", flush=True)
        else:
            print(f"{one.id}: recorded", flush=True)
    return 0


def _golden(found: Cases) -> dict[str, Any]:
    # Through JSON at once, so that what is compared is what was kept.
    kept: dict[str, Any] = json.loads(json.dumps({"commit": provenance.git_commit(), "cases": found}))
    return kept


def _facts(how: str) -> dict[str, Any]:
    return {"commit": provenance.git_commit(), "cpu": cpu_kind(), "date": date.today().isoformat(), "shown": how}


def one_thread() -> None:
    """Networks on one thread: sums over threads differ in their last bits."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
