"""Originals and decoded files as demo pages lay them out, and which system made which file.

Four layouts are known, with PATH/data/ in place of PATH where there is such:
1. one folder per system beside the folder of originals: GT/u1.wav, opus/u1.wav
2. the same, nested: GT/u1.wav, opus/6k/u1.wav
3. one folder per utterance: u1/GT.wav, u1/opus.wav
4. the system in the file's name: GT_u1.wav, opus_u1.wav, or u1_GT.wav, u1_opus.wav
Originals are called GT, groundtruth, groundtruth_speech, original, reference, ref, clean or target, in any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.audio import shown
from bench.data.matching import pairs
from bench.data.places import AUDIO, audio_files
from bench.errors import DataMissing, UnknownName

ORIGINALS = frozenset((
    "gt", "gts", "groundtruth", "groundtruths", "groundtruthspeech", "groundtruthaudio", "gtspeech", "gtaudio", "original",
    "originals", "originalspeech", "originalaudio", "orig", "origs", "reference", "references", "referencespeech", "ref",
    "refs", "clean", "target", "targets",
))  # fmt: skip
"""Names of originals, in lower case and without separators; where several are there, the first by `_rank`."""
SHOWN = "GT, groundtruth, groundtruth_speech, original, orig, reference, ref, clean or target"
MARK = "#"
"""Between a folder and one of the systems whose files lie in it together: `published:demo#opus`."""
_SEPARATORS = r"[_\-. ]+"


@dataclass(frozen=True)
class Tree:
    """What was understood. originals: id -> file. systems: name -> the place that `published:` takes. files: of each system
    by name. skipped: files that belong to no system."""

    layout: str
    originals: Mapping[str, Path]
    systems: Mapping[str, Path]
    files: Mapping[str, Mapping[str, Path]]
    skipped: Sequence[Path] = field(default_factory=tuple)

    def paired(self, system: str) -> dict[str, Path]:
        """Original -> decoded file of a system."""
        files = self.files[system]
        return {name: files[file] for name, file in pairs(self.originals, {stem(one): one for one in files}).items()}


def is_original(name: str) -> bool:
    """Whether a folder or file of this name holds originals."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) in ORIGINALS


def stem(name: str) -> str:
    """A path below a folder without the suffix of audio."""
    head, dot, suffix = name.rpartition(".")
    return head if dot and f".{suffix.lower()}" in AUDIO else name


def place(path: Path) -> Path:
    """How a place is called: `demo#opus` is the system opus in demo."""
    if path.is_dir() or MARK not in path.name:
        return path.resolve()
    folder, _, system = path.name.rpartition(MARK)
    return path.with_name(folder).resolve() / system


def files_of(path: Path) -> dict[str, Path] | None:
    """Name below the folder -> file, of a folder or of `FOLDER#SYSTEM`; None where there is no such folder."""
    if path.is_dir():
        return {shown(one.relative_to(path)): one for one in audio_files(path)}
    head, mark, system = str(path).rpartition(MARK)
    if not mark or not Path(head).is_dir():
        return None
    tree = understand(Path(head))
    if system not in tree.files:
        raise UnknownName(f"system below {head}", system, tree.files)
    return dict(tree.files[system])


def understand(path: Path) -> Tree:
    """The tree below `path`. Raises DataMissing, which tells how originals are called, when none are found."""
    base = path / "data" if (path / "data").is_dir() and not _has_originals(path) else path
    if not base.is_dir():
        raise DataMissing(f"published:{path}: there is no such folder")
    for layout in (_folders, _by_utterance, _by_name):
        tree = layout(base)
        if tree is not None:
            return tree
    raise DataMissing(f"published:{path}: no folder of originals in {base}; call it (or its files) {SHOWN}")


def _has_originals(base: Path) -> bool:
    return any(one.is_dir() and is_original(one.name) for one in base.iterdir())


def _rank(path: Path) -> tuple[bool, str]:
    # A folder called target may hold samples of a voice; any other name is surer.
    return re.sub(r"[^a-z]", "", path.name.lower()).startswith("target"), path.name


def _listed(folder: Path) -> dict[str, Path]:
    return {shown(one.relative_to(folder)): one for one in audio_files(folder)}


def _named(files: Mapping[str, Path]) -> dict[str, Path]:
    """Id -> original; the same name with two suffixes keeps them."""
    stems = [stem(name) for name in files]
    return {stem(name) if stems.count(stem(name)) == 1 else name: path for name, path in files.items()}


def _folders(base: Path) -> Tree | None:
    """Layouts 1 and 2."""
    folders = sorted(one for one in base.iterdir() if one.is_dir() and not one.name.startswith("."))
    held = sorted((one for one in folders if is_original(one.name) and audio_files(one)), key=_rank)
    if not held:
        return None
    originals = _named(_listed(held[0]))
    systems: dict[str, Path] = {}
    for folder in folders:
        if folder not in held and audio_files(folder):
            systems |= _of_folder(folder, folder.name, originals)
    return Tree("one folder per system", originals, systems, {name: _listed(one) for name, one in systems.items()})


def _of_folder(folder: Path, name: str, originals: Mapping[str, Path]) -> dict[str, Path]:
    """The systems of a folder: itself, or its folders where each of these holds the originals over again."""
    below = sorted(one for one in folder.iterdir() if one.is_dir() and audio_files(one))
    here = [one for one in audio_files(folder) if one.parent == folder]
    parts = {one.split("/")[0] for one in originals if "/" in one}
    if not below or here or {one.name for one in below} <= parts:
        return {shown(Path(name)): folder}
    alone = len(pairs(originals, {stem(one): one for one in _listed(folder)}))
    each = {one: len(pairs(originals, {stem(file): file for file in _listed(one)})) for one in below}
    if sum(each.values()) <= alone and len(below) > 1:
        return {shown(Path(name)): folder}
    return {key: one for inner in below for key, one in _of_folder(inner, f"{name}/{inner.name}", originals).items()}


def _by_utterance(base: Path) -> Tree | None:
    """Layout 3: every folder holds an original and the files of the systems, called by the system."""
    originals: dict[str, Path] = {}
    files: dict[str, dict[str, Path]] = {}
    skipped: list[Path] = []
    folders = sorted({one.parent for one in audio_files(base) if one.parent != base})
    for folder in folders:
        name = shown(folder.relative_to(base))
        inside = {_without(one.stem, folder.name): one for one in audio_files(folder, "*")}
        first = [system for system in inside if is_original(system)]
        if len(first) != 1:
            skipped += inside.values()
            continue
        originals[name] = inside.pop(first[0])
        for system, path in inside.items():
            files.setdefault(shown(Path(system)), {})[f"{name}{path.suffix}"] = path
    if not originals or not files:
        return None
    return Tree("one folder per utterance", originals, _together(base, files), files, skipped)


def _without(name: str, utterance: str) -> str:
    """The part of a file's name that is not the utterance's: u1_opus in the folder u1 is opus."""
    key = re.escape(utterance)
    cut = re.sub(rf"^{key}{_SEPARATORS}|{_SEPARATORS}{key}$", "", name)
    return cut or name


def _by_name(base: Path) -> Tree | None:
    """Layout 4: the system's name before or after the original's."""
    listed = _listed(base)
    for first in (True, False):
        originals: dict[str, Path] = {}
        taken: set[Path] = set()
        for name, path in listed.items():
            folder, slash, bare = stem(name).rpartition("/")
            cuts = list(re.finditer(_SEPARATORS, bare))
            for cut in reversed(cuts) if first else cuts:  # the longest name of a system first: groundtruth_speech
                system, utterance = bare[: cut.start()], bare[cut.end() :]
                if not first:
                    system, utterance = utterance, system
                if is_original(system) and utterance and f"{folder}{slash}{utterance}" not in originals:
                    originals[f"{folder}{slash}{utterance}"] = path
                    taken.add(path)
                    break
        files, skipped = _by_originals(listed, originals, taken, first=first)
        if originals and files:
            return Tree("the system in the file's name", originals, _together(base, files), files, skipped)
    return None


def _by_originals(
    listed: Mapping[str, Path], originals: Mapping[str, Path], taken: set[Path], *, first: bool
) -> tuple[dict[str, dict[str, Path]], list[Path]]:
    files: dict[str, dict[str, Path]] = {}
    skipped: list[Path] = []
    for name, path in listed.items():
        if path in taken:
            continue
        folder, slash, bare = stem(name).rpartition("/")
        cuts = [(bare[: cut.start()], bare[cut.end() :]) for cut in re.finditer(_SEPARATORS, bare)]
        halves = [(one, other) if first else (other, one) for one, other in cuts]
        known = [(system, f"{folder}{slash}{key}") for system, key in halves if system]
        fitting = [(system, key) for system, key in known if key in originals]
        if len(fitting) != 1:
            skipped.append(path)
            continue
        system, key = fitting[0]
        files.setdefault(system, {})[f"{key}{path.suffix}"] = path
    return files, skipped


def _together(base: Path, files: Mapping[str, object]) -> dict[str, Path]:
    return {name: base.with_name(f"{base.name}{MARK}{name}") for name in sorted(files)}
