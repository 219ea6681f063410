"""Conversion: the trials of the papers, the algebra of the swap, what is scored against what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Packets, Tokens
from bench.columns import every_column
from bench.engine import systems as planning
from bench.engine.keys import Keys
from bench.engine.plan import Line
from bench.engine.producers import conversion
from bench.engine.producers.conversion import Conversion, NoConversion, convert, fitted, swap
from bench.engine.producers.resynthesis import Resynthesis
from bench.errors import BadAudio, BenchError
from bench.results import files
from bench.speech import Dataset, Utterance
from bench.stats.labels import system_labels
from bench.store import Store
from bench.tasks import trials, vc
from bench.tasks.columns import shown
from bench.tasks.options import Options


class Blocks(Codec):
    """Two codebooks of 256 over blocks of 160 samples: the mean's sign and size, so that a swap can be heard."""

    sample_rate, frame = 16000, 160

    def encode(self, waves: list[Wave]) -> list[Codes]:
        made = []
        for wave in waves:
            means = wave.reshape(-1, 160).mean(axis=1)
            indices = np.stack([means > 0, np.clip(np.abs(means) * 255, 0, 255)], axis=1).astype(int)
            made.append(Codes((Tokens("codes", 100.0, (2, 256), indices),), len(wave), 16000))
        return made

    def decode(self, codes: list[Codes]) -> list[Wave]:
        signed = (c.parts[0].indices @ [[2, 0], [0, 1]] - [1, 0] for c in codes)  # type: ignore[union-attr]
        return [np.repeat(s[:, 0] * s[:, 1] / 255, 160).astype(np.float32) for s in signed]


def tokens(indices: list[list[int]], size: int = 50, rate: float = 50.0, name: str = "codes") -> Tokens:
    return Tokens(name, rate, (size,) * len(indices[0]), np.array(indices))


def seconds(path: Path) -> float:
    return float(path.stem.rpartition("_")[2])


def parallel_set(speakers: int = 4, sentences: int = 3) -> Dataset:
    """Speaker s, sentence n, n seconds long: the last sentence is the longest."""
    return Dataset("toy", tuple(
        Utterance(f"s{s}_{n}", Path(f"/x/s{s}_{n}"), f"s{s}", f"text {n}", extra={"sentence": n, "parallel": True})
        for s in range(speakers) for n in range(1, sentences + 1)
    ))  # fmt: skip


def test_chain_of_speakers() -> None:
    made = trials.chain(parallel_set(), seconds)
    assert len(made.dataset) == 3 * 3 and made.parallel
    for trial in made.trials.values():
        source, target = trial.source.speaker, trial.speaker
        assert int(target[1]) == int(source[1]) + 1
        sentence = trial.source.extra["sentence"]
        assert trial.target.name == f"{target}_{sentence}"
        assert trial.enrolment.name == f"{target}_{2 if sentence == 3 else 3}", "the longest other one"
        assert trial.impostor is not None
        assert trial.impostor.name[:2] not in (source, target) and trial.impostor.name.endswith(str(sentence))


def test_chain_leaves_out_who_cannot_be_enrolled() -> None:
    whole = parallel_set(speakers=3)
    some = whole.select([u for u in whole if u.speaker != "s1" or u.extra["sentence"] == 1])
    pairs = {(t.source.speaker, t.speaker) for t in trials.chain(some, seconds).trials.values()}
    assert pairs == {("s0", "s2")}
    with pytest.raises(BenchError, match="no sentence is read by two speakers"):
        trials.chain(whole.select([u for u in whole if u.speaker == "s0"]), seconds)


def test_embedded_sets() -> None:
    embedded = trials.make("embedded", "focalcodec", vc._seconds)
    assert len(embedded.dataset) == 2 * 27
    any_to_six = trials.make("embedded", "freecodec", vc._seconds)
    assert not any_to_six.parallel and 84 - 6 <= len(any_to_six.dataset) <= 84
    prompts = {t.target for t in any_to_six.trials.values()}
    assert not prompts & {t.source.path for t in any_to_six.trials.values()}
    targets = {t.speaker for t in any_to_six.trials.values()}
    assert len(targets) == 6
    assert all(t.speaker != t.source.speaker and t.target == t.enrolment for t in any_to_six.trials.values())


def test_a_recording_that_cannot_be_read_is_no_prompt_and_keeps_nobody_from_converting(tmp_path: Path) -> None:
    for speaker, samples in (("a", 1600), ("b", 3200)):
        (tmp_path / speaker).mkdir()
        soundfile.write(tmp_path / speaker / "short.wav", np.full(samples // 2, 0.1), 16000)
        soundfile.write(tmp_path / speaker / "long.wav", np.full(samples, 0.1), 16000)
        (tmp_path / speaker / "torn.wav").write_bytes(b"RIFF")
    made = vc.listed_trials(f"folder:{tmp_path}", "freecodec").trials.values()
    assert {trial.target.name for trial in made if trial.target} == {"long.wav"}
    assert any(trial.source.path.name == "torn.wav" for trial in made if trial.source.path), "it will count as failed"


def test_published_conversions(shared: Path) -> None:
    made = trials.make(f"published:{shared}/data/published/freecodec-demo#vc", "focalcodec", vc._seconds)
    assert not made.parallel and len(made.dataset) >= 15
    assert all(t.target.stem.endswith(t.id.rpartition("-")[2]) for t in made.trials.values())


def test_swap_takes_the_first_codebook_of_the_source() -> None:
    said = Codes((tokens([[1, 2, 3], [4, 5, 6]]), tokens([[9]], rate=0.0, name="level")), 640, 16000)
    voice = Codes((tokens([[10, 11, 12], [13, 14, 15], [16, 17, 18]]), tokens([[7]], rate=0.0, name="level")), 960, 16000)
    mixed = swap(said, voice)
    np.testing.assert_array_equal(mixed.parts[0].indices, [[1, 11, 12], [4, 14, 15]])  # type: ignore[union-attr]
    np.testing.assert_array_equal(mixed.parts[1].indices, [[9]])  # type: ignore[union-attr]
    assert mixed.num_samples == said.num_samples
    assert swap(said, said).to_bytes() == said.to_bytes()


def test_short_enrolment_goes_round() -> None:
    rows = np.arange(3, dtype=np.int32)[:, None]
    np.testing.assert_array_equal(fitted(rows, 8)[:, 0], [1, 2, 0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(fitted(rows, 2)[:, 0], [0, 1])
    np.testing.assert_array_equal(fitted(rows, 3), rows)
    with pytest.raises(BadAudio, match="too short"):
        fitted(rows[:0], 4)


def test_no_conversion_is_a_failure_of_its_own() -> None:
    one = Codes((tokens([[1]]),), 320, 16000)
    with pytest.raises(NoConversion, match="single codebook"):
        swap(one, one)
    packets = Codes((Packets("packets", 50.0, (b"ab",)),), 320, 16000)
    with pytest.raises(NoConversion, match="no tokens"):
        swap(packets, packets)


def test_codecs_own_way_goes_first() -> None:
    codec, wave = Blocks(), np.full(1000, 0.5, np.float32)
    swapped, method = convert(codec, -wave, [wave / 2])
    assert method == conversion.SWAP and len(swapped) == 1000
    np.testing.assert_allclose(swapped[:900], -0.25, atol=0.01)

    class Own(Blocks):
        def convert(self, source: Wave, enrolment: list[Wave]) -> Wave:
            return np.concatenate([source, *enrolment])

    own, method = convert(Own(), wave, [wave[:100]])
    assert method == conversion.OWN and len(own) == 1100


THREE = "embedded#parallel+af_alloy+af_heart+am_adam"


def test_enrolment_is_part_of_the_key(tmp_path: Path) -> None:
    made = trials.make(THREE, "focalcodec", vc._seconds)
    [system] = planning.systems(["codec2@1200"])
    first = made.dataset.utterances[0]
    other = replace(first, enrolment=(first.path,), id="other")
    converted, plain = Line(system, Conversion()), Line(system, Resynthesis())
    with Store(tmp_path / "s.sqlite") as store:
        keys = Keys((), store)
        assert len({keys.wave(converted, first), keys.wave(converted, other), keys.wave(plain, first)}) == 3
        assert keys.wave(converted, replace(first, id="again")) == keys.wave(converted, first)


def test_table_of_a_run(tmp_path: Path) -> None:
    """Roles, references and failures of a whole run."""
    columns = ("sim_resemblyzer", "sim_resemblyzer_to_source")
    wanted = Options(
        "vc", ("codec2@1200", "opus@6"), (THREE,), metrics=columns, workers=1,
        store=tmp_path / "s.sqlite", results=tmp_path / "results", quiet=True,
    )  # fmt: skip
    result = vc.run(wanted)
    assert result.code == 1, "opus converts nothing"
    rows = files.read(result.folders[0]).astype({"codec": str, "column": str, "failure": object})
    rows["label"] = system_labels(rows)
    table = rows.pivot_table(index="label", columns="column", values="value", aggfunc="mean", observed=True)
    assert set(rows["codec"]) == {"identity", "codec2@1200", "opus@6"}
    assert set(rows["label"]) == {
        "reference@target", "reference@source", "reference@impostor", "codec2@1200", "codec2@1200 (ceiling)",
        "opus@6", "opus@6 (ceiling)",
    }  # fmt: skip
    target, source = columns
    assert table.loc["reference@target", target] == pytest.approx(1.0, abs=1e-4)
    assert table.loc["reference@source", source] == pytest.approx(1.0, abs=1e-4)
    assert table.loc["reference@source", target] < 0.85 and table.loc["reference@impostor", target] < 0.85
    assert table.loc["reference@target", source] == pytest.approx(table.loc["reference@source", target], abs=1e-4)
    assert table.loc["codec2@1200 (ceiling)", target] > table.loc["codec2@1200 (ceiling)", source]
    assert table.loc["codec2@1200", "bitrate_nominal"] == pytest.approx(1.2)
    opus = rows[(rows["label"] == "opus@6") & (rows["column"] == target)]
    assert set(opus["failure"]) == {"no_conversion"} and len(opus) == 4
    assert rows["dataset_sha256"].nunique() == 1 and "|" not in "".join(rows["utterance"].astype(str))
    assert set(shown(rows)) >= set(columns)
    again = vc.run(wanted)
    key = ["codec", "role", "variant", "utterance", "column"]
    second = files.read(again.folders[0])
    pd.testing.assert_series_equal(
        rows.astype(dict.fromkeys(key, str)).set_index(key)["value"].sort_index(),
        second.astype(dict.fromkeys(key, str)).set_index(key)["value"].sort_index(),
    )


@pytest.mark.parametrize(
    ("name", "able"),
    [("focalcodec@50", True), ("freqcodec@4", True), ("freqcodec@0.5", False), ("codec2@1200", False), ("opus@6", False)],
)
def test_all_means_those_that_convert(name: str, able: bool) -> None:
    assert vc._converts(planning.system(name, want="random")) == able


def test_likeness_to_the_source_is_to_be_lost() -> None:
    known = every_column()
    assert known["sim_resemblyzer"].better == "higher" and known["sim_resemblyzer_to_source"].better == "lower"
    assert known["dwer_to_source"].better == "lower"
