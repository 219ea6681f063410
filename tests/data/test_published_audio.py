"""Originals and the outputs of systems, matched by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import audio, data
from bench.data import published
from bench.errors import DataMissing


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write(root / name, np.zeros(160, np.float32), 16000)


def test_outputs_are_matched_by_id_and_strays_are_told(tmp_path: Path) -> None:
    make(tmp_path, "target/x/61-1-0.wav", "target/y/p225_001.wav", "lyra/x/61-1-0_decoded.wav", "opus/x/61-1-0.wav",
         "opus/y/p225_001.wav", "opus/y/p225_002.wav")  # fmt: skip
    found = published.pairs(tmp_path)
    assert [(p.system, p.id) for p in found] == [("lyra", "x/61-1-0"), ("opus", "x/61-1-0"), ("opus", "y/p225_001")]
    assert all(p.reference.parent.parent.name == "target" for p in found)
    assert published.unmatched(tmp_path) == {"opus": ["y/p225_002"]}
    speech = data.load(f"published:{tmp_path}")
    assert [(u.id, u.speaker) for u in speech] == [("x/61-1-0", "61"), ("y/p225_001", "p225")]
    assert [u.id for u in data.load(f"published:{tmp_path}#y")] == ["y/p225_001"]


def test_conversions_join_source_and_target(tmp_path: Path) -> None:
    make(tmp_path, "vc/source/v/61_1_0.wav", "vc/target/v/F_p244_008.wav", "vc/ours/v/61_1_0-F_p244_008.wav",
         "vc/other/v/61_1_0-F_p999_008.wav")  # fmt: skip
    item, = published.conversions(tmp_path)
    assert (item.system, item.id, item.source.stem, item.target.stem) == (
        "ours", "v/61_1_0-F_p244_008", "61_1_0", "F_p244_008")  # fmt: skip
    u, = data.load(f"published:{tmp_path}#vc")
    assert (u.speaker, u.extra["target_speaker"]) == ("61", "p244")


def test_missing_originals_are_named(tmp_path: Path) -> None:
    make(tmp_path, "opus/a.wav")
    with pytest.raises(DataMissing, match="no folder of originals"):
        data.load(f"published:{tmp_path}")
    with pytest.raises(DataMissing, match="no conversions"):
        published.conversions(tmp_path)


def test_a_real_demo_page(shared: Path) -> None:
    demo = shared / "data" / "published" / "freecodec-demo"
    systems = published.systems(demo)
    assert len(systems) == 15
    assert len(published.originals(demo)) == 14
    counts = {name: sum(pair.system == name for pair in published.pairs(demo)) for name in systems}
    assert counts["lyra-v2"] == counts["opus-6k"] == 14
    assert {c.system for c in published.conversions(demo)} == {"ours", "vqmivc", "wav2vec-vc", "yourtts"}
