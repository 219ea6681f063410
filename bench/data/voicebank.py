"""VoiceBank-DEMAND: speech in noise and clean, 48 kHz (datashare.ed.ac.uk/handle/10283/2791), CC BY 4.0.

Layout {clean,noisy}_testset_wav/pNNN_UUU.wav under the same names, texts in testset_txt/ or transcripts.tsv. The codec
hears the noisy file and is scored against the clean one, as in the FocalCodec paper. Subsets: test (the default, 824
pairs of p232 and p257), train (28 speakers), `clean` (the clean files alone).
"""

from __future__ import annotations

from pathlib import Path

from bench.data import Source
from bench.data.places import audio_files, check_subsets, first_audio, locate, missing, text_of
from bench.data.transcripts import own
from bench.errors import DataMissing
from bench.fetch.archives import Archive, install
from bench.speech import Dataset, Utterance

LICENCE = "CC BY 4.0"
FOLDERS = ("VoiceBank", "VoiceBank-DEMAND", "voicebank")
NAMES = {"test": "testset", "train": "trainset_28spk"}
EXPECTED = {"test": 824, "train": 11572}
# The archive publishes MD5 sums, no sha256.
DIGESTS = {
    "clean_testset_wav": "md5:34eb1c0ba7ef667e9b966866c542fc16",
    "noisy_testset_wav": "md5:fb1b86caa31e8ba5b506c0c64da9aab5",
    "clean_trainset_28spk_wav": "md5:d2d5a45ec32f8fcbf201bde0447e20ba",
    "noisy_trainset_28spk_wav": "md5:1fca9e8bafb8cd069f6653c6d92f9e9c",
}
CURE = "Put both folders there, or leave PATH out to have them downloaded."


def archive(name: str) -> Archive:
    """The archive of one folder, e.g. noisy_testset_wav."""
    url = f"https://datashare.ed.ac.uk/bitstream/handle/10283/2791/{name}.zip"
    return Archive(url, {name: f"VoiceBank/{name}"}, DIGESTS.get(name))


def load(source: Source) -> Dataset:
    """Pairs of one part, sorted by name. Raises DataMissing when a noisy file has no clean one."""
    check_subsets(source, [*NAMES, "clean"])
    part = NAMES["train" if "train" in source.subsets else "test"]
    clean_only = "clean" in source.subsets
    clean, noisy = f"clean_{part}_wav", f"noisy_{part}_wav"
    needed = [clean] if clean_only else [clean, noisy]
    root = locate(source, FOLDERS, needed)
    if root is None and source.path is None:
        for name in (*needed, f"{part}_txt"):
            root = install(archive(name)) / "VoiceBank"
    if root is None:
        raise missing(source, FOLDERS, needed, CURE)
    table = root / own.NAME
    texts = {Path(entry.name).stem: entry.fields.get("text", "") for entry in own.read(table)} if table.is_file() else {}
    found = [_utterance(root, path, root / clean, part, clean_only, texts)
             for path in audio_files(root / (clean if clean_only else noisy), "*")]  # fmt: skip
    condition = "clean" if clean_only else "noisy"
    return Dataset(source.title(), tuple(found), licence=LICENCE, condition=condition, root=root,
                   facts={"expected": EXPECTED["train" if part != "testset" else "test"]})  # fmt: skip


def _utterance(root: Path, path: Path, clean: Path, part: str, clean_only: bool, texts: dict[str, str]) -> Utterance:
    text = texts.get(path.stem) or text_of(root / f"{part}_txt" / f"{path.stem}.txt")
    reference = None
    if not clean_only:
        reference = first_audio(clean / path.stem)
        if reference is None:
            raise DataMissing(f"{path} has no clean partner in {clean}; fetch that archive again")
    return Utterance(path.stem, path, path.stem.partition("_")[0], text, licence=LICENCE, reference=reference)
