"""Which extra of this package brings a package along: the word that a message about an absent one needs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from bench.errors import BenchError
from bench.provenance import package_version

NAME = "speech-codec-bench"
_FIRST = ("neural", "wer")
"""Extras that others build on: they are named where they are enough."""
_SAME = {"webrtcvad-wheels": ("webrtcvad",)}
"""Distributions that hold the same module."""


class PackageMissing(BenchError):
    """A codec or metric that was asked for needs a package that is not installed."""


@cache
def offered() -> Mapping[str, tuple[str, ...]]:
    """Extra -> distributions that it names itself, in lower case; those of extras within it are theirs."""
    found: dict[str, list[str]] = {}
    for text in _declared():
        match = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", text)
        if match and match[1].lower() != NAME:
            found.setdefault(match[2], []).append(_normal(match[1]))
    return {extra: tuple(names) for extra, names in found.items()}


def _declared() -> list[str]:
    checkout = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if checkout.is_file():
        table = tomllib.loads(checkout.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        return [f'{spec}; extra == "{extra}"' for extra, specs in table.items() for spec in specs]
    try:
        return requires(NAME) or []
    except PackageNotFoundError:
        return []


def cure(package: str) -> str:
    """The command that installs a distribution: by its extra where one brings it, else by its own name."""
    same = {_normal(name) for name in (package, *_SAME.get(package, ()))}
    with_it = [extra for extra, names in offered().items() if same & set(names) and extra not in ("dev", "all")]
    with_it.sort(key=lambda extra: (extra not in _FIRST, len(offered()[extra])))
    return f"pip install '{NAME}[{with_it[0]}]'" if with_it else f"pip install {package}"


def absent(packages: Iterable[str]) -> list[str]:
    """Those that are not installed."""
    return [name for name in packages if all(package_version(one) == "absent" for one in (name, *_SAME.get(name, ())))]


def require(packages: Iterable[str], what: str) -> None:
    """Raise PackageMissing, with the extra to install, where `what` needs a package that is not here."""
    if lost := absent(packages):
        raise PackageMissing(f"{what} needs the package {lost[0]}, which is not installed: {cure(lost[0])}")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
