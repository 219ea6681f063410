"""Libri1Mix: one LibriSpeech voice in WHAM noise; scored against the clean voice, as in the FocalCodec paper.

Reads LibriMix's mix_both of Libri1Mix, or mix_single of Libri2Mix, which is the same in content. Subsets: test (the
default), dev, train-100, train-360, and a mixture by name (mix_both, mix_clean, mix_single).
"""

from __future__ import annotations

from bench.data import Source, librimix
from bench.errors import DataMissing
from bench.speech import Dataset

FOLDERS = ("Libri1Mix", "Libri2Mix")


def load(source: Source) -> Dataset:
    """Noisy input, clean reference."""
    split = librimix.split_of(source)
    named = next((name for name in source.subsets if name in librimix.MIXTURES), None)
    try:
        mixture = named or "mix_both"
        root = librimix.find(source, ("Libri1Mix",), split, (mixture, "s1"))
    except DataMissing as error:
        if named not in (None, "mix_single"):
            raise
        mixture = "mix_single"
        try:
            root = librimix.find(source, ("Libri2Mix",), split, (mixture, "s1"))
        except DataMissing:
            raise error from None
    found = tuple(librimix.read(root, mixture, ("s1",), enhance=True))
    condition = "clean" if mixture == "mix_clean" else "noisy"
    return Dataset(source.title(), found, licence=librimix.LICENCE, condition=condition, root=root,
                   facts={"expected": librimix.EXPECTED[split]})  # fmt: skip
