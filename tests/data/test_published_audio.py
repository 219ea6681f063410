"""Originals and the outputs of systems, matched by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import audio, data
from bench.adapters.published import Published
from bench.data import published, trees
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
    (item,) = published.conversions(tmp_path)
    assert (item.system, item.id, item.source.stem, item.target.stem) == (
        "ours", "v/61_1_0-F_p244_008", "61_1_0", "F_p244_008")  # fmt: skip
    (u,) = data.load(f"published:{tmp_path}#vc")
    assert (u.speaker, u.extra["target_speaker"]) == ("61", "p244")


def test_missing_originals_are_named(tmp_path: Path) -> None:
    make(tmp_path, "opus/a.wav")
    with pytest.raises(DataMissing, match="no folder of originals"):
        data.load(f"published:{tmp_path}")
    with pytest.raises(DataMissing, match="no conversions"):
        published.conversions(tmp_path)


SYSTEMS = ("opus", "lyra_3k", "our codec")
UTTERANCES = ("u1", "61-70968-0000", "p225_001")


@pytest.mark.parametrize(
    "name", ["GT", "gt", "groundtruth", "ground_truth", "Ground Truth", "groundtruth_speech", "original", "Originals", "orig",
             "ref", "Reference", "target", "clean"]
)  # fmt: skip
def test_originals_by_their_usual_names(tmp_path: Path, name: str) -> None:
    make(tmp_path, *(f"{folder}/{u}.wav" for folder in (name, *SYSTEMS) for u in UTTERANCES))
    assert set(published.originals(tmp_path)) == set(UTTERANCES)
    assert set(published.systems(tmp_path)) == set(SYSTEMS)
    assert len(published.pairs(tmp_path)) == 9


def test_systems_with_rates_below_them(tmp_path: Path) -> None:
    make(tmp_path, *(f"ref/{u}.wav" for u in UTTERANCES))
    make(tmp_path, *(f"opus/{rate}/{u}_dec.wav" for rate in ("6k", "12k") for u in UTTERANCES),
         *(f"dac/1kbps/{u}.wav" for u in UTTERANCES), *(f"flat/{u}.wav" for u in UTTERANCES))  # fmt: skip
    assert list(published.systems(tmp_path)) == ["dac/1kbps", "flat", "opus/12k", "opus/6k"]
    assert len(published.pairs(tmp_path)) == 12


def test_folders_of_speakers_are_no_systems(tmp_path: Path) -> None:
    names = ("p225/001", "p226/001", "p226/002")
    make(tmp_path, *(f"{folder}/{name}.wav" for folder in ("GT", "opus") for name in names))
    assert [(p.system, p.id) for p in published.pairs(tmp_path)] == [("opus", name) for name in names]
    for name in names:
        (tmp_path / "GT" / f"{name}.wav").unlink()
    make(tmp_path, *(f"GT/s{n}.wav" for n in range(3)), *(f"dac/p{n}/s{n}.wav" for n in range(3)))
    assert list(published.systems(tmp_path)) == ["dac", "opus"] and len(published.pairs(tmp_path)) == 3


@pytest.mark.parametrize("form", ["{u}/{s}", "{u}/{u}_{s}", "{u}/{s}_{u}", "clips/{u}/{s}", "{s}_{u}", "{u}_{s}", "x/{s}-{u}"])
@pytest.mark.parametrize("original", ["GT", "original", "groundtruth_speech"])
def test_systems_in_the_names_of_files(tmp_path: Path, form: str, original: str) -> None:
    make(tmp_path, *(form.format(s=s, u=u) + ".wav" for s in (original, *SYSTEMS) for u in UTTERANCES))
    tree = published.trees.understand(tmp_path)
    assert set(tree.systems) == set(SYSTEMS), tree
    found = published.pairs(tmp_path)
    assert len(found) == 9 and not published.unmatched(tmp_path)
    for pair in found:
        utterance = pair.id.rpartition("/")[2]
        assert pair.reference.name.replace(original, pair.system) == pair.decoded.name
        assert utterance in str(pair.decoded) and pair.system in pair.decoded.name
    for system, place in published.systems(tmp_path).items():
        codec = Published(place, 16000)
        assert trees.place(place).name == system
        for u in data.load(f"published:{tmp_path}"):
            assert codec.path_for(u.id) == next(p.decoded for p in found if (p.system, p.id) == (system, u.id))


def test_what_was_understood_is_told(tmp_path: Path) -> None:
    make(tmp_path, *(f"GT/{u}.wav" for u in UTTERANCES), "opus/u1.wav", "opus/extra99.wav")
    first, *rest = published.described(tmp_path)
    assert "one folder per system, 3 originals" in first and first.endswith("1 systems")
    assert rest[0] == "  opus: 1 pairs of 2 files"
    assert "no decoded file for 61-70968-0000, p225_001" in rest[1] and "no utterance for extra99.wav" in rest[2]
    assert "a decoded file is called as its original" in rest[3]


def test_a_folder_of_decoded_files_tells_what_did_not_match(tmp_path: Path) -> None:
    make(tmp_path, "dec/u1_out.wav", "dec/u3_out.wav", "dec/extra99_out.wav")
    codec = Published(tmp_path / "dec", 16000)
    told = codec.told(["u1", "u2", "u3"], "dec")
    assert told[:3] == ["dec: decoded files of 2 of 3 utterances", "dec: no decoded file for u2",
                        "dec: no utterance for extra99_out.wav"]  # fmt: skip
    assert codec.told(["u1", "u3"], "dec", whole=False) == ["dec: decoded files of 2 of 2 utterances"]


def test_the_language_of_a_demo(tmp_path: Path) -> None:
    make(tmp_path, "GT/a.wav", "opus/a.wav")
    assert data.load(f"published:{tmp_path}").notes[0].startswith("no language is said")
    german = data.load(f"published:{tmp_path}", language="German")
    assert not any("no language" in note for note in german.notes) and german.utterances[0].language == "de"


def test_texts_of_a_demo_are_read_from_the_tables_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "none"))
    demo = tmp_path / "demo"
    make(demo, *(f"{folder}/{u}.wav" for folder in ("GT", "opus") for u in UTTERANCES))
    (demo / "metadata.csv").write_text("file_name,text,language,speaker\nGT/u1.wav,guten tag,de,anna\n")
    (demo / "GT" / "p225_001.txt").write_text("beside\n")
    by_id = {u.id: u for u in data.load(f"published:{demo}")}
    assert (by_id["u1"].text, by_id["u1"].language, by_id["u1"].speaker) == ("guten tag", "de", "anna")
    assert (by_id["p225_001"].text, by_id["p225_001"].language, by_id["p225_001"].speaker) == ("beside", "en", "p225")
    assert by_id["61-70968-0000"].text is None
    notes = data.load(f"published:{demo}").notes
    assert notes[0].startswith("no language is said of 2 of 3")
    assert notes[-1].startswith("no text of 1 of 3 originals, so that WER has no value there")
    assert "BENCH_DATA" in notes[-1]


def test_texts_of_known_corpora_are_found_by_the_names_of_originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo, home = tmp_path / "demo", tmp_path / "home"
    make(demo, *(f"{folder}/{u}.wav" for folder in ("GT", "opus") for u in UTTERANCES),
         "vc/source/61_70968_0000.wav", "vc/target/F_p225_001.wav", "vc/ours/61_70968_0000-F_p225_001.wav")  # fmt: skip
    chapter = home / "LibriSpeech" / "test-clean" / "61" / "70968"
    chapter.mkdir(parents=True)
    (chapter / "61-70968.trans.txt").write_text("61-70968-0000 HE BEGAN\n61-70968-0001 ANOTHER\n")
    (home / "VCTK" / "txt" / "p225").mkdir(parents=True)
    (home / "VCTK" / "txt" / "p225" / "p225_001.txt").write_text("Please call Stella.\n")
    monkeypatch.setenv("BENCH_DATA", str(home))
    speech = data.load(f"published:{demo}")
    assert {u.id: u.text for u in speech} == {"u1": None, "61-70968-0000": "HE BEGAN", "p225_001": "Please call Stella."}
    told = [note for note in speech.notes if "by their names" in note]
    assert [note.split(" in /")[0] for note in told] == [
        f"the texts of 1 of 3 originals are those of {name}" for name in ("librispeech", "vctk")
    ]  # fmt: skip
    assert [u.text for u in data.load(f"published:{demo}#vc")] == ["HE BEGAN"]
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert {u.text for u in data.load(f"published:{demo}")} == {None}


def test_a_real_demo_page(shared: Path) -> None:
    demo = shared / "data" / "published" / "freecodec-demo"
    systems = published.systems(demo)
    assert len(systems) == 15
    assert len(published.originals(demo)) == 14
    counts = {name: sum(pair.system == name for pair in published.pairs(demo)) for name in systems}
    assert counts["lyra-v2"] == counts["opus-6k"] == 14
    assert {c.system for c in published.conversions(demo)} == {"ours", "vqmivc", "wav2vec-vc", "yourtts"}
