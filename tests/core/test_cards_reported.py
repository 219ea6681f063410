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


# table -> (data, task, condition or "" for any, column as printed -> ours) of each result that a line of it holds
MEASURED = {
    "focalcodec_table2_clean.csv": (
        ("LibriSpeech test-clean", "resynthesis", "",
         {name: name for name in ("utmos", "dwer", "sim", "code_usage", "norm_entropy", "rtf")}),
        ("MLS-700", "resynthesis", "", {"mls_utmos": "utmos", "mls_dwer": "dwer"}),
    ),
    "focalcodec_table3_voicebank.csv": (
        ("VoiceBank test", "resynthesis", "noisy",
         {"dnsmos": "dnsmos_p808", **{name: name for name in ("dwer", "sim", "code_usage", "norm_entropy", "rtf")}}),
    ),
    "focalcodec_table3_libri1mix.csv": (
        ("Libri1Mix test", "resynthesis", "noisy",
         {"dnsmos": "dnsmos_p808", **{name: name for name in ("dwer", "sim", "code_usage", "norm_entropy", "rtf")}}),
    ),
    "focalcodec_table4_vc_vctk.csv": (
        ("VCTK", "vc", "", {name: name for name in ("utmos", "dwer", "sim", "rtf")}),
    ),
    "focalcodec_table5_downstream.csv": (
        ("LibriSpeech test-clean", "asr", "", {"asr_wer": "probe_wer"}),
        ("LibriSpeech", "si", "", {"si_er": "probe_er"}),
        ("IEMOCAP", "ser", "", {"ser_er": "probe_er"}),
        ("VoiceBank test", "enhancement", "", {"se_dnsmos": "dnsmos_p808", "se_dwer": "dwer", "se_sim": "sim"}),
        ("Libri2Mix test", "separation", "", {"ss_dnsmos": "dnsmos_p808", "ss_dwer": "dwer", "ss_sim": "sim"}),
        ("LibriSpeech test-clean", "synthesis", "", {"tts_utmos": "utmos", "tts_dwer": "dwer", "tts_sim": "sim"}),
    ),
    "focalcodec_table8_ts3.csv": (
        ("LibriSpeech test-clean", "resynthesis", "", {"utmos": "utmos", "dwer": "dwer", "sim": "sim"}),
    ),
    "focalcodec_table10_ss_inputs.csv": (
        ("Libri2Mix test", "separation", "", {"dnsmos": "dnsmos_p808", "dwer": "dwer", "sim": "sim"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("table", MEASURED)
def test_every_printed_number_is_on_a_card_with_its_source_set_and_protocol(table: str) -> None:
    """Each line of each table but the reference's, whole: that entry of the card, with these numbers and no others. A table
    that repeats another's numbers (8 those of 2, 10 those of 5) may leave them to that one."""
    repeated = {"8": ("8", "2"), "10": ("10", "5")}
    number = table.partition("_table")[2].partition("_")[0]
    count = 0
    for row in rows(table):
        if row["codec"] == "Reference":
            continue
        point = cards.resolve({**POINTS, "TS3-Codec (X2)": "ts3codec@x2"}[row["codec"]])
        for data, task, condition, columns in MEASURED[table]:
            scores = {ours: float(row[printed]) for printed, ours in columns.items() if row[printed]}
            same = [
                entry.scores
                for entry in point.card.reported
                if (entry.point, entry.data, entry.task) == (point.point, data, task)
                and entry.source.startswith("arXiv 2502.04465v1, Table ")
                and entry.source.rpartition(" ")[2] in repeated.get(number, (number,))
                and (not condition or entry.condition == condition)
            ]
            count += len(scores)
            best = max(same, default={}, key=lambda told: sum(told.get(name) == value for name, value in scores.items()))
            missing = {name: value for name, value in scores.items() if best.get(name) != value}
            assert not missing, f"{row['codec']}: {data}, {task}: {missing}"
    assert count > 0
    print(table, count, "numbers")


def test_every_table_is_checked() -> None:
    """Tables 6 (an ablation of training) and 1, 7 and 9, which have tests of their own, beside those above."""
    others = {f"focalcodec_table{name}.csv" for name in ("1_codecs", "6_ablation", "7_baselines", "9_chunked")}
    assert {path.name for path in REPORTED.glob("*.csv")} == set(MEASURED) | others
