"""From rows to arrays: labels, ratios, failures, duplicates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.errors import BenchError, UnknownName
from bench.stats import find_system, groups, scores, system_labels, tidy


def _rows(**changes: object) -> pd.DataFrame:
    base = pd.DataFrame(
        {
            "task": "t",
            "condition": "clean",
            "dataset": "d",
            "dataset_sha256": "ab",
            "codec": ["a@1", "a@1", "b@1", "b@1"],
            "weights": ["nano", "nano", "none", "none"],
            "weights_sha256": ["11", "11", "", ""],
            "utterance": ["u1", "u2", "u1", "u2"],
            "speaker": ["s1", "s2", "s1", "s2"],
            "column": "stoi",
            "seconds": 1.0,
            "value": [0.5, 0.7, 0.9, 0.8],
            "num": np.nan,
            "den": np.nan,
            "failure": None,
            "detail": None,
        }
    )
    return base.assign(**changes)


def test_labels_show_weights_only_where_there_are_any() -> None:
    assert list(system_labels(_rows())) == ["a@1 [nano]", "a@1 [nano]", "b@1", "b@1"]
    assert list(system_labels(_rows(weights=None))) == ["a@1", "a@1", "b@1", "b@1"]
    two = _rows(weights_sha256=["1" * 64, "2" * 64, "", ""])
    assert list(system_labels(two))[:2] == ["a@1 [nano 11111111]", "a@1 [nano 22222222]"]


def test_categories_and_plain_text_are_the_same_rows() -> None:
    rows = _rows()
    shelved = rows.assign(**{name: rows[name].astype("string").astype("category") for name in ("codec", "failure")})
    a, b = scores(rows), scores(shelved)
    assert a.systems == b.systems and np.array_equal(a.num, b.num) and np.array_equal(a.failed, b.failed)
    assert tidy(tidy(shelved)).equals(tidy(shelved))


def test_values_ratios_and_failures() -> None:
    found = scores(
        _rows(
            value=[0.5, None, None, 0.8],
            num=[None, None, 3.0, None],
            den=[None, None, 12.0, None],
            failure=[None, "silence", None, None],
        )
    )
    assert found.systems == ("a@1 [nano]", "b@1") and found.speaker_count == 2
    assert found.num[:, :, 0].tolist() == [[0.5, 3.0], [0.0, 0.8]]
    assert found.den[:, :, 0].tolist() == [[1.0, 12.0], [0.0, 1.0]]
    assert found.failed[:, :, 0].tolist() == [[False, False], [True, False]]
    assert found.estimates[:, 0] == pytest.approx([0.5, 3.8 / 13])
    terms, common = found.pair(0, 1, 0)
    assert terms.tolist() == [[0.5, 1.0, 3.0, 12.0]] and common.speakers == ("s1",) and common.names([0]) == ["u1"]


def test_nan_without_a_failure_is_no_score() -> None:
    found = scores(_rows(value=[np.nan, 0.7, np.inf, 0.8]))
    assert found.failed[:, :, 0].tolist() == [[True, True], [False, False]]


def test_missing_rows_are_absent_not_failed() -> None:
    found = scores(_rows().iloc[1:])
    assert not found.present[0, 0, 0] and not found.failed[0, 0, 0] and found.den[0, 0, 0] == 0


def test_duplicates_are_refused_by_name() -> None:
    with pytest.raises(BenchError, match="two rows for b@1, utterance 'u2', column 'stoi'"):
        scores(pd.concat([_rows(), _rows().iloc[3:]]))


def test_groups_keep_data_lists_apart() -> None:
    rows = pd.concat([_rows(), _rows(dataset_sha256="cd"), _rows(condition="noisy")])
    assert [(str(group), group.dataset_sha256, len(part)) for group, part in groups(rows)] == [
        ("t / d / clean", "ab", 4),
        ("t / d / clean", "cd", 4),
        ("t / d / noisy", "ab", 4),
    ]


def test_find_system() -> None:
    labels = ["a@1 [nano]", "a@1 [random]", "b@1"]
    assert find_system(labels, "b@1") == "b@1" and find_system(labels, "a@1 [random]") == "a@1 [random]"
    assert find_system(labels[:1], "a@1") == "a@1 [nano]"
    with pytest.raises(BenchError, match="several systems"):
        find_system(labels, "a@1")
    with pytest.raises(UnknownName, match="b@1"):
        find_system(labels, "b@2")
