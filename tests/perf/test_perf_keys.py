"""Keys are made by the million: at most 20 microseconds each, and memory that does not grow with the data set."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from bench.engine import systems as planning
from bench.engine.keys import Keys
from bench.engine.plan import Line
from bench.engine.producers.resynthesis import Resynthesis
from bench.metrics import Column, Metric
from bench.speech import Dataset, Utterance
from bench.store import Store

UTTERANCES, CODECS, COLUMNS = 100_000, ("mulaw", "opus@6", "codec2@1200"), 5
MOST_S = 20e-6
WINDOW = 512


def metrics() -> list[Metric]:
    """Five synthetic metrics of one column; they borrow the place of a real one, which the keys look up."""
    names = ("stoi", "si_sdr", "pesq_wb", "pesq_nb", "snr")
    return [Metric(name, (Column(name, name),), lambda ref, deg: {}, needs_text=name == "snr") for name in names]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dataset, Store]]:
    """100,000 utterances with a file each (all of one content), their digests in the store."""
    folder = tmp_path_factory.mktemp("clips")
    several = []
    for index in range(UTTERANCES):
        path = folder / f"{index}.wav"
        if index % 30_000 == 0:  # a file has at most about 65,000 names
            first = folder / f"content{index}.wav"
            first.write_bytes(b"audio")
        os.link(first, path)
        several.append(Utterance(f"u{index}", path, f"s{index % 100}", text="some words that were said"))
    time.sleep(0.05)
    with Store(folder / "s.sqlite") as store:
        dataset = Dataset("many", tuple(several))
        for start in range(0, UTTERANCES, 5000):
            store.file_sha256([u.path for u in several[start : start + 5000]])
        yield dataset, store


def every_key(dataset: Dataset, store: Store) -> int:
    """Every key of a run, made as the runner makes them."""
    chosen = metrics()
    keys = Keys(chosen, store)
    lines = [Line(system, Resynthesis()) for system in planning.systems(CODECS)]
    count = 0
    for start in range(0, len(dataset), WINDOW):
        some = dataset.utterances[start : start + WINDOW]
        keys.prepare(some)
        for line in lines:
            for u in some:
                made, reference = keys.wave(line, u), keys.reference(u)
                count += 1 + len([keys.score(metric, u, reference, made) for metric in chosen])
    return count


@pytest.mark.benchmark(group="keys")
def test_a_key_takes_microseconds(listed: tuple[Dataset, Store], benchmark) -> None:
    dataset, store = listed
    start = time.process_time()
    count = benchmark.pedantic(every_key, args=(dataset, store), rounds=1, iterations=1)
    each = (time.process_time() - start) / count
    assert count == UTTERANCES * len(CODECS) * (COLUMNS + 1)
    benchmark.extra_info["us_per_key"] = 1e6 * each
    print(f"\n{count} keys, {1e6 * each:.1f} us each")
    assert each <= MOST_S


@pytest.mark.benchmark(group="keys")
def test_memory_is_flat(listed: tuple[Dataset, Store], benchmark) -> None:
    dataset, store = listed

    def peak(count: int) -> int:
        part = dataset.select(dataset.utterances[:count])
        tracemalloc.start()
        every_key(part, store)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2_000)
    small, large = peak(5_000), benchmark.pedantic(peak, args=(25_000,), rounds=1, iterations=1)
    print(f"\npeak {small / 2**20:.1f} MiB for 5,000 utterances, {large / 2**20:.1f} MiB for 25,000")
    assert large < small + 2**20
