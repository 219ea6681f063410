"""The store's promises: whole entries or none, a full disk leaves it good, files are hashed once."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from bench import content
from bench.store import Store, StoreError, dumps, key_of, loads


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
