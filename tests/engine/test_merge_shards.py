"""`bench merge`: shards in any order and more than once give the identical table."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from bench import cli
from bench.engine.jobs import Report
from bench.engine.shards import Header, Writer
from bench.results import files
from bench.store import Store


def test_shards_in_any_order_and_twice_give_the_identical_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--codec", "mulaw,identity", "--metrics", "snr", "--limit", "4", "--workers", "1", "--quiet"]
    assert cli.main(["run", *line, "--store", str(tmp_path / "made.sqlite"), "--results", str(tmp_path / "made")]) == 0
    with Store(tmp_path / "made.sqlite") as store:
        entries = [tuple(row) for row in store._db.execute("SELECT key, stage, data FROM entries WHERE stage != 'published'")]
    for number in range(3):
        writer = Writer(tmp_path / "shared" / f"{number}.shard", Header("plan", ("resynthesis", *line)))
        writer.append(f"job {number}", lambda some: Report(some, {}), entries[number::3])
        writer.close()
    shards = sorted((tmp_path / "shared").iterdir())
    seen = set()
    for place, order in enumerate([*permutations(shards)][:4]):
        store = str(tmp_path / f"{place}.sqlite")
        for _ in range(2):
            assert cli.main(["merge", *map(str, order), "--store", store, "--results", str(tmp_path / "r")]) == 0
        [table] = files.tables(tmp_path / "r")
        seen.add(tuple(path.read_bytes() for path in files.paths(table)))
        for path in files.paths(table):
            path.unlink()
    assert len(seen) == 1 and f"{len(entries)} entries of the run plan" in capsys.readouterr().out
    (tmp_path / "shared" / "no.shard").write_bytes(b"no shard")
    assert cli.main(["merge", str(tmp_path / "shared"), "--store", store]) == 1
    assert "no.shard" in capsys.readouterr().err
