"""LibriMix: mixtures of LibriSpeech voices and WHAM noise, 16 kHz (Cosentino et al., arXiv 2005.11262).

Layout LibriNMix/wav16k/min/{train-100,train-360,dev,test}/{mix_clean,mix_both,mix_single,s1,s2,noise}/ID.wav, ID being
the LibriSpeech ids of its voices joined by "_". It is generated on the user's machine by github.com/JorisCos/LibriMix
and cannot be downloaded. The two sets read from it are libri1mix and libri2mix.
"""

from __future__ import annotations

from pathlib import Path

from bench.data import Source
from bench.data.librispeech import transcripts
from bench.data.places import audio_files, check_subsets, first_audio, locate, missing
from bench.errors import DataMissing
from bench.fetch.homes import data_home
from bench.speech import Utterance

LICENCE = "CC BY 4.0 (speech), CC BY-NC 4.0 (noise)"
SPLITS = ("test", "dev", "train-100", "train-360")
MIXTURES = ("mix_both", "mix_clean", "mix_single")
EXPECTED = {"test": 3000, "dev": 3000, "train-100": 13900, "train-360": 50800}
CURE = ("LibriMix is made from LibriSpeech and WHAM noise by the scripts of github.com/JorisCos/LibriMix; "
        "make wav16k/min and name the folder that holds LibriNMix as PATH.")  # fmt: skip


def split_of(source: Source) -> str:
    """The split that the subsets name, `test` by default."""
    check_subsets(source, [*SPLITS, *MIXTURES])
    return next((name for name in source.subsets if name in SPLITS), "test")


def find(source: Source, sets: tuple[str, ...], split: str, parts: tuple[str, ...]) -> Path:
    """The folder .../wav16k/min/SPLIT of the first of `sets` that holds `parts`. Raises DataMissing."""
    folders = [f"{name}/wav16k/min/{split}" for name in sets] + [f"LibriMix/{name}/wav16k/min/{split}" for name in sets]
    own = [f"wav16k/min/{split}", split] if source.path else []
    root = locate(source, [*folders, *own], parts)
    if root is None:
        raise missing(source, folders, parts, CURE)
    return root


def read(root: Path, mixture: str, voices: tuple[str, ...], *, enhance: bool) -> list[Utterance]:
    """Mixtures in the order of their names; `extra["sources"]` are the paths of the clean `voices` (s1, s2).

    enhance: the first voice is what scores refer to.
    """
    texts = _Texts(root)
    found: list[Utterance] = []
    for path in audio_files(root / mixture, "*"):
        sources = tuple(first_audio(root / voice / path.stem) for voice in voices)
        if None in sources:
            raise DataMissing(f"{path}: {voices[sources.index(None)]}/ has no file of that name; make the set again")
        spoken = path.stem.split("_")
        found.append(Utterance(
            path.stem, path, spoken[0].partition("-")[0], texts.of(spoken[0]) if enhance else None, licence=LICENCE,
            reference=sources[0] if enhance else None,
            extra={"sources": sources, "speakers": [name.partition("-")[0] for name in spoken[: len(voices)]],
                   "texts": [texts.of(name) for name in spoken[: len(voices)]], "mixture": mixture},
        ))  # fmt: skip
    return found


class _Texts:
    """Transcripts of the LibriSpeech utterances, where that corpus lies beside the mixtures or in the data home."""

    def __init__(self, root: Path) -> None:
        places = [*(parent / "LibriSpeech" for parent in root.parents[:6]), data_home() / "LibriSpeech"]
        self.corpus = next((place for place in places if place.is_dir()), None)
        self.chapters: dict[tuple[str, str], dict[str, str]] = {}

    def of(self, name: str) -> str | None:
        """Text of a LibriSpeech utterance id, None when it cannot be told."""
        words = name.split("-")
        if self.corpus is None or len(words) != 3:
            return None
        key = (words[0], words[1])
        if key not in self.chapters:
            files = self.corpus.glob(f"*/{words[0]}/{words[1]}/{words[0]}-{words[1]}.trans.txt")
            self.chapters[key] = next((transcripts(path) for path in files), {})
        return self.chapters[key].get(name)
