"""Slurm through submitit's local executor: arrays, shards in any order and twice, and what damaged ones say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import toys

from bench.engine import shards, systems
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.results import rows as row_files
from bench.store import Store

pytest.importorskip("submitit", reason="needs the extra [slurm]")
TIMED = ["rtf_encode", "rtf_decode"]


def plan(folder: Path, executor: str) -> Plan:
    return Plan(
        "resynthesis", tuple(systems.systems(["mulaw", "identity"])), toys.make_set(folder, 24), ("stoi", "si_sdr"), workers=4,
        executor=executor,
    )  # fmt: skip


def rows_of(wanted: Plan, store: Store) -> pd.DataFrame:
    runner = Runner(wanted, store)
    runner.run()
    rows = row_files.frame(wanted, store, runner.failures)
    return rows[~rows["column"].isin(TIMED)].reset_index(drop=True)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, pd.DataFrame]:
    """(folder of audio, folder of shards, rows) of a run by arrays."""
    home = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_SLURM_CLUSTER", "local")
        patch.setenv("BENCH_SHARDS", str(home / "shards"))
        here = f"{Path(__file__).parent}:{Path(toys.__file__).parents[2]}"
        patch.setenv("PYTHONPATH", here)
        with Store(home / "s.sqlite") as store:
            rows = rows_of(plan(home / "a", "slurm"), store)
    return home / "a", home / "shards", rows


def test_arrays_give_the_rows_of_processes(sharded: tuple[Path, Path, pd.DataFrame], tmp_path: Path) -> None:
    audio, folder, rows = sharded
    assert len(shards.find([folder])) == 4
    with Store(tmp_path / "s.sqlite") as store:
        pd.testing.assert_frame_equal(rows_of(plan(audio, "processes"), store), rows)


def test_shards_in_any_order_and_twice(sharded: tuple[Path, Path, pd.DataFrame], tmp_path: Path) -> None:
    audio, folder, rows = sharded
    found = shards.find([folder])
    for name, order in (("there", found), ("back", found[::-1]), ("twice", [*found, *found[::-1]])):
        with Store(tmp_path / f"{name}.sqlite") as store:
            shards.absorb(order, store)
            again = plan(audio, "inline")
            runner = Runner(again, store)
            frame = row_files.frame(again, store, runner.failures)
            pd.testing.assert_frame_equal(frame[~frame["column"].isin(TIMED)].reset_index(drop=True), rows)


def test_half_a_shard_gives_its_whole_records(sharded: tuple[Path, Path, pd.DataFrame], tmp_path: Path) -> None:
    _, folder, _ = sharded
    whole = shards.find([folder])[0]
    half = tmp_path / "half.shard"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with Store(tmp_path / "s.sqlite") as store:
        found = shards.absorb([half], store)
        assert found.cut_off == (half,) and 0 < found.entries == len(store)


def test_what_is_no_shard_of_this_run_is_refused(sharded: tuple[Path, Path, pd.DataFrame], tmp_path: Path) -> None:
    _, folder, _ = sharded
    whole = shards.find([folder])[0]
    other = tmp_path / "other.shard"
    shards.Writer(other, shards.Header("0123456789")).close()
    damaged = tmp_path / "damaged.shard"
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    foreign = tmp_path / "foreign.shard"
    foreign.write_bytes(b"something else altogether, and longer than a line of magic")
    with Store(tmp_path / "s.sqlite") as store:
        for paths, reason in (([whole, other], "another run"), ([damaged], "damaged"), ([foreign], "no shard")):
            with pytest.raises(shards.BadShard, match=reason):
                shards.absorb(paths, store)
    with pytest.raises(shards.BadShard, match="there is no shard"):
        shards.find([tmp_path / "empty"])
    shutil.rmtree(tmp_path, ignore_errors=True)
