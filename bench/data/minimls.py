"""MiniMLS ("MLS-700"): 100 test utterances in each of seven languages, CC BY 4.0.

Drawn from MLS by the authors of FocalCodec (zenodo.org/records/14791114). Layout as in mls, under
MiniMLS/mls_LANGUAGE/test. Subsets: languages.
"""

from __future__ import annotations

from bench.data import Source
from bench.data.mls import LICENCE, chosen, find, read
from bench.data.places import missing
from bench.fetch.archives import install, zenodo
from bench.fetch.homes import data_home
from bench.speech import Dataset

FOLDERS = ("MiniMLS", "MiniMLS/MiniMLS", "")
RECORD = 14791114
CURE = "Put the folder MiniMLS there, or leave PATH out to have it downloaded from zenodo.org/records/14791114."


def load(source: Source) -> Dataset:
    """The languages asked for, or all seven."""
    languages, split = chosen(source)
    root = find(source, FOLDERS, languages, split)
    if root is None and source.path is None:
        for archive in zenodo(RECORD, "MiniMLS"):
            install(archive, data_home())
        root = find(source, FOLDERS, languages, split)
    if root is None:
        raise missing(source, FOLDERS, [f"mls_{name}/{split}" for name in languages], CURE)
    return Dataset(source.title(), tuple(read(root, languages, split)), licence=LICENCE, root=root,
                   facts={"expected": 100 * (len(languages) or 7)})  # fmt: skip
