"""Merging: a run renews what it computed and touches nothing else; what is out of date is left out and named."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.results import files, merge, upkeep
from bench.results.identity import Identity

sys.path.insert(0, str(Path(__file__).parent))
from made import rows


def values(table: Path) -> dict[tuple[str, str, str], float]:
    """(label, column, utterance) -> value of what a table shows."""
    from bench.stats.labels import system_labels

    found, _ = merge.read(table)
    where = zip(system_labels(found), found["column"].astype(str), found["utterance"].astype(str), strict=True)
    return dict(zip(where, found["value"], strict=True))


def renew(table: Path, *frames: pd.DataFrame) -> None:
    for frame in frames:
        merge.renew(table, [frame])


def test_a_run_renews_its_columns_and_touches_nothing_else(tmp_path: Path) -> None:
    renew(tmp_path, rows("opus@6"), rows("lyra@6", weights="official", weights_sha256="12" * 32))
    other = (tmp_path / "rows" / "lyra@6-official-12121212.parquet").read_bytes()
    renew(tmp_path, rows("opus@6", ("stoi",), value=0.9))
    found = values(tmp_path)
    assert found["opus@6", "stoi", "u1"] == pytest.approx(0.91) and found["opus@6", "pesq_wb", "u1"] == pytest.approx(0.51)
    assert found["lyra@6 [official]", "stoi", "u0"] == 0.5 and len(found) == 16
    assert (tmp_path / "rows" / "lyra@6-official-12121212.parquet").read_bytes() == other


def test_rows_come_in_slices(tmp_path: Path) -> None:
    whole = rows("opus@6", count=10)
    made = merge.renew(tmp_path, [whole.iloc[:7], whole.iloc[7:12], whole.iloc[12:]])
    assert made is not None and made.columns == {"stoi", "pesq_wb"} and len(values(tmp_path)) == 20
    assert merge.renew(tmp_path, [whole.iloc[:0]]) is None


def test_devices_weights_and_roles_are_systems_of_their_own(tmp_path: Path) -> None:
    kinds = [{}, {"device": "cuda:1", "device_kind": "cuda"}, {"role": "ceiling"}]
    renew(tmp_path, *(rows("mimi@1", ("stoi",), 1, weights="official", weights_sha256="ab" * 32, **kind) for kind in kinds))
    renew(tmp_path, rows("mimi@1", ("stoi",), 1, weights="official", weights_sha256="cd" * 32))
    labels = {label for label, _, _ in values(tmp_path)}
    assert labels == {
        "mimi@1 [official abababab, cpu]", "mimi@1 [official abababab, cuda]", "mimi@1 [official cdcdcdcd, cpu]",
        "mimi@1 (ceiling) [official]",
    }  # fmt: skip
    assert len(files.paths(tmp_path)) == 4


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"metric_version": "0"}, "the metric stoi is of version 1 now, these rows are of version 0"),
        ({"definitions": '{"audio": "0"}'}, "the definition audio is of version 1 now"),
        ({"settings": '{"no": "such setting"}'}, "the settings on its card have changed"),
    ],
)
def test_what_is_out_of_date_is_left_out_and_named(tmp_path: Path, changed: dict, reason: str) -> None:
    renew(tmp_path, rows("opus@6", ("stoi",), **changed), rows("identity", ("stoi",)))
    found, stale = merge.read(tmp_path)
    assert set(found["codec"].astype(str)) == {"identity"}
    assert len(stale) == 1 and reason in str(stale[0]) and "bench run --codec opus@6" in str(stale[0])
    assert len(files.read(tmp_path)) == 8, "what is stale stays in the file"


def test_an_earlier_version_is_shown_where_nothing_newer_is_there(tmp_path: Path) -> None:
    old = {"metric_version": "0", "definitions": '{"metric:stoi": "0"}'}
    renew(tmp_path, rows("opus@6", ("stoi",), **old), rows("identity", ("stoi",), **old), rows("identity", ("pesq_wb",)))
    found, notes = merge.read(tmp_path)
    assert len(found) == 12 and len(notes) == 1
    assert str(notes[0]).startswith("stoi: by version 0 of the metric stoi, whose definition is of version 1 now")
    renew(tmp_path, rows("opus@6", ("stoi",)))
    found, notes = merge.read(tmp_path)
    assert len(found) == 8 and "left out: identity, stoi" in str(notes[0]), "two versions never stand side by side"


def test_columns_scored_on_audio_of_before_are_left_out(tmp_path: Path) -> None:
    renew(tmp_path, rows("opus@6"), rows("opus@6", ("stoi",), system_key="another"))
    found, stale = merge.read(tmp_path)
    assert set(found["column"].astype(str)) == {"stoi"}
    assert [one.columns for one in stale] == [("pesq_wb",)] and "coded anew" in str(stale[0])
    renew(tmp_path, rows("opus@6", ("pesq_wb",), system_key="another"))
    assert merge.read(tmp_path)[1] == []


def test_what_nobody_here_knows_is_no_reason(tmp_path: Path) -> None:
    """Rows of a plug-in that is not installed: neither its metric nor its definitions nor its card are known here."""
    renew(tmp_path, rows("plugin@1", ("plug_score",), definitions='{"adapter:plugin": "7"}'))
    found, stale = merge.read(tmp_path)
    assert len(found) == 4 and stale == []


def _one_run(table: Path, codec: str, round_: int) -> None:
    with upkeep.locked(table):
        merge.renew(table, [rows(codec, ("stoi",), value=float(round_))])
        merge.read(table)


def test_three_codecs_at_once_twenty_rounds(tmp_path: Path) -> None:
    table = tmp_path / "toy"
    codecs = ("opus@6", "mulaw@128", "g722@64")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        for number in range(20):
            pool.starmap(_one_run, [(table, codec, number) for codec in codecs], chunksize=1)
            found = values(table)
            assert {found[codec, "stoi", "u0"] for codec in codecs} == {float(number)} and len(found) == 12
    assert not list(table.rglob("*.part*")), "nothing half written is left"


def _one_column(table: Path, column: str) -> None:
    with upkeep.locked(table):
        merge.renew(table, [rows("opus@6", (column,))])


def test_columns_of_one_codec_at_once(tmp_path: Path) -> None:
    table = tmp_path / "toy"
    columns = ("stoi", "estoi", "pesq_wb", "si_sdr", "dwer", "wer")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.starmap(_one_column, [(table, column) for column in columns], chunksize=1)
    assert {column for _, column, _ in values(table)} == set(columns)


@pytest.mark.parametrize("damage", ["text", "cut", "flipped", "foreign", "another system"])
def test_a_damaged_file_is_kept_aside_and_told(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    renew(tmp_path, rows("opus@6"), rows("identity"))
    path = tmp_path / "rows" / "opus@6.parquet"
    whole = path.read_bytes()
    if damage == "foreign":
        pd.DataFrame({"x": [1]}).to_parquet(path)
    elif damage == "another system":
        path.write_bytes((tmp_path / "rows" / "identity.parquet").read_bytes())
    else:
        middle = len(whole) // 4
        flipped = whole[:middle] + bytes(255 - b for b in whole[middle : middle + 64]) + whole[middle + 64 :]
        path.write_bytes({"text": b"not rows", "cut": whole[: len(whole) // 2], "flipped": flipped}[damage])
    damaged = path.read_bytes()
    upkeep.inspect(tmp_path)
    told = capsys.readouterr().err
    assert "opus@6.parquet" in told and "opus@6.parquet.damaged-1" in told and "run again" in told
    assert (tmp_path / "rows" / "opus@6.parquet.damaged-1").read_bytes() == damaged
    assert {label for label, _, _ in values(tmp_path)} == {"identity"}
    renew(tmp_path, rows("opus@6"))
    assert len(values(tmp_path)) == 16


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renew(tmp_path, rows("opus@6"))
    before = (tmp_path / "rows" / "opus@6.parquet").read_bytes()
    import pyarrow.parquet as pq

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(BenchError, match=r"No space left.*unchanged"):
        renew(tmp_path, rows("opus@6", value=0.9))
    assert (tmp_path / "rows" / "opus@6.parquet").read_bytes() == before
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["opus@6.parquet"]


def test_lists_of_one_name_never_mix(tmp_path: Path) -> None:
    def place(audio: str) -> merge.Place:
        return merge.place(tmp_path, "resynthesis", "folder-clips", partial=0, sha256="aa", audio_sha256=audio)

    first, second = place("bb"), place("cc")
    renew(first.folder(), rows("opus@6"))
    assert first.folder() == tmp_path / "resynthesis" / "folder-clips"
    assert second.folder() == tmp_path / "resynthesis" / f"folder-clips-{second.digest[:8]}"
    renew(second.folder(), rows("opus@6", audio_sha256="cc"))
    assert first.folder() != second.folder() and second.folder() == place("cc").folder()


@pytest.mark.parametrize("codec", ["a b@1", "a_b@1", "../up@1", "a/b@1", "ä@1", "x" * 300 + "@1", "path:x@1"])
def test_file_names_are_safe_and_distinct(codec: str) -> None:
    names = {Identity(one, "none", "none", "cpu", "resynthesis").file_name for one in (codec, "a-b@1")}
    assert len(names) == 2
    for name in names:
        assert name.isascii() and "/" not in name and not name.startswith(".") and len(name) < 200


def test_the_cure_of_an_earlier_version_names_the_task_and_every_column() -> None:
    """In some tasks the columns of a metric are told one by one: one of them alone would leave the others as they are."""
    old = merge.Older(("dcer", "dwer"), "error_rates", "1", "2", "vc")
    assert str(old).endswith("To renew: bench run --task vc --codec all --metrics dcer,dwer, on the same data")
    assert "--task" not in str(merge.Older(("stoi",), "stoi", "0", "1", "resynthesis"))
