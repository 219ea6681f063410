"""The store's promises: whole entries or none, a full disk leaves it good, files are hashed once."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from bench import content
from bench.store import Store, StoreDamaged, StoreError, dumps, key_of, loads


def test_values_come_back_equal() -> None:
    value = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": b"\x00\xff", "c": [1, None, "ü"], "d": {"e": 0.1}}
    again = loads(dumps(value))
    np.testing.assert_array_equal(again.pop("a"), value.pop("a"))
    assert again == value
    long = {"x": "y" * 10000}
    assert loads(dumps(long)) == long and len(dumps(long)) < 200


def test_keys_depend_on_everything_and_on_no_order_of_names() -> None:
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1})
    assert key_of("a", 1) != key_of("a", 2) != key_of("b", 2)


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(TypeError):
            store.put_many([("a", "stage", 1), ("b", "stage", object())])
        assert store.get("a") is None and len(store) == 0


def test_a_full_disk_is_a_clear_error_and_the_store_stays_good(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.put("before", "stage", {"x": 1})
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages + 2}")  # SQLite then answers as on a full disk
        with pytest.raises(StoreError, match=r"full.*intact.*again"):
            store.put("big", "stage", np.random.default_rng(0).bytes(200_000))
        assert store.get("before") == {"x": 1} and store.get("big") is None
        store._db.execute("PRAGMA max_page_count=1000000")
        store.put("big", "stage", b"now there is room")
    with sqlite3.connect(tmp_path / "s.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="BENCH_STORE"):
        Store(tmp_path / "file" / "s.sqlite")


def test_files_are_hashed_again_only_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    with Store(tmp_path / "s.sqlite") as store:
        time.sleep(0.05)  # a file that changed a moment ago is not remembered: a second change might not show
        first = store.file_sha256([path])[path]
        with monkeypatch.context() as patch:
            patch.setattr(content, "read_sha256", lambda path: pytest.fail("read again"))
            assert store.file_sha256([path])[path] == first
        path.write_bytes(b"two!")
        assert store.file_sha256([path])[path] != first
        assert store.file_sha256([tmp_path / "gone"])[tmp_path / "gone"] == "missing"


@pytest.mark.parametrize("damage", [b"no store at all", b""])
def test_a_file_that_is_no_store_is_kept_aside(tmp_path: Path, damage: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(damage * 100)
    with Store(path) as store:
        store.put("a", "stage", 1)
        assert store.get("a") == 1
    told = capsys.readouterr().err
    assert ("kept as s.sqlite.damaged-1" in told) == bool(damage)
    assert not damage or (tmp_path / "s.sqlite.damaged-1").read_bytes() == damage * 100


def _fill(path: Path) -> None:
    with Store(path) as store:
        store.put_many([(f"{n:064x}", "stage", np.random.default_rng(n).bytes(3000)) for n in range(200)])


def test_a_store_damaged_in_the_middle_is_one_line_and_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    _fill(path)
    data = bytearray(path.read_bytes())
    for page in range(4, len(data) // 4096, 3):  # every third page
        data[page * 4096 : page * 4096 + 200] = bytes(200)
    path.write_bytes(data)
    with Store(path) as store, pytest.raises(StoreDamaged, match=r"kept as s\.sqlite\.damaged-1.*same command"):
        store.get_many([f"{n:064x}" for n in range(200)])
    assert (tmp_path / "s.sqlite.damaged-1").stat().st_size == len(data)
    _fill(path)
    with Store(path) as store:
        assert len(store) == 200


def test_a_damaged_result_is_removed_and_told(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.put_many([("good", "stage", "x" * 1000), ("bad", "stage", "y" * 1000)])
        store._db.execute("UPDATE entries SET data = substr(data, 1, 10) WHERE key = 'bad'")
        with pytest.raises(StoreError, match=r"removed.*same command"):
            store.get("bad")
        assert store.get("bad") is None and store.get("good") == "x" * 1000
        store.put("bad", "stage", "y" * 1000)
        store._db.execute("UPDATE entries SET data = substr(data, 1, 10) WHERE key = 'bad'")
        assert store.verify() == 1 and store.verify() == 0 and len(store) == 1


def test_what_no_table_needs_is_pruned(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    with Store(tmp_path / "s.sqlite") as store:
        store.put_many([(key, "coded", key) for key in ("a", "b", "c", "d")])
        store.need(f"{first}#opus@6#stoi", ["a", "b"])
        store.need(f"{second}#opus@6#stoi", ["b", "c"])
        assert {stage: count for stage, (count, _) in store.unneeded().items()} == {"coded": 1}
        second.rmdir()
        store.prune() if store.unneeded() else None
        assert store.has_many(["a", "b", "c", "d"]) == {"a", "b"}
        store.need(f"{first}#opus@6#stoi", ["a"])
        store.unneeded(), store.prune()
        assert store.has_many(["a", "b"]) == {"a"}
