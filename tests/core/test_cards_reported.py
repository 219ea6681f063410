"""Cards of the codecs of FocalCodec's Tables 1 and 7 against the tables as printed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench import cards

REPORTED = Path(__file__).resolve().parents[1] / "fixtures" / "reported"
POINTS = {
    "EnCodec": "encodec@1.5", "DAC": "dac@1", "WavLM6-KM": "wavlm6km@6", "SpeechTokenizer": "speechtokenizer@1",
    "SemantiCodec": "semanticodec@0.65", "Mimi": "mimi@0.69", "WavTokenizer": "wavtokenizer@40", "BigCodec": "bigcodec",
    "Stable Codec": "stablecodec@0.7", "FocalCodec@50": "focalcodec@50", "FocalCodec@25": "focalcodec@25",
    "FocalCodec@12.5": "focalcodec@12.5",
}  # fmt: skip


def rows(table: str) -> list[dict[str, str]]:
    with (REPORTED / table).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def facts(name: str) -> dict[str, str]:
    point = cards.resolve(name)
    return {key: str(value) for key, value in {**point.card.facts, **point.facts}.items()}


def test_every_codec_of_table_1_is_told() -> None:
    assert [row["codec"] for row in rows("focalcodec_table1_codecs.csv")] == list(POINTS)


@pytest.mark.parametrize("codec", POINTS)
def test_table_1(codec: str) -> None:
    [printed] = [row for row in rows("focalcodec_table1_codecs.csv") if row["codec"] == codec]
    point, told = cards.resolve(POINTS[codec]), facts(POINTS[codec])
    assert point.bitrate_kbps is not None
    assert float(told.get("paper_bitrate_kbps", round(point.bitrate_kbps, 2))) == float(printed["bitrate_kbps"])
    assert point.sample_rate == 1000 * float(printed["sample_rate_khz"])
    [stream] = [stream for stream in point.streams if stream.rate_hz]
    count, size = map(int, printed["codebooks"].split(" × "))
    assert (stream.rate_hz, tuple(stream.sizes)) == (float(printed["token_rate_hz"]), (size,) * count)
    assert int(told["code_dim"]) == int(printed["code_dim"])
    assert point.macs_g is not None and round(point.macs_g) == int(printed["macs_g"])
    if "params_printed" in told:  # the table disagrees with the codec's own paper, and the card says so
        assert printed["params_m"] in told["params_printed"].split()
    else:
        assert point.params_m is not None and round(point.params_m) == int(printed["params_m"])
    assert told["source"].startswith("arXiv 2502.04465v1, Tables 1 ")


TABLE_7 = rows("focalcodec_table7_baselines.csv")


@pytest.mark.parametrize("row", TABLE_7, ids=lambda row: row["codec"])
def test_table_7(row: dict[str, str]) -> None:
    row = dict(row)
    told = facts(POINTS[row.pop("codec").partition(" (")[0]])
    assert {key: told.get(key) for key in row} == row


TABLE_9 = rows("focalcodec_table9_chunked.csv")


@pytest.mark.parametrize("row", TABLE_9, ids=lambda row: f"{row['codec']} {row['chunk_samples']}")
def test_table_9(row: dict[str, str]) -> None:
    """Its lines are those of the streaming task, and so stand beside ours."""
    point = cards.resolve(POINTS[row["codec"]])
    size = row["chunk_samples"].partition("(")[2].strip(")")
    line = f"{size} chunks" if size else "whole signal"
    [entry] = [one for one in point.card.reported if (one.point, one.task, one.line) == (point.point, "streaming", line)]
    assert entry.name(point) == f"{point.name} ({line})" and entry.source.endswith("Table 9")
    assert entry.scores == {"utmos": float(row["utmos"]), "dwer": float(row["dwer"]), "sim": float(row["sim"])}
