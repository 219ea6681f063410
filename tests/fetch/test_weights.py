"""Weights: never substituted, always checked, and an error that tells the cure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import cards
from bench.content import file_sha256
from bench.errors import BenchError, WeightsInvalid, WeightsMissing
from bench.fetch import weights

CARD = """
family = "toy"
title = "Toy"
adapter = "identity"
kind = "neural"
licence = "MIT"
sample_rate = 16000
[weights.official]
url = "{url}"
sha256 = "{sha}"
[weights.nano]
file = "toy/nano.bin"
sha256 = "{sha}"
[points.1]
"""


@pytest.fixture
def point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cards.Point:
    folder = tmp_path / "codecs"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "nano.bin").write_bytes(b"weights")
    (tmp_path / "remote.bin").write_bytes(b"weights")
    sha = file_sha256(tmp_path / "remote.bin")
    (folder / "toy.toml").write_text(CARD.format(url=f"file://{tmp_path}/remote.bin", sha=sha))
    card = cards.parse(folder / "toy.toml")
    monkeypatch.setattr(cards, "load", lambda family: card)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return card.points["1"]


def test_profiles_mean_different_weights(point: cards.Point) -> None:
    assert weights.choose(point, "embedded") == "nano" and weights.choose(point, "paper") == "official"


def test_shipped_weights_are_found_and_checked(point: cards.Point) -> None:
    found = weights.resolve(point, "nano")
    assert found.label == "nano" and found.file.name == "nano.bin"
    found.file.write_bytes(b"tampered with")
    with pytest.raises(WeightsInvalid, match=r"nano\.bin.*sha256"):
        weights.resolve(point, "nano")


def test_a_download_is_checked_and_kept(point: cards.Point, tmp_path: Path) -> None:
    first = weights.resolve(point, "official")
    (tmp_path / "remote.bin").unlink()
    assert weights.resolve(point, "official").digest == first.digest
    assert first.digest == weights.resolve(point, "nano").digest


def test_a_download_that_differs_is_refused_and_not_kept(point: cards.Point, tmp_path: Path) -> None:
    (tmp_path / "remote.bin").write_bytes(b"something else")
    with pytest.raises(WeightsInvalid, match="expected"):
        weights.resolve(point, "official")
    assert not weights.available(point, "official")


def test_what_is_missing_says_where_and_how(point: cards.Point, tmp_path: Path) -> None:
    (tmp_path / "remote.bin").unlink()
    with pytest.raises(WeightsMissing, match=r"toy@1.*official.*not here.*Looked in.*Cure.*WEIGHTS=nano"):
        weights.resolve(point, "official")


def test_a_path_is_named_by_its_hash(point: cards.Point, tmp_path: Path) -> None:
    found = weights.resolve(point, path=tmp_path / "remote.bin")
    assert found.label == f"path:{found.digest[:8]}"
    with pytest.raises(WeightsMissing, match="nowhere"):
        weights.resolve(point, path=tmp_path / "nowhere")


def test_an_unknown_kind_is_told(point: cards.Point) -> None:
    with pytest.raises(BenchError, match="official"):
        weights.resolve(point, "offical")


def test_a_network_without_published_weights_is_missing_some_not_free_of_them(point: cards.Point) -> None:
    from dataclasses import replace

    bare = replace(point, weights={})
    assert bare.needs_weights and not weights.available(bare, weights.choose(bare))
    with pytest.raises(WeightsMissing, match=r"toy@1.*official.*WEIGHTS=PATH"):
        weights.resolve(bare)
    assert weights.resolve(bare, "random").kind == "random"


def test_weights_may_lie_in_several_files(point: cards.Point) -> None:
    folder = point.card.path.parent / "toy"
    (folder / "shared.bin").write_bytes(b"shared")
    table = dict(point.weights["nano"], file=["toy/shared.bin", "toy/nano.bin"])
    table["sha256"] = [file_sha256(folder / name) for name in ("shared.bin", "nano.bin")]
    several = replace(point, weights={**point.weights, "nano": table})
    found = weights.resolve(several, "nano")
    assert list(found.files) == ["shared.bin", "nano.bin"] and weights.available(several, "nano")
    assert found.digest != weights.resolve(point, "nano").digest
    (folder / "shared.bin").write_bytes(b"changed")
    with pytest.raises(WeightsInvalid, match=r"shared\.bin.*sha256"):
        weights.resolve(several, "nano")
    (folder / "shared.bin").unlink()
    assert not weights.available(several, "nano")
    with pytest.raises(WeightsMissing, match=r"shared\.bin is not there"):
        weights.resolve(several, "nano")
    table["sha256"] = table["sha256"][:1]
    with pytest.raises(WeightsInvalid, match=r"2 weights files.*1 sha256"):
        weights.resolve(several, "nano")


def test_weights_travel_as_kind_and_digest(point: cards.Point, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.bin").write_bytes(b"mine")
    for found in (
        weights.resolve(point, "nano"),
        weights.resolve(point, "official"),
        weights.resolve(point, "random", seed=7),
        weights.resolve(point, path=tmp_path / "mine"),
    ):
        path = found.source if found.kind == "path" else ""
        assert weights.by_digest(point, found.kind, found.digest, path) == found
    # Another machine, which sees neither the folder nor the cache, and to which the files were copied.
    mine = weights.resolve(point, path=tmp_path / "mine")
    (tmp_path / "mine").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "node"))
    with pytest.raises(WeightsMissing, match=rf"Looked in: {tmp_path}/mine; .*copy them to {tmp_path}/node/weights/"):
        weights.by_digest(point, "path", mine.digest, mine.source)
    copy = tmp_path / "node" / "weights" / mine.digest
    copy.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").rename(copy)
    assert weights.by_digest(point, "path", mine.digest, mine.source).sha256 == mine.sha256
    (copy / "a.bin").write_bytes(b"another")
    with pytest.raises(WeightsInvalid, match=r"the path weights of this machine .* the job was made for"):
        weights.by_digest(point, "path", mine.digest)
    with pytest.raises(WeightsInvalid, match="bring both machines to the same revision and files"):
        weights.by_digest(point, "nano", "0" * 64)


def test_points_with_files_of_one_name_keep_them_apart(point: cards.Point, tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.bin").write_bytes(name.encode())
        tables.append({"url": f"file://{tmp_path}/{name}/model.bin"})
    found = [weights.resolve(replace(point, weights={"official": table}), "official") for table in tables]
    assert [item.file.read_bytes() for item in found] == [b"one", b"two"]


def test_a_url_without_a_digest_keeps_the_one_seen_first(point: cards.Point, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"first")
    bare = replace(point, weights={"official": {"url": f"file://{tmp_path}/model.bin"}})
    first = weights.resolve(bare, "official")
    first.file.write_bytes(b"spoilt here")
    with pytest.raises(WeightsInvalid, match="changed or cut short"):
        weights.resolve(bare, "official")
    first.file.unlink()
    (tmp_path / "model.bin").write_bytes(b"other")
    with pytest.raises(WeightsInvalid, match="gives another file than expected"):
        weights.resolve(bare, "official")
    (tmp_path / "model.bin").write_bytes(b"first")
    assert weights.resolve(bare, "official").digest == first.digest


def test_a_repository_whose_files_are_not_known_tells_the_cards_note(point: cards.Point) -> None:
    table = {"repo": "some/body", "note": "a pickle of unknown name. Give the file"}
    with pytest.raises(WeightsMissing, match=r"names of their files are not known.*some/body.*WEIGHTS=FOLDER.*unknown name"):
        weights.resolve(replace(point, weights={"official": table}), "official")
