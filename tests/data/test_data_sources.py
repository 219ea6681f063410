"""Names of data sets: the grammar, the lookup, the noisy variants."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import audio, data
from bench.data import Source, noise, places
from bench.errors import BenchError, DataMissing, UnknownName


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("embedded", Source("embedded")),
        ("librispeech#test-clean+test-other", Source("librispeech", None, ("test-clean", "test-other"))),
        ("librispeech:/data/x#dev-clean", Source("librispeech", Path("/data/x"), ("dev-clean",))),
        ("folder:/odd#name/wavs", Source("folder", Path("/odd#name/wavs"))),
        ("folder:/odd#name/wavs#a", Source("folder", Path("/odd#name/wavs"), ("a",))),
    ],
)
def test_grammar(text: str, expected: Source) -> None:
    assert Source.parse(text) == expected


def test_title_names_the_subsets_and_never_the_path() -> None:
    assert Source.parse("librispeech:/secret/place#test-clean").title() == "librispeech#test-clean"
    with pytest.raises(BenchError, match="has no name"):
        Source.parse(":/x")


def test_unknown_names_bring_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        data.load("librispech#test-clean")
    assert "librispeech" in caught.value.near
    with pytest.raises(UnknownName):
        data.load("embeded-noisy")


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench import data; [data.summary(name) for name in data.names()];"
        "print([m for m in ('torch', 'librosa', 'soundfile', 'scipy', 'pandas', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_has_a_loader_and_a_summary() -> None:
    for name in data.names():
        assert callable(data.module(name).load)
        assert len(data.summary(name)) > 20


@pytest.mark.parametrize("name", ["librispeech#test-clean", "vctk", "voicebank", "mls#polish", "minimls", "fsdd", "ravdess"])
def test_without_network_the_error_says_what_where_and_how(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with pytest.raises(DataMissing, match="BENCH_OFFLINE"):
        data.load(name)


@pytest.mark.parametrize("name", ["libri1mix", "libri2mix", "iemocap", "fleurs"])
def test_sets_that_cannot_be_downloaded_say_where_they_come_from(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"github\.com|sail\.usc\.edu|hub"):
        data.load(f"{name}:{tmp_path}")


def snr_db(noisy: np.ndarray, clean: np.ndarray) -> float:
    """SNR after undoing the common gain: the noise is what is left beside the projection on the clean wave."""
    gain = float(np.dot(noisy, clean) / np.dot(clean, clean))
    left = noisy - gain * clean
    return float(10 * np.log10(np.sum((gain * clean) ** 2) / np.sum(left**2)))


def test_noisy_speech_has_the_snr_it_says_and_the_clean_reference() -> None:
    clean = {u.id: u for u in data.load("embedded")}
    noisy = data.load("embedded-noisy")
    assert noisy.condition == "noisy"
    assert noisy.sha256 != data.load("embedded").sha256
    assert {u.extra["noise"] for u in noisy} == set(noise.MADE)
    assert all(0 <= u.extra["snr_db"] <= 20 for u in noisy)
    for u in noisy.utterances[::9]:
        wave, rate = u.read()
        reference, _ = u.read_reference()
        np.testing.assert_array_equal(reference, clean[u.id].read()[0])
        assert wave.shape == reference.shape
        assert wave.dtype == np.float32
        assert float(np.abs(wave).max()) <= 0.9901
        # Noise and speech correlate a little by chance, more so where the noise is another voice.
        assert abs(snr_db(wave, reference) - u.extra["snr_db"]) < 0.5, u.id
        assert rate == 16000


def test_a_mixture_depends_on_its_utterance_and_the_seed_alone() -> None:
    every, few = data.load("embedded-noisy"), data.load("embedded-noisy#am_puck")
    whole = {u.id: u for u in every}
    for u in few:
        assert repr(u.mix) == repr(whole[u.id].mix)
        np.testing.assert_array_equal(u.read()[0], whole[u.id].read()[0])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(u)).read()[0], u.read()[0])
    other = data.load("embedded-noisy#am_puck", seed=1)
    assert all(repr(a.mix) != repr(b.mix) for a, b in zip(few, other, strict=True))
    assert other.sha256 != few.sha256


def test_babble_never_has_the_speaker_in_it() -> None:
    for u in data.load("embedded-noisy"):
        if u.extra["noise"] == "babble":
            assert len(u.mix.files) == noise.VOICES
            assert all(path.parent.name != u.speaker for path in u.mix.files)


def test_recorded_noise_replaces_the_made_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    burst = np.concatenate([np.zeros(8000), 0.1 * rng.standard_normal(4000), np.zeros(8000)]).astype(np.float32)
    (tmp_path / "hiss").mkdir()
    audio.write(tmp_path / "hiss" / "a.wav", burst, 16000)
    noisy = data.load(f"embedded-noisy:{tmp_path}#am_puck")
    assert {u.extra["noise"] for u in noisy} == {"hiss"}
    assert tmp_path.name in noisy.name
    for u in noisy:
        # A short recording with silence around it still fills the utterance: no gaps, the SNR as stated.
        assert abs(snr_db(u.read()[0], u.read_reference()[0]) - u.extra["snr_db"]) < 0.5
        grain = u.mix.noise(16000, 16000).reshape(-1, 400)
        assert (np.abs(grain).max(axis=1) > 0).all()
    with pytest.raises(DataMissing, match="no noise recordings"):
        data.load(f"embedded-noisy:{tmp_path / 'nowhere'}")


def test_silence_stays_silence_under_noise() -> None:
    mix = noise.Mixture("x", "pink", 10.0, 0)
    np.testing.assert_array_equal(mix(np.zeros(100, np.float32), 16000), np.zeros(100, np.float32))


def test_another_package_can_add_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "targets", lambda: {**data.OWN, "mine": "bench.data.embedded"})
    assert len(data.load("mine#af_sky")) == 5


def test_local_names_what_lies_in_the_data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert places.local() == ["embedded"]
    (tmp_path / "LibriSpeech").mkdir()
    (tmp_path / "FSDD" / "recordings").mkdir(parents=True)
    assert places.local() == ["embedded", f"librispeech:{tmp_path}", f"fsdd:{tmp_path}"]


def test_the_description_of_a_mixture_changes_with_everything_that_changes_it_and_not_with_its_place(
    tmp_path: Path,
) -> None:
    """The engine keys stored results by this text."""
    for name, level in (("a", 0.1), ("b", 0.2)):
        audio.write(tmp_path / f"{name}.wav", np.full(1600, level, np.float32), 16000)
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / "a.wav"
    moved.write_bytes((tmp_path / "a.wav").read_bytes())
    base = noise.Mixture("x", "recording", 10.0, 0, (tmp_path / "a.wav",))
    others = [replace(base, id="y"), replace(base, kind="pink"), replace(base, snr_db=10.001), replace(base, seed=1),
              replace(base, files=(tmp_path / "b.wav",))]  # fmt: skip
    assert len({repr(mix) for mix in [base, *others]}) == 6
    assert repr(replace(base, files=(moved,))) == repr(base)
