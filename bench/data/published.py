"""Published audio: originals and what systems made of them, as a demo page or another bench left them. Local only.

`bench.data.trees` tells the layouts that are understood, `bench.data.matching` which file belongs to which original. A demo
with folders data/ and vc/ holds both kinds: vc/{source,target,SYSTEM...}, conversions named SOURCE-TARGET.

As a data set it yields the originals, ids as in `systems`; `#vc` yields the sources of the conversions. Other subsets
are the folders below (vctk, test-clean). To score a system: `DATA=published:PATH CODEC=published:PATH/data/SYSTEM`; all of
them: `bench published PATH`.

Texts are read from the tables beside the originals, as of a folder (`bench.data.transcripts`). Originals without one that
are called as utterances of LibriSpeech or VCTK get the text of that corpus, where it lies in the data home; which is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import languages
from bench.audio import shown
from bench.data import Source, librispeech, transcripts, trees, vctk
from bench.data.folder import LANGUAGE, unsaid
from bench.data.matching import explain
from bench.data.places import AUDIO, audio_files, locate, walk
from bench.errors import DataMissing, UnknownName
from bench.speech import Dataset, Utterance

_CORPORA = {"librispeech": librispeech, "vctk": vctk}
"""Corpora that demo pages take their originals from, and whose utterances are known by their names."""
_TOLD = ("text", "speaker", "language", "gender", "accent", "emotion")
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


def load(source: Source, language: str = "") -> Dataset:
    """The originals; with the subset vc, the sources of voice conversions (extra: target and speakers)."""
    if source.path is None:
        raise DataMissing("published needs a path: DATA=published:/folder/with/originals/and/systems")
    voice = "vc" in source.subsets
    folders = tuple(name for name in source.subsets if name != "vc")
    title = source.title().replace("published", f"published-{source.path.resolve().name}", 1)
    utterances = _sources(source.path) if voice else _originals(source.path)
    known = {u.id.rpartition("/")[0] for u in utterances} - {""}
    for name in folders:
        if name not in known:
            raise UnknownName(f"folder of {source.path}", name, known)
    kept = [u for u in utterances if not folders or u.id.rpartition("/")[0] in folders]
    told, notes = _told(source.path, kept)
    asked = languages.code(language) if language else ""
    without = 0 if asked else sum("language" not in fields for fields in told)
    complete = tuple(_completed(u, {"language": asked or LANGUAGE} | fields) for u, fields in zip(kept, told, strict=True))
    return Dataset(title, complete, root=source.path, notes=(*unsaid(without, len(kept)), *notes))


def originals(path: Path) -> dict[str, Path]:
    """Id -> original recording. Raises DataMissing when PATH holds no originals."""
    return dict(trees.understand(path).originals)


def systems(path: Path) -> dict[str, Path]:
    """System -> the place of its outputs (what `published:` takes as a codec)."""
    return dict(trees.understand(path).systems)


def pairs(path: Path) -> list[Pair]:
    """Every output that has its original, sorted by system and id."""
    tree = trees.understand(path)
    return [
        Pair(system, name, tree.originals[name], decoded)
        for system in sorted(tree.systems) for name, decoded in sorted(tree.paired(system).items())
    ]  # fmt: skip


def unmatched(path: Path) -> dict[str, list[str]]:
    """System -> names of its outputs that belong to no original."""
    tree = trees.understand(path)
    found = {}
    for system, files in tree.files.items():
        taken = set(tree.paired(system).values())
        found[system] = [trees.stem(name) for name, decoded in files.items() if decoded not in taken]
    return {system: names for system, names in found.items() if names}


def described(path: Path) -> list[str]:
    """What was understood of PATH, as lines: layout, originals, systems with their pairs, files that belong nowhere."""
    tree = trees.understand(path)
    count = len(tree.originals)
    some = ", ".join(list(tree.originals)[:3])
    some += " ..." if count > 3 else ""
    lines = [f"{shown(path)}: {tree.layout}, {count} originals ({some}), {len(tree.systems)} systems"]
    for system in sorted(tree.systems):
        paired, files = tree.paired(system), tree.files[system]
        lines.append(f"  {system}: {len(paired)} pairs of {len(files)} files")
        left = [name for name, decoded in files.items() if decoded not in set(paired.values())]
        lines += [f"    {line}" for line in explain([name for name in tree.originals if name not in paired], left, system)]
    if tree.skipped:
        lines.append(f"  of no system: {', '.join(shown(one.relative_to(path)) for one in tree.skipped[:5])}")
    return lines


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


def _by_id(folder: Path) -> dict[str, Path]:
    files = audio_files(folder) if folder.is_dir() else []
    return {_ENDING.sub("", shown(path.relative_to(folder).with_suffix(""))): path for path in files}


def _originals(path: Path) -> list[Utterance]:
    return [Utterance(name, file, _speaker(name)) for name, file in originals(path).items()]


def _sources(path: Path) -> list[Utterance]:
    """One utterance for each (source, target) that any system has converted."""
    wanted = {item.id: item for item in conversions(path)}
    return [
        Utterance(name, item.source, _speaker(item.source.stem),
                  extra={"target": item.target, "target_speaker": _speaker(item.target.stem)})
        for name, item in sorted(wanted.items())
    ]  # fmt: skip


def _completed(utterance: Utterance, fields: Mapping[str, Any]) -> Utterance:
    return replace(utterance, **fields)


def _told(path: Path, utterances: Sequence[Utterance]) -> tuple[list[dict[str, str]], list[str]]:
    """What tables, and corpora of which the originals are, say of each utterance; and the lines about it. Raises BenchError."""
    files = [u.recording() for u in utterances]
    found = transcripts.find(path, files, [one for one in walk(path).files if one.suffix.lower() not in AUDIO])
    told = [{key: value for key, value in found.rows.get(file, {}).items() if key in _TOLD} for file in files]
    notes = list(found.notes)
    for name, of_corpus in _CORPORA.items():
        root = locate(Source(name), of_corpus.FOLDERS, [])
        texts = {} if root is None else {
            place: text for place, file in enumerate(files)
            if not told[place].get("text") and (text := of_corpus.said(root, _bare(file.stem))) is not None
        }  # fmt: skip
        for place, text in texts.items():
            told[place]["text"] = text
        if texts:
            notes.append(f"the texts of {len(texts)} of {len(files)} originals are those of {name} in {root}, by their names")
    if without := sum(not fields.get("text") for fields in told):
        cure = f"{transcripts.HINT}, and those of {' and '.join(_CORPORA)} from the folder that BENCH_DATA names"
        notes.append(f"no text of {without} of {len(files)} originals, so that WER has no value there: {cure}")
    return told, notes


def _speaker(name: str) -> str:
    """Speaker in a LibriSpeech or VCTK file name, after a leading F_ or M_."""
    return re.split(r"[-_]", _bare(name.rpartition("/")[2]))[0]


def _bare(stem: str) -> str:
    return re.sub(r"^[FM]_", "", stem)
