"""Published audio: originals and what systems made of them, as a demo page or another bench left them. Local only.

Layout PATH/ORIGINALS/... and one folder per SYSTEM beside it, files matched by id (path below the folder, suffix apart;
an ending such as _decoded is ignored). ORIGINALS is called target, original, reference, clean, ground_truth or gt. A
demo with folders data/ and vc/ holds both kinds: vc/{source,target,SYSTEM...}, conversions named SOURCE-TARGET.

As a data set it yields the originals, ids as in `systems`; `#vc` yields the sources of the conversions. Other subsets
are the folders below (vctk, test-clean). To score a system: `DATA=published:PATH CODEC=published:PATH/data/SYSTEM`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bench.audio import shown
from bench.data import Source
from bench.data.places import audio_files
from bench.errors import DataMissing, UnknownName
from bench.speech import Dataset, Utterance

ORIGINALS = ("target", "original", "originals", "reference", "references", "clean", "ground_truth", "gt")
_ENDING = re.compile(r"[_.-](decoded|reconstructed|resynth|recon|rec|output|converted)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """One original and what one system made of it."""

    system: str
    id: str
    reference: Path
    decoded: Path


@dataclass(frozen=True)
class Conversion:
    """One utterance converted to the voice of another: `source` says the words, `target` is a sample of the voice."""

    system: str
    id: str
    source: Path
    target: Path
    converted: Path


def load(source: Source) -> Dataset:
    """The originals; with the subset vc, the sources of voice conversions (extra: target and speakers)."""
    if source.path is None:
        raise DataMissing("published needs a path: DATA=published:/folder/with/originals/and/systems")
    voice = "vc" in source.subsets
    folders = tuple(name for name in source.subsets if name != "vc")
    title = source.title().replace("published", f"published-{source.path.resolve().name}", 1)
    if voice:
        utterances = _sources(source.path)
    else:
        utterances = [_original(name, path) for name, path in originals(source.path).items()]
    known = {u.id.rpartition("/")[0] for u in utterances} - {""}
    for name in folders:
        if name not in known:
            raise UnknownName(f"folder of {source.path}", name, known)
    kept = tuple(u for u in utterances if not folders or u.id.rpartition("/")[0] in folders)
    return Dataset(title, kept, root=source.path)


def originals(path: Path) -> dict[str, Path]:
    """Id -> original recording. Raises DataMissing when PATH holds no folder of originals."""
    base = _codecs(path)
    for name in ORIGINALS:
        if (base / name).is_dir():
            return _by_id(base / name)
    raise DataMissing(f"published:{path}: no folder of originals in {base}; name it one of {', '.join(ORIGINALS)}")


def systems(path: Path) -> dict[str, Path]:
    """System -> the folder of its outputs (what `published:` takes as a codec)."""
    base = _codecs(path)
    return {item.name: item for item in sorted(base.iterdir())
            if item.is_dir() and item.name not in ORIGINALS and not item.name.startswith(".")}  # fmt: skip


def pairs(path: Path) -> list[Pair]:
    """Every output that has its original, sorted by system and id."""
    known = originals(path)
    return [
        Pair(system, name, known[name], decoded)
        for system, folder in systems(path).items()
        for name, decoded in _by_id(folder).items() if name in known
    ]  # fmt: skip


def unmatched(path: Path) -> dict[str, list[str]]:
    """System -> ids of its outputs that have no original."""
    known = originals(path)
    found = {system: [name for name in _by_id(folder) if name not in known] for system, folder in systems(path).items()}
    return {system: names for system, names in found.items() if names}


def conversions(path: Path) -> list[Conversion]:
    """Every conversion whose source and target are both there, sorted by system and id."""
    base = path / "vc" if (path / "vc").is_dir() else path
    sources, targets = _by_id(base / "source"), _by_id(base / "target")
    found: list[Conversion] = []
    for folder in sorted(base.iterdir()) if base.is_dir() else []:
        if not folder.is_dir() or folder.name in ("source", "target"):
            continue
        for name, converted in _by_id(folder).items():
            parent, _, stem = name.rpartition("/")
            said, _, voice = stem.partition("-")
            below = f"{parent}/" if parent else ""
            if below + said in sources and below + voice in targets:
                found.append(Conversion(folder.name, name, sources[below + said], targets[below + voice], converted))
    if not found:
        raise DataMissing(f"published:{path}: no conversions in {base}; it must hold source/, target/ and "
                          "SYSTEM/SOURCE-TARGET files")  # fmt: skip
    return found


def _codecs(path: Path) -> Path:
    base = path / "data" if (path / "data").is_dir() else path
    if not base.is_dir():
        raise DataMissing(f"published:{path}: there is no such folder")
    return base


def _by_id(folder: Path) -> dict[str, Path]:
    files = audio_files(folder) if folder.is_dir() else []
    return {_ENDING.sub("", shown(path.relative_to(folder).with_suffix(""))): path for path in files}


def _original(name: str, path: Path) -> Utterance:
    return Utterance(name, path, _speaker(name), language="en")


def _sources(path: Path) -> list[Utterance]:
    """One utterance for each (source, target) that any system has converted."""
    wanted = {item.id: item for item in conversions(path)}
    return [
        Utterance(name, item.source, _speaker(item.source.stem),
                  extra={"target": item.target, "target_speaker": _speaker(item.target.stem)})
        for name, item in sorted(wanted.items())
    ]  # fmt: skip


def _speaker(name: str) -> str:
    """Speaker in a LibriSpeech or VCTK file name, after a leading F_ or M_."""
    stem = re.sub(r"^[FM]_", "", name.rpartition("/")[2])
    return re.split(r"[-_]", stem)[0]
