"""Tables of an earlier format: the same numbers, with codec, role and variant each in a field of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.results import earlier, files, merge, schema, upkeep
from bench.results.identity import identity_of
from bench.stats.labels import called, codec_of, name_of, system_labels, tags_of, variant_of

sys.path.insert(0, str(Path(__file__).parent))
import made

# As rows were before: codec, role -> codec, role, variant as they are today.
BEFORE = {
    ("lyra@6 (ceiling)", "ceiling"): ("lyra@6", "ceiling", ""),
    ("reference@target", "reference"): ("identity", "reference", "target"),
    ("focalcodec@50 (125 ms chunks)", "chunked"): ("focalcodec@50", "chunked", "125 ms chunks"),
    ("focalcodec@50 (whole signal)", "resynthesis"): ("focalcodec@50", "ceiling", "whole signal"),
    ("opus@12 (random loss 5 %)", "degraded"): ("opus@12", "degraded", "random loss 5 %"),
    ("opus@12 (undisturbed)", "resynthesis"): ("opus@12", "resynthesis", "undisturbed"),
    ("opus@12 (decoded audio)", "probe"): ("opus@12", "probe", "decoded audio"),
    ("opus@12", "probe"): ("opus@12", "probe", ""),
    ("chance", "reference"): ("chance", "reference", ""),
    ("published@clips (1)", "resynthesis"): ("published@clips (1)", "resynthesis", ""),
}


def write_earlier(table: Path, codec: str, role: str, name: str, value: float) -> None:
    """A file as it was written before there was a field `variant`."""
    rows = schema.as_arrow(made.rows(codec, role=role, value=value)).drop_columns(["variant"])
    facts = {"format": 2, "codec": codec, "role": role, "weights": "none", "weights_sha256": "none", "device_kind": "cpu",
             "system_key": "key", "dataset_sha256": "aa", "audio_sha256": "bb"}  # fmt: skip
    (table / "rows").mkdir(parents=True, exist_ok=True)
    pq.write_table(rows.replace_schema_metadata({b"bench": json.dumps(facts).encode()}), table / "rows" / name)


@pytest.mark.parametrize(("before", "now"), BEFORE.items())
def test_what_was_hidden_in_a_name_has_its_field(before: tuple[str, str], now: tuple[str, str, str]) -> None:
    assert earlier.parted(*before) == now
    # Who reads the table finds the name that it had.
    assert called(*now) == before[0]


def test_earlier_files_read_as_todays_and_are_renewed_once(tmp_path: Path) -> None:
    for number, (codec, role) in enumerate(BEFORE):
        write_earlier(tmp_path, codec, role, f"{number}.parquet", number / 10)
    read = files.read(tmp_path)
    told = set(read[["codec", "role", "variant"]].astype(str).itertuples(index=False, name=None))
    assert told == set(BEFORE.values())
    assert set(system_labels(read)) == {codec for codec, _ in BEFORE}
    written = upkeep.renew_format(tmp_path)
    assert len(written) == len([now for before, now in BEFORE.items() if before != now[:2]])
    assert upkeep.renew_format(tmp_path) == []
    again = files.read(tmp_path)
    order = ["codec", "role", "variant", "utterance", "column"]
    assert again.astype(str).sort_values(order).values.tolist() == read.astype(str).sort_values(order).values.tolist()
    for path in written:
        assert identity_of(files.about(path)).file_name == path.name


def test_a_run_renews_the_file_that_was_written_earlier(tmp_path: Path) -> None:
    write_earlier(tmp_path, "lyra@6 (ceiling)", "ceiling", "lyra@6-ceiling--abc123.parquet", 0.1)
    upkeep.inspect(tmp_path)
    renewed = merge.renew(tmp_path, [made.rows("lyra@6", ["stoi"], role="ceiling", value=0.9)])
    assert renewed is not None and [path.name for path in files.paths(tmp_path)] == [renewed.identity.file_name]
    means = files.read(tmp_path).groupby("column", observed=True)["value"].mean()
    assert means["stoi"] == pytest.approx(0.915) and means["pesq_wb"] == pytest.approx(0.115)


def test_a_later_file_is_not_written_over(tmp_path: Path) -> None:
    merge.renew(tmp_path, [made.rows("lyra@6", role="ceiling", value=0.9)])
    write_earlier(tmp_path, "lyra@6 (ceiling)", "ceiling", "old.parquet", 0.1)
    before = (tmp_path / "rows" / "old.parquet").read_bytes()
    [aside] = upkeep.renew_format(tmp_path)
    assert aside.read_bytes() == before and len(files.paths(tmp_path)) == 1
    assert files.read(tmp_path)["value"].min() >= 0.9


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("opus@6", ("opus@6", "opus@6", "", "")),
        ("focalcodec@50 (500 ms chunks) [nano 543250b0, cuda]",
         ("focalcodec@50 (500 ms chunks)", "focalcodec@50", "500 ms chunks", "nano 543250b0, cuda")),
        ("lyra@6 (ceiling) [official]", ("lyra@6 (ceiling)", "lyra@6", "ceiling", "official")),
        ("reference@target", ("reference@target", "reference@target", "", "")),
    ],
)  # fmt: skip
def test_a_label_is_read_as_it_was_put_together(label: str, parts: tuple[str, ...]) -> None:
    assert (name_of(label), codec_of(label), variant_of(label), tags_of(label)) == parts
