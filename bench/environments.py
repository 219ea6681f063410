"""Python environments of codecs whose packages do not go together with ours: made once, below .bench/envs, one a family.

An environment is done when its lock.txt is there: the distributions it holds, by name and version. Its digest is part of what
results are known by, so that another version of a package makes results due again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from bench.cards import PACKAGE, Point
from bench.errors import BadCard, BenchError
from bench.fetch.files import locked

FOLDER = Path(".bench") / "envs"
LOCK = "lock.txt"
_LIST = (
    "import importlib.metadata as m\n"
    "print('\\n'.join(sorted({d.metadata['Name'].lower() + '==' + d.version for d in m.distributions()})))\n"
)
_IMPORT = "import torchaudio"
_RECORD = "import importlib.metadata as m, sys; print(m.distribution(sys.argv[1]).read_text('RECORD'))"
_GIT = " @ git+"


def folder(point: Point) -> Path:
    """Where the environment of a codec's family lies."""
    return FOLDER / point.family


def python(point: Point) -> Path:
    """The Python that runs the codec: of its environment, or the interpreter its card names. Raises BenchError (absent)."""
    if point.requirements:
        path = folder(point) / "bin" / "python"
        if not here(point):
            raise BenchError(f"{point.name} runs in a Python environment of its own. Cure: bench env make {point.family}")
        return path.absolute()
    found = shutil.which(os.path.expanduser(point.interpreter))
    if found is None:
        raise BenchError(f"{point.name}: its card's interpreter {point.interpreter!r} is not there; make it, or correct the card")
    return Path(found).absolute()


def here(point: Point) -> bool:
    """Whether `python` has something to give."""
    if point.requirements:
        return (folder(point) / LOCK).is_file() and (folder(point) / "bin" / "python").exists()
    return shutil.which(os.path.expanduser(point.interpreter)) is not None


def worker(point: Point) -> Path:
    """The worker file: setting `worker`, a name in bench/foreign/workers, or a path (from the card's folder)."""
    name = str(point.settings.get("worker", ""))
    if not name:
        raise BadCard(f"{point.name}: setting 'worker' is missing in its card: the file that runs in the codec's own Python")
    own = PACKAGE / "foreign" / "workers" / f"{name}.py"
    path = own if own.is_file() else Path(os.path.expanduser(name))
    if not path.is_absolute():
        path = point.card.path.parent / path
    if not path.is_file():
        raise BadCard(f"{point.name}: there is no worker file {path}")
    return path


def identity(point: Point) -> str:
    """Digest of the environment's distributions and of the worker file. Raises BenchError where the environment is not here."""
    digest, interpreter = hashlib.sha256(worker(point).read_bytes()), python(point)
    digest.update(((folder(point) / LOCK).read_text() if point.requirements else _distributions(str(interpreter))).encode())
    return digest.hexdigest()


@cache
def _distributions(interpreter: str) -> str:
    return _run([interpreter, "-c", _LIST], "cannot list its packages")


def make(point: Point, say: Callable[[str], None] = print, again: bool = False, checkout: Path | None = None) -> Path:
    """Make the environment of a codec's family, unless it is there; tells what it takes. Raises BenchError with the reason.

    `checkout` is a folder with the code of the one requirement that the card fetches with git.
    """
    if not point.requirements:
        raise BenchError(f"{point.name}: its card names no requirements, so there is no environment to make")
    requirements, own = _with_checkout(point, checkout)
    place = folder(point)
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.parent / f".{point.family}.lock"):
        if here(point) and not again:
            say(f"{place}: is there ({_told(place)})")
            return place
        shutil.rmtree(place, ignore_errors=True)
        started = time.monotonic()
        base = point.interpreter or sys.executable
        say(f"making {place} with {', '.join(requirements)} (once; packages that need torch take minutes and gigabytes)")
        try:
            try:
                _install(base, place, requirements)
            except BenchError as error:
                raise BenchError(f"{error}. {_git_cure(point, own)}" if own and checkout is None else str(error)) from error
            _mend_torchaudio(place, say)
            held = _run([str(place / "bin" / "python"), "-c", _LIST], "cannot list its packages")
            if checkout is not None:  # its version alone would not tell one state of the code from another
                record = _run(
                    [str(place / "bin" / "python"), "-c", _RECORD, own], f"does not hold {own}, which {checkout} has not"
                )
                held += f"{own} @ {checkout}, files {hashlib.sha256(record.encode()).hexdigest()}\n"
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        (place / LOCK).write_text(held)
        say(f"{place}: made in {time.monotonic() - started:.0f} s ({_told(place)}); its versions are in {place / LOCK}")
    return place


def _with_checkout(point: Point, checkout: Path | None) -> tuple[list[str], str]:
    """The requirements, the one that git would fetch taken from `checkout`, and that one's name ("" where there is none)."""
    fetched = [requirement for requirement in point.requirements if _GIT in requirement]
    name = fetched[0].partition(_GIT)[0].strip() if fetched else ""
    if checkout is None:
        return list(point.requirements), name
    if not fetched:
        raise BenchError(f"{point.name}: --checkout is for a package that git fetches; all of its requirements have an index")
    if not any((checkout / file).is_file() for file in ("pyproject.toml", "setup.py")):
        raise BenchError(
            f"--checkout {checkout}: no folder with a pyproject.toml or setup.py; clone {_git_url(point)} and name its folder"
        )
    return [str(checkout.resolve()) if one in fetched else one for one in point.requirements], name


def _git_url(point: Point) -> str:
    return next(requirement.partition(_GIT)[2] for requirement in point.requirements if _GIT in requirement)


def _git_cure(point: Point, name: str) -> str:
    return (
        f"{name} is in no package index, git fetches it from {_git_url(point)}. Cure where that does not work: bring a clone, "
        f"then bench env make {point.family} --checkout FOLDER; or name an `interpreter` that has {name} in a card of your own"
    )


def remove(point: Point) -> bool:
    """Remove the environment of a codec's family; whether there was one."""
    with locked(folder(point).parent / f".{point.family}.lock"):
        there = folder(point).exists()
        shutil.rmtree(folder(point), ignore_errors=True)
    return there


def _install(base: str, place: Path, requirements: Sequence[str]) -> None:
    own = str(place / "bin" / "python")
    uv = shutil.which("uv")
    if uv is not None:
        _run([uv, "venv", "--quiet", "--python", base, str(place)], "cannot be made")
        _run([uv, "pip", "install", "--quiet", "--python", own, "numpy", *requirements], "cannot be filled")
        return
    _run([base, "-m", "venv", str(place)], "cannot be made")
    _run([own, "-m", "pip", "install", "--quiet", "numpy", *requirements], "cannot be filled")


def _mend_torchaudio(place: Path, say: Callable[[str], None]) -> None:
    """PyPI's torchaudio is linked with CUDA: beside a CPU torch its compiled part cannot load and breaks the import. Its Python
    part works without."""
    compiled = [*place.glob("lib/python*/site-packages/torchaudio/lib/*.so")]
    own = str(place / "bin" / "python")
    if not compiled or subprocess.run([own, "-c", _IMPORT], capture_output=True, check=False).returncode == 0:
        return
    for path in compiled:
        path.unlink()
    _run([own, "-c", _IMPORT], "has a torchaudio that cannot be imported")
    say(f"{place}: torchaudio's compiled part was set aside (it needs CUDA)")


def _run(command: Sequence[str], fault: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        told = [line.strip() for line in lines if line.strip().lower().startswith(("error", "fatal"))]
        wrong = [line for line in told if "subprocess-exited-with-error" not in line] or told or lines[-1:] or ["no reason given"]
        raise BenchError(f"the environment {fault}: {wrong[-1][:300]} ({' '.join(command[:4])} ...)")
    return done.stdout


def _told(place: Path) -> str:
    total = sum(path.lstat().st_size for path in place.rglob("*") if not path.is_dir())
    held = len((place / LOCK).read_text().splitlines())
    return f"{held} packages, {total / 1e9:.2f} GB"
