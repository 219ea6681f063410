"""VCTK 0.92: 110 English speakers reading, 48 kHz (Yamagishi et al., datashare.ed.ac.uk/handle/10283/3443), CC BY 4.0.

Layout wav48_silence_trimmed/pNNN/pNNN_UUU_mic{1,2}.flac, txt/pNNN/pNNN_UUU.txt, speaker-info.txt. Release 0.80 is read too:
wav48/pNNN/pNNN_UUU.wav, whose files are those of mic1; as is any folder of that kind whose names lack the microphone.
Subsets: mic1 (the default), mic2, `parallel` (prompts 001 to 024, read by nearly everybody: the voice conversion
trials of the FocalCodec paper), or a speaker's name. p280 and p315 lack mic2; p315 has no texts.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from bench.data import Source
from bench.data.places import locate, missing, nothing, text_of
from bench.errors import UnknownName
from bench.fetch.archives import Archive, install
from bench.speech import Dataset, Utterance

LICENCE = "CC BY 4.0"
FOLDERS = ("VCTK", "VCTK-Corpus-0.92", "VCTK-Corpus")
WAVES = "wav48_silence_trimmed"
OLDER = ("wav48", "wav16", "wav24", "wav")
"""Folders of release 0.80 and of copies of it at other rates."""
LAST_PARALLEL_PROMPT = 24
ARCHIVE = Archive(
    "https://datashare.is.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
    {WAVES: f"VCTK/{WAVES}", "txt": "VCTK/txt", "speaker-info.txt": "VCTK/speaker-info.txt"},
    "sha256:f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
    11747302977,
    optional=("speaker-info.txt",),
)
CURE = "Put the unpacked corpus there, or leave PATH out to have it downloaded (11.7 GB)."
_NAME = re.compile(r"(?P<speaker>[ps]\d+)_(?P<prompt>\d+)(?:_(?P<mic>mic[12]))?\.(?:flac|wav)")


def load(source: Source) -> Dataset:
    """One microphone of every speaker, or of those named."""
    waves, root = next(((name, at) for name in (WAVES, *OLDER) if (at := locate(source, FOLDERS, [name]))), (WAVES, None))
    if root is None and source.path is None:
        root = install(ARCHIVE) / "VCTK"
    if root is None:
        raise missing(source, FOLDERS, [f"{WAVES} or {OLDER[0]}"], CURE)
    people = _people(root / "speaker-info.txt")
    microphone = "mic2" if "mic2" in source.subsets else "mic1"
    found: list[Utterance] = []
    there: Counter[str] = Counter()
    for path in sorted((root / waves).glob("*/*")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        speaker, prompt, heard = match["speaker"], match["prompt"], match["mic"] or "mic1"
        there[heard] += 1
        if heard != microphone or (not match["mic"] and path.with_name(f"{speaker}_{prompt}_mic1{path.suffix}").exists()):
            continue
        gender, accent = people.get(speaker, (None, None))
        found.append(Utterance(
            f"{speaker}_{prompt}", path, speaker, said(root, path.stem),
            gender=gender, accent=accent, licence=LICENCE,
            extra={"sentence": prompt, "parallel": int(prompt) <= LAST_PARALLEL_PROMPT, "microphone": microphone},
        ))  # fmt: skip
    kept = _chosen(source, found) if found else ()
    if not kept:
        listed = [f"{count} files of {mic}" for mic, count in sorted(there.items())] + sorted({u.speaker for u in found})
        raise nothing(source, root / waves, listed, "names are pNNN_UUU_mic1.flac or pNNN_UUU.wav")
    return Dataset(source.title(), kept, licence=LICENCE, root=root)


def said(root: Path, name: str) -> str | None:
    """The text of the utterance pNNN_UUU, with or without a microphone; None where it is not there."""
    match = _NAME.fullmatch(f"{name}.flac")
    return text_of(root / "txt" / match["speaker"] / f"{match['speaker']}_{match['prompt']}.txt") if match else None


def _chosen(source: Source, found: list[Utterance]) -> tuple[Utterance, ...]:
    speakers = {u.speaker for u in found}
    named = set(source.subsets) - {"mic1", "mic2", "parallel"}
    for name in sorted(named - speakers):
        raise UnknownName("subset of vctk", name, ["mic1", "mic2", "parallel", *speakers])
    return tuple(
        u for u in found
        if (not named or u.speaker in named) and (u.extra["parallel"] or "parallel" not in source.subsets)
    )  # fmt: skip


def _people(path: Path) -> dict[str, tuple[str | None, str | None]]:
    """speaker-info.txt, columns ID AGE GENDER ACCENT ...: speaker -> (gender, accent)."""
    if not path.is_file():
        return {}
    rows = (line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:])
    sexes = {"F": "female", "M": "male"}
    return {row[0]: (sexes.get(row[2]), row[3] if len(row) > 3 else None) for row in rows if len(row) > 2}
