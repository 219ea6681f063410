"""Alarms do not accuse the innocent: what is odd about an original is told of it, and never of the codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from bench import audio, validity
from bench.coding.codec import Codec, encode, fit
from bench.coding.codes import Codes, Vector
from bench.stats.tables import tables
from bench.validity import pair_facts
from bench.validity.bits import fresh_decode
from bench.validity.facts import decoded_facts, original_facts

RATE = 16000
SPEECH = soundfile.read(
    sorted((Path(__file__).resolve().parent.parent / "bench" / "data" / "embedded").glob("*/*_02.flac"))[0], dtype="float32"
)[0]


def rows(**columns: float | str) -> pd.DataFrame:
    lines = [
        {
            "column": name,
            "value": value if isinstance(value, float | int) else None,
            "detail": value if isinstance(value, str) else None,
        }
        for name, value in columns.items()
    ]
    return pd.DataFrame(lines).assign(
        task="t",
        condition="clean",
        dataset="d",
        dataset_sha256="",
        codec="c@1",
        weights="none",
        weights_sha256="",
        utterance="u",
        speaker="s",
        seconds=1.0,
        num=np.nan,
        den=np.nan,
        failure=None,
    )


def kinds(ref: np.ndarray, deg: np.ndarray, **odd: float) -> set[str]:
    return set(validity.alarms(rows(**pair_facts(ref, deg, RATE), **odd))["alarm"])


PCM = [("silent", np.zeros(RATE, np.float32)), ("-96 dBFS", SPEECH / np.abs(SPEECH).max() * np.float32(2e-4)),
       ("-75 dBFS", SPEECH / np.abs(SPEECH).max() * np.float32(2e-3)), ("offset", SPEECH * np.float32(0.4) + np.float32(0.5)),
       ("offset alone", np.full(RATE, 0.3, np.float32)), ("tone", np.sin(np.arange(RATE) * 0.2).astype(np.float32)),
       *((f"{ms} ms", SPEECH[8000 : 8000 + 16 * ms]) for ms in (1, 5, 20, 39, 60))]  # fmt: skip


@pytest.mark.parametrize(("name", "wave"), PCM, ids=[name for name, _ in PCM])
def test_identity_is_never_accused(name: str, wave: np.ndarray) -> None:
    assert kinds(wave, audio.to_pcm16(wave).astype(np.float32) / np.float32(32768)) == set()


def test_a_codec_that_drops_an_offset_is_not_accused() -> None:
    moved = SPEECH * np.float32(0.4) + np.float32(0.5)
    assert kinds(moved, SPEECH * np.float32(0.4)) == set()
    assert kinds(moved, SPEECH * np.float32(0.4), original_offset=0.5, sim_resemblyzer=0.4) == set()
    assert kinds(SPEECH, SPEECH, sim_resemblyzer=0.4) == {"impostor"}


def test_a_silent_decoder_still_is() -> None:
    assert "silent" in kinds(SPEECH, np.zeros_like(SPEECH)) and "silent" in kinds(SPEECH, SPEECH * np.float32(1e-4))


def test_equal_inputs_may_give_equal_outputs() -> None:
    def one(utterance: str, given: str, wave: str = "abc") -> pd.DataFrame:
        return rows(wave=wave, codes=wave, input=given).assign(utterance=utterance)

    assert validity.alarms(pd.concat([one("u", "x"), one("v", "x")], ignore_index=True)).empty
    found = validity.alarms(pd.concat([one("u", "x"), one("v", "x"), one("w", "y")], ignore_index=True))
    assert set(found["alarm"]) == {"identical"} and found["utterance"].nunique() == 3


def test_failures_with_equal_texts_are_no_equal_waves() -> None:
    failed = rows(wave="no decoded file").assign(failure="missing")
    assert validity.alarms(pd.concat([failed, failed.assign(utterance="v")], ignore_index=True)).empty


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        ({"excess_ms": 40.0}, "overlong"),
        ({"decoded_offset": 0.2}, "offset"),
        ({"clipped": 0.05, "decoded_peak": 1.8}, "overload"),
        ({"clipped": 0.9, "decoded_peak": 29000.0}, "integers"),
        ({"decoded_wraps": 12.0}, "wrapped"),
        ({"fresh_db": 3.0}, "hidden"),
    ],
)
def test_oddities_of_the_output_are_the_codecs(odd: dict[str, float], kind: str) -> None:
    assert set(validity.alarms(rows(**odd))["alarm"]) == {kind}


def test_notes_on_originals(tmp_path: Path) -> None:
    loud = np.stack([SPEECH, -SPEECH], axis=1)
    soundfile.write(tmp_path / "anti.wav", loud, RATE)
    soundfile.write(tmp_path / "hot.wav", SPEECH * 3, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "plain.wav", SPEECH, RATE)
    soundfile.write(tmp_path / "wrapped.wav", np.mod(SPEECH / np.abs(SPEECH).max() * 1.5 + 1, 2) - 1, RATE)
    found = {}
    for path in sorted(tmp_path.glob("*.wav")):
        recording = audio.load(path)
        found[path.stem] = original_facts(path, None, recording.wave, recording.rate_hz)
    assert found["plain"] == {}
    table = pd.concat([rows(stoi=1.0, **facts).assign(utterance=name) for name, facts in found.items()], ignore_index=True)
    [whole] = tables(table)
    assert validity.original_notes(whole.parts, whole.items) == [
        "originals: 1 of 4 (anti) silent after averaging channels",
        "originals: 1 of 4 (hot) exceeded full scale and were divided by their peak",
        "originals: 1 of 4 (wrapped) with samples that run over full scale and go on at the other end (overflowed integers)",
    ]


def test_ordinary_outputs_have_no_oddities() -> None:
    assert decoded_facts(SPEECH, RATE, excess=320, frame=320) == {}
    assert decoded_facts(SPEECH, RATE, excess=321, frame=320) == {"excess_ms": pytest.approx(20.0625)}
    assert set(decoded_facts(SPEECH * 4 + 1, RATE)) == {"decoded_peak", "decoded_offset"}


class Keeper(Codec):
    """Keeps the wave and sends its number."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.kept: list[np.ndarray] = []

    def encode(self, waves):  # type: ignore[no-untyped-def]
        self.kept += list(waves)
        return [Codes((Vector("n", [len(self.kept) - 1]),), len(wave), RATE) for wave in waves]

    def decode(self, codes):  # type: ignore[no-untyped-def]
        return [self.kept[int(item.part("n").values[0])] for item in codes]


class Honest(Keeper):
    def encode(self, waves):  # type: ignore[no-untyped-def]
        return [Codes((Vector("x", wave),), len(wave), RATE) for wave in waves]

    def decode(self, codes):  # type: ignore[no-untyped-def]
        return [item.part("x").values.astype(np.float32) for item in codes]


def test_bytes_that_a_fresh_codec_cannot_decode_are_marked() -> None:
    for make, expected in ((Honest, set()), (Keeper, {"hidden"})):
        codec = make()
        [codes] = encode(codec, [SPEECH])
        sent, record = codes.to_bytes(), audio.to_flac(fit(codec, codec.decode([codes])[0], len(SPEECH)), RATE)
        result = fresh_decode(make, sent, record)
        line = rows(fresh_db=result) if isinstance(result, float) else rows(fresh_db=result["detail"]).assign(failure="f")
        assert set(validity.alarms(line)["alarm"]) == expected
