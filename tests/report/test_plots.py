"""Plots: a file appears, names do not overlap, colours are told apart, and what cannot be drawn says why."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.errors import BenchError
from bench.report import palette, placing, plots, series

Rows = pd.DataFrame


def test_a_readable_picture_is_written(baseline: Rows, columns: dict, tmp_path: Path) -> None:
    from matplotlib.image import imread

    path = plots.rate_distortion(baseline, columns, tmp_path / "sub" / "rd.png", ["stoi", "dwer"], draws=200)
    pixels = imread(path)
    assert path.is_file() and pixels.shape[1] >= 1500 and pixels[..., :3].std() > 0.05


def test_same_rows_same_picture(baseline: Rows, columns: dict, tmp_path: Path) -> None:
    first, second = (plots.rate_distortion(baseline, columns, tmp_path / f"{i}.png", ["stoi"], draws=200) for i in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_numbers_of_papers_are_hollow_marks_within_the_frame(baseline: Rows, columns: dict, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    axis.set_xlim(1, 10)
    plots._papers(axis, [plots.Printed("semanticodec@0.65", 0.65, "stoi", 0.8), plots.Printed("ts3codec@x2", 20, "stoi", 0.9)])
    [line] = axis.get_lines()
    assert line.get_markerfacecolor() == "none" and list(line.get_ydata()) == [0.8, 0.9]
    assert axis.get_xlim()[0] < 0.65 and axis.get_xlim()[1] > 20
    assert [text.get_text() for text in axis.texts] == ["semanticodec@0.65", "ts3codec@x2"]
    marks = [plots.Printed("ts3codec@x2", 0.85, "stoi", 0.9)]
    bare, marked = (
        plots.rate_distortion(baseline, columns, tmp_path / f"{len(given)}.png", ["stoi"], draws=200, printed=given)
        for given in ([], marks)
    )
    assert bare.read_bytes() != marked.read_bytes()


def test_papers_numbers_are_those_of_the_same_data_and_of_codecs_without_rows(baseline: Rows) -> None:
    from bench.results import publish

    rows = baseline.assign(task="resynthesis", condition="clean", dataset="librispeech#test-clean")
    found = {(mark.codec, mark.column): mark for mark in publish.printed(rows)}
    assert found["ts3codec@x2", "utmos"] == plots.Printed("ts3codec@x2", 0.85, "utmos", 3.84)
    assert found["semanticodec@0.65", "dwer"].value == 8.97
    assert publish.printed(rows.assign(dataset="embedded")) == []
    assert not [key for key in found if key[0] in set(rows["codec"])]
    one = rows.assign(codec="ts3codec@x2")
    assert "ts3codec@x2" not in {mark.codec for mark in publish.printed(one)}


def test_main_columns_are_chosen_in_order_and_even_in_number() -> None:
    present = ["stoi", "estoi", "pesq_wb", "dwer_moonshine", "sim_resemblyzer"]
    assert plots._main(present) == ["pesq_wb", "stoi", "dwer_moonshine", "sim_resemblyzer"]
    assert plots._main(["odd_one"]) == ["odd_one"]


def test_crowded_names_find_places_of_their_own() -> None:
    rng = np.random.default_rng(0)
    frame = np.array([0.0, 0.0, 800.0, 500.0])
    taken, size = np.zeros((0, 4)), (90.0, 14.0)
    points = rng.uniform([200, 150], [500, 320], size=(14, 2))
    taken = np.hstack([points - 5, points + 5])
    boxes = []
    for point in points:
        box, _, _ = placing.place(size, point[None], taken, np.zeros((0, 2)), frame, 1.0)
        taken = np.vstack([taken, box])
        boxes.append(box)
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert all((frame[:2] <= box[:2]).all() and box[3] <= frame[3] for box in boxes)


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("focalcodec@12.5 [nano]", "focalcodec [nano]"),
        ("lyra@6 [official]", "lyra"),
        ("freecodec@v2 [nano]", "freecodec@v2 [nano]"),
        ("funcodec@gr1-0.5 [official]", "funcodec@gr1"),
        ("focalcodec@stream-65k [official]", "focalcodec@stream-65k"),
        ("opus@12 (decoded audio)", "opus (decoded audio)"),
        ("g722", "g722"),
    ],
)
def test_rates_are_joined_and_variants_named(system: str, name: str) -> None:
    assert series.series(system) == name


def test_variants_of_a_codec_share_its_look() -> None:
    named = ["freecodec@v2 [nano]", "freecodec@v3 [nano]"]
    assert [series.unrated(system) for system in named] == ["v2", "v3"]
    assert {series.look_of(system) for system in named} == {"freecodec [nano]"}
    assert series.unrated("funcodec@gr1-0.5") == series.unrated("opus@12 (decoded audio)") == series.unrated("g722") == ""


@pytest.mark.parametrize(("low", "high"), [(0.1, 300), (2.1, 9.6), (0.4, 1.1), (5.0, 8.5), (3.9, 6.1)])
def test_axes_have_at_least_three_round_ticks(low: float, high: float) -> None:
    ticks = plots._ticks(low, high)
    assert 3 <= len(ticks) <= 12 and all(low <= tick <= high for tick in ticks) and ticks == sorted(ticks)


def _seen_without_red_cones(colour: str) -> np.ndarray:
    """Linear RGB as a protanope sees it (Vienot, Brettel and Mollon 1999)."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]) ** 2.2
    return np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]) @ rgb


@pytest.mark.parametrize("see", [_seen_without_red_cones])
def test_colours_stay_apart_without_red_cones(see: Callable[[str], np.ndarray]) -> None:
    for a, b in combinations(map(palette.style, palette.KNOWN), 2):
        assert np.abs(see(a.colour) - see(b.colour)).max() > 0.04 or a.marker != b.marker


def test_a_family_looks_the_same_whatever_else_is_drawn() -> None:
    assert palette.style("focalcodec@50 [nano]") == palette.style("focalcodec@12.5 [nano]")
    assert palette.style("lyra@6 [official]").colour == palette.style("lyra@6").colour
    assert palette.style("mine@1 [nano]").hollow and not palette.style("mine@1 [official]").hollow
    looks = [(made.colour, made.marker) for made in map(palette.style, palette.KNOWN)]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([1, 2, 3, 4, 5], None),
        ([1, 2, 3, 4, 90], (1, 4)),
        ([-50, 1, 2, 3, 4], (1, 4)),
        ([1, 2, 90], None),
        ([0.7, 0.8, 0.9, 0.95, 1.0], None),
    ],
)
def test_a_lone_value_does_not_flatten_the_others(values: list[float], ends: tuple[float, float] | None) -> None:
    assert plots.limits(values) == ends


def test_what_cannot_be_drawn_says_why(baseline: Rows, columns: dict, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with pytest.raises(BenchError, match="no rows"):
        plots.rate_distortion(baseline.iloc[:0], columns, path)
    with pytest.raises(BenchError, match="measured bit rate"):
        plots.rate_distortion(baseline[baseline["codec"] == "identity@pcm"], columns, path)
    with pytest.raises(BenchError, match="one task, data set and condition"):
        plots.rate_distortion(pd.concat([baseline, baseline.assign(condition="noisy")]), columns, path)
    assert not path.exists()
