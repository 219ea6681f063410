"""A key changes with everything that a result depends on, and with nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import adapters, cards, definitions, metrics
from bench.data.noise import Mixture
from bench.engine import keys
from bench.engine import systems as planning
from bench.engine.keys import Keys
from bench.engine.plan import Line
from bench.engine.producers.conversion import Conversion
from bench.engine.producers.resynthesis import Resynthesis
from bench.metrics import Metric
from bench.speech import Dataset, Utterance
from bench.store import Store

STOI = metrics.find("stoi")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s.sqlite") as opened:
        yield opened


@pytest.fixture
def utterance(tmp_path: Path) -> Utterance:
    (tmp_path / "a.wav").write_bytes(b"audio")
    return Utterance("a", tmp_path / "a.wav", "speaker", text="one two")


def of(utterance: Utterance, store: Store, metric: Metric = STOI, codec: str = "mulaw", length: str = "zeros") -> list[str]:
    made = Keys([metric], store, length)
    producer = Conversion() if utterance.enrolment else Resynthesis()
    coded = made.wave(Line(planning.system(codec), producer), utterance)
    score = made.score(metric, utterance, made.reference(utterance), coded)
    return [made.spoken(utterance), coded, score, made.analysis(metric, coded, "en", decoded=True)]


def raised(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Raise the version of the definition `name`."""
    usual = definitions.get
    monkeypatch.setattr(Resynthesis, "version", "2" if name == "producer:resynthesis" else Resynthesis.version)
    monkeypatch.setattr(definitions, "get", lambda asked: replace(usual(asked), version="2") if asked == name else usual(asked))


def test_equal_inputs_give_equal_keys_and_each_stage_its_own(utterance: Utterance, store: Store) -> None:
    assert of(utterance, store) == of(utterance, store)
    assert len(set(of(utterance, store))) == 4


CHANGES: dict[str, tuple[Callable[[Utterance], Utterance], str]] = {
    "language": (lambda u: replace(u, language="de"), "0010"),
    "unaligned": (lambda u: replace(u, aligned=False), "0010"),
    "noise": (lambda u: replace(u, mix=Mixture("a", "pink", 3.0, 0)), "1111"),
    "id": (lambda u: replace(u, id="b"), "0000"),
    "speaker": (lambda u: replace(u, speaker="other"), "0000"),
    "text, unread": (lambda u: replace(u, text="three"), "0000"),
    "enrolment": (lambda u: replace(u, enrolment=(u.path,)), "0111"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_utterance_tells(utterance: Utterance, store: Store, change: str) -> None:
    """Which of (input, coded wave, score, analysis of the wave) change."""
    make, wanted = CHANGES[change]
    before, after = of(utterance, store), of(make(utterance), store)
    assert "".join(str(int(a != b)) for a, b in zip(before, after, strict=True)) == wanted


def test_a_text_counts_for_metrics_that_read_it(utterance: Utterance, store: Store) -> None:
    reader = replace(STOI, needs_text=True)
    texts = ["one two", "", None, "no text"]
    assert len({of(replace(utterance, text=text), store, reader)[2] for text in texts}) == 4


@pytest.mark.parametrize(
    ("name", "wanted"), [("audio", "1111"), ("lengths", "0011"), ("producer:resynthesis", "0111"), ("mixing", "0000")]
)
def test_versions_of_definitions(
    utterance: Utterance, store: Store, monkeypatch: pytest.MonkeyPatch, name: str, wanted: str
) -> None:
    before = of(utterance, store)
    raised(monkeypatch, name)
    assert "".join(str(int(a != b)) for a, b in zip(before, of(utterance, store), strict=True)) == wanted


def test_the_version_of_mixing_counts_where_there_is_a_mixture(
    utterance: Utterance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = replace(utterance, mix=Mixture("a", "pink", 3.0, 0))
    before = of(noisy, store)
    raised(monkeypatch, "mixing")
    assert not set(before) & set(of(noisy, store))


def test_versions_of_codecs_and_of_what_they_decode_with(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("opus@6", "codec2@3200", "random-codes", "mulaw")
    before = {name: planning.system(name).key for name in names}
    usual = definitions.adapter
    monkeypatch.setattr(
        definitions, "adapter", lambda name: replace(usual(name), version="2") if name == "codec2" else usual(name)
    )
    changed = {name for name in names if planning.system(name).key != before[name]}
    assert changed == {"codec2@3200", "random-codes"}


def test_a_system_is_its_settings_weights_and_kind_of_device() -> None:
    point = cards.resolve("opus@6")
    assert keys.system_key(point, "none", "cuda:0") == keys.system_key(point, "none", "cuda:1")
    others = [
        keys.system_key(point, "none"), keys.system_key(point, "abc"), keys.system_key(point, "none", "cuda"),
        keys.system_key(replace(point, settings={**point.settings, "bitrate": 1}), "none"),
        keys.system_key(replace(point, packages=("numpy",)), "none"),
    ]  # fmt: skip
    assert len(set(others)) == 5


def test_a_metric_is_its_version_packages_rate_and_weights(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "network.bin"
    file.write_bytes(b"one")
    held = replace(STOI, weights=lambda: [file])
    first = keys.metric_key(held, store)
    file.write_bytes(b"two")
    others = [
        first, keys.metric_key(held, store), keys.metric_key(STOI, store), keys.metric_key(replace(STOI, version="9"), store),
        keys.metric_key(replace(STOI, packages=("numpy",)), store), keys.metric_key(replace(STOI, rate_hz=8000), store),
    ]  # fmt: skip
    assert len(set(others)) == 6


def test_a_file_replaced_by_one_of_equal_size_and_time_is_noticed(utterance: Utterance, store: Store) -> None:
    before = of(utterance, store)
    old = utterance.path.stat()
    other = utterance.path.with_name("other.wav")
    other.write_bytes(b"AUDIO")
    os.utime(other, ns=(old.st_atime_ns, old.st_mtime_ns))
    other.replace(utterance.path)
    now = utterance.path.stat()
    assert (now.st_size, now.st_mtime_ns) == (old.st_size, old.st_mtime_ns)
    assert not set(before) & set(of(utterance, store))
    # Nor does it help to write into the file itself.
    moved = of(utterance, store)
    utterance.path.write_bytes(b"sound")
    os.utime(utterance.path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert not set(moved) & set(of(utterance, store))


def test_producers_bring_their_own_parts(utterance: Utterance, store: Store) -> None:
    made = Keys([], store)
    system = planning.system("mulaw").key
    several = [
        made.made("a", "1", system, ["x", "y"]), made.made("a", "2", system, ["x", "y"]), made.made("b", "1", system, ["x", "y"]),
        made.made("a", "1", system, ["xy"]), made.made("a", "1", system, ["x", None]), made.made("a", "1", system, ["x", ["y"]]),
    ]  # fmt: skip
    assert len(set(several)) == 6


def test_two_sets_with_other_audio_are_not_the_same(tmp_path: Path, store: Store) -> None:
    def made(folder: str, content: bytes) -> str:
        path = tmp_path / folder / "u.wav"
        path.parent.mkdir()
        path.write_bytes(content)
        return keys.audio_sha256(Dataset("clips", (Utterance("u", path, "s"),)), store)

    assert made("a", b"one") == made("b", b"one") != made("c", b"two")


def test_windows_give_the_same_keys_in_any_order(tmp_path: Path, store: Store) -> None:
    several = []
    for index in range(23):
        path = tmp_path / f"{index}.wav"
        path.write_bytes(bytes([index]))
        several.append(Utterance(str(index), path, "s"))
    wanted = [Keys([], store).spoken(u) for u in several]
    made = Keys([], store)
    windowed = []
    for start in range(0, len(several), 4):
        made.prepare(several[start : start + 4])
        windowed += [made.spoken(u) for u in several[start : start + 4]]
    assert windowed == wanted
    assert [made.spoken(u) for u in several] == wanted == [made.spoken(u) for u in several]
    assert [made.spoken(u) for u in several[::-1]] == wanted[::-1]


def test_every_adapter_and_part_has_a_version() -> None:
    found = {one.id: one for one in definitions.every()}
    assert {f"adapter:{name}" for name in adapters.targets()} <= set(found)
    assert {"audio", "mixing", "lengths", "usage", "probe", "producer:resynthesis", "producer:conversion"} <= set(found)
    assert {f"metric:{metric.name}" for metric in metrics.every()} <= set(found)
    assert all(one.version and len(one.code) == 16 for one in found.values())
