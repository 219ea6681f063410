"""Data sets by name. One file per set: finds it, downloads it where the licence allows, yields Utterances.

A source is written `name[:PATH][#subset[+subset]]`: `embedded`, `embedded-noisy`, `librispeech#test-clean`,
`librispeech:/data#test-clean+test-other`, `folder:/my/recordings`. Without PATH a set lies under the data home
($BENCH_DATA, else the cache) and is downloaded there when absent. `-noisy` after any name adds noise to it on the fly.
Other packages add sets through the entry point group `bench.data`. Nothing heavy is imported to list them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bench import languages
from bench.errors import BenchError, UnknownName

if TYPE_CHECKING:
    from bench.speech import Dataset

GROUP = "bench.data"
NOISY = "-noisy"
# Sets by layout, in the order in which `list` shows them.
OWN = {
    "embedded": "bench.data.embedded", "librispeech": "bench.data.librispeech", "vctk": "bench.data.vctk",
    "voicebank": "bench.data.voicebank", "mls": "bench.data.mls", "minimls": "bench.data.minimls",
    "libri1mix": "bench.data.libri1mix", "libri2mix": "bench.data.libri2mix", "fleurs": "bench.data.fleurs",
    "fsdd": "bench.data.fsdd", "ravdess": "bench.data.ravdess", "iemocap": "bench.data.iemocap",
    "published": "bench.data.published", "folder": "bench.data.folder", "hf": "bench.data.hf",
}  # fmt: skip
USERS = ("folder", "published", "hf")
"""Sets of files that a user brings, of which nothing is known beforehand."""


@dataclass(frozen=True)
class Source:
    """A parsed source: the set's name, where it lies (None: the data home), which parts of it."""

    name: str
    path: Path | None = None
    subsets: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Source:
        """`name[:PATH][#subset[+subset]]` -> Source. A `#` belongs to PATH where a slash follows it, or where there is a
        folder of that very name."""
        rest, subsets = text.strip(), ""
        head, mark, tail = rest.rpartition("#")
        path = rest.partition(":")[2]
        if mark and "/" not in tail and not (path and Path(path).expanduser().is_dir()):
            rest, subsets = head, tail
        name, _, path = rest.partition(":")
        if not name:
            raise BenchError(f"data source '{text}' has no name; write name[:PATH][#subset]: librispeech#test-clean")
        return cls(name, Path(path).expanduser() if path else None, tuple(s for s in subsets.split("+") if s))

    def title(self, *subsets: str) -> str:
        """How tables name it: without the path, with the subsets."""
        chosen = subsets or self.subsets
        return f"{self.name}#{'+'.join(chosen)}" if chosen else self.name


@cache
def targets() -> dict[str, str]:
    """Name -> module path, ours and other packages'. Nothing is imported."""
    return OWN | {entry.name: entry.value for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """Every name that `load` knows, the noisy variants apart."""
    return list(targets())


def module(name: str) -> ModuleType:
    """The module behind a name. Raises UnknownName with the nearest ones."""
    found = targets()
    if name not in found:
        if "/" in name or Path(name).exists():
            raise BenchError(f"data source '{name}' is a path; a folder of audio is written folder:{name}")
        raise UnknownName("data set", name, [*found, *(key + NOISY for key in found)])
    return importlib.import_module(found[name])


def load(text: str, channels: str = "average", language: str = "", **options: Any) -> Dataset:
    """The data set that `text` names. Raises UnknownName, DataMissing (what, where looked, how to provide), BenchError.

    channels: average, first or each, for files with several (see `bench.data.channels`). language: of a user's files where
    no table says it. options: `noise` (a folder of
    recordings) and `seed` for noisy variants; whatever the set's own load() takes.
    """
    from bench.data import channels as several

    source = Source.parse(text)
    if language:
        if source.name.removesuffix(NOISY) not in USERS:
            raise BenchError(f"--language {language}: {source.name} says itself what is spoken; leave it out (LANGUAGE= of make)")
        options["language"] = languages.code(language)
    if source.name.endswith(NOISY) and source.name not in targets():
        from bench.data import noise

        dataset: Dataset = noise.load(source, **options)
    else:
        dataset = module(source.name).load(source, **options)
    return several.chosen(dataset, several.check(channels), users=source.name.removesuffix(NOISY) in USERS)


def summary(name: str) -> str:
    """First line of what the set's file says of itself."""
    return (module(name).__doc__ or "").strip().partition("\n")[0]


def voices(title: str) -> str:
    """The synthesizer that speaks in the set which tables call `title` (its module's VOICES); empty for recorded speech."""
    name = title.partition("#")[0]
    name = name if name in targets() else name.removesuffix(NOISY)
    return str(getattr(module(name), "VOICES", "")) if name in targets() else ""
