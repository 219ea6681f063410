"""Libri2Mix: two LibriSpeech voices at once, min mode; the voices are kept as `extra["sources"]` for separation.

Subsets: test (the default), dev, train-100, train-360, and a mixture by name (mix_clean, the default; mix_both has
noise as well). The codec hears the mixture and is scored against the mixture.
"""

from __future__ import annotations

from bench.data import Source, librimix
from bench.speech import Dataset

FOLDERS = ("Libri2Mix",)


def load(source: Source) -> Dataset:
    """Mixtures with the paths of both voices."""
    split = librimix.split_of(source)
    mixture = next((name for name in source.subsets if name in librimix.MIXTURES), "mix_clean")
    root = librimix.find(source, ("Libri2Mix",), split, (mixture, "s1", "s2"))
    found = tuple(librimix.read(root, mixture, ("s1", "s2"), enhance=False))
    return Dataset(source.title(), found, licence=librimix.LICENCE, condition="two voices", root=root,
                   facts={"expected": librimix.EXPECTED[split]})  # fmt: skip
