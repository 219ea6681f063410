"""Decoded files by the names that people give them."""

from __future__ import annotations

import pytest

from bench.data.matching import RULE, Matching, explain, pairs

IDS = ("u1", "u2", "a_b", "p225_001", "x.y")


def match(ids: tuple[str, ...], *files: str) -> dict[str, str]:
    return pairs(ids, {file.rpartition(".")[0]: file for file in files})


@pytest.mark.parametrize(
    "ending",
    ["", "_out", "_dec", "_decompressed", ".decoded", "-24k", "_24kHz_6kbps", ".opus", " (1)", "@6", ".wav", ".flac", ".wav_out",
     ".wav.decoded", "_decoded", ".mp3"],
)  # fmt: skip
@pytest.mark.parametrize("beginning", ["", "opus_", "dec-", "codec 6k "])
@pytest.mark.parametrize("folder", ["", "out/", "a/b/"])
def test_stem_or_file_name_with_what_all_files_share(beginning: str, ending: str, folder: str) -> None:
    files = {name: f"{folder}{beginning}{name}{ending}.wav" for name in IDS}
    assert match(IDS, *files.values()) == files


def test_paths_below_the_folder_come_first() -> None:
    ids = ("en/1", "de/1")
    assert match(ids, "en/1.wav", "de/1.wav") == {"en/1": "en/1.wav", "de/1": "de/1.wav"}
    assert match(ids, "en/1_out.wav", "de/1_out.wav") == {"en/1": "en/1_out.wav", "de/1": "de/1_out.wav"}
    assert match(ids, "en-1.wav", "de-1.wav") == {"en/1": "en-1.wav", "de/1": "de-1.wav"}


def test_case_and_separators_do_not_matter() -> None:
    assert match(("U1-a b", "x/y"), "u1_a_b.wav", "X_Y.wav") == {"U1-a b": "u1_a_b.wav", "x/y": "X_Y.wav"}


def test_several_candidates_are_none() -> None:
    assert match(("x",), "a/x.wav", "b/x.wav") == {}
    assert Matching([("x", "x.wav"), ("x", "x.flac")]).find("x") is None


def test_an_ending_of_one_file_alone_is_no_match() -> None:
    assert match(("u1", "u2"), "u1_out.wav", "u2_dec.wav") == {}
    assert match(("u1", "u10"), "u1.wav", "u10.wav") == {"u1": "u1.wav", "u10": "u10.wav"}
    assert match(("u1",), "u10.wav", "u11.wav") == {}, "an ending begins with a separator"


def test_exact_names_win_over_endings() -> None:
    assert match(("a", "a_1"), "a_1.wav", "b_1.wav") == {"a": "a_1.wav", "a_1": "a_1.wav"}
    assert match(("a", "a_1"), "a.wav", "a_1.wav") == {"a": "a.wav", "a_1": "a_1.wav"}


def test_what_did_not_match_is_explained_with_the_rule() -> None:
    told = list(explain(["u1", "u2", "u3"], ["y9.wav"], "opus"))
    assert told == ["opus: no decoded file for u1, u2 and 1 more", "opus: no utterance for y9.wav", f"opus: {RULE}"]
    assert list(explain([], ["y9.wav"], "opus")) == ["opus: no utterance for y9.wav"]
    assert list(explain([], [], "opus")) == []
