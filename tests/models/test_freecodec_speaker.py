"""Speaker encoders against the tools they stand for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from bench.models.freecodec.speaker import EcapaSpeaker, ResemblyzerSpeaker, enrol, raise_level, trim_silence


@pytest.fixture(scope="module")
def resemblyzer() -> ResemblyzerSpeaker:
    return ResemblyzerSpeaker()


def test_same_vectors_as_the_package(reference: Path, resemblyzer: ResemblyzerSpeaker) -> None:
    import resemblyzer as package

    theirs = package.VoiceEncoder("cpu", verbose=False)
    for name in ("p233_127_ref", "p233_127_deg"):
        wave, _ = soundfile.read(reference / "secs" / f"{name}.wav", dtype="float32")
        for part in (wave, 0.05 * wave[5000:21000]):
            prepared = package.preprocess_wav(part)
            np.testing.assert_allclose(trim_silence(raise_level(part)), prepared, rtol=1e-5, atol=1e-7)
            expected = theirs.embed_utterance(prepared)
            np.testing.assert_allclose(resemblyzer.embed(part), expected, atol=1e-5)


def test_recorded_similarities(reference: Path, resemblyzer: ResemblyzerSpeaker) -> None:
    folder = reference / "secs"
    for name, expected in (("p233_127", 0.87464), ("7176-92135-0041", 0.94186)):
        pair = [soundfile.read(folder / f"{name}_{side}.wav", dtype="float32")[0] for side in ("ref", "deg")]
        score = float(np.dot(*(resemblyzer.embed(wave) for wave in pair)))
        assert score == pytest.approx(expected, abs=2e-5)
    assert json.loads((folder / "scores.json").read_text())


@pytest.mark.parametrize("samples", [1, 100, 479, 480, 3360, 20000])
def test_any_length_and_silence(resemblyzer: ResemblyzerSpeaker, samples: int) -> None:
    noise = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    assert np.linalg.norm(resemblyzer.embed(0.1 * noise)) == pytest.approx(1.0, abs=1e-5)
    assert not resemblyzer.embed(np.zeros(samples, np.float32)).any()


def test_ecapa_is_speechbrains(tmp_path: Path) -> None:
    from speechbrain.lobes.features import Fbank
    from speechbrain.processing.features import InputNormalization

    torch.manual_seed(0)
    encoder = EcapaSpeaker(channels=(8, 8, 8, 8, 24))
    wave = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    features = Fbank(n_mels=80)(torch.from_numpy(wave)[None])
    features = InputNormalization(norm_type="sentence", std_norm=False)(features, torch.ones(1))
    with torch.no_grad():
        expected = encoder.network(features)[0, 0].numpy()
    np.testing.assert_allclose(encoder.embed(wave), expected, atol=1e-4)
    torch.save(encoder.network.state_dict(), tmp_path / "embedding_model.ckpt")
    again = EcapaSpeaker(tmp_path / "embedding_model.ckpt", channels=(8, 8, 8, 8, 24))
    assert np.array_equal(again.embed(wave), encoder.embed(wave))
    assert encoder.embed(wave[:3]).shape == (192,)
    with pytest.raises(ValueError, match="does not hold a 192-d ECAPA-TDNN"):
        EcapaSpeaker(tmp_path / "embedding_model.ckpt", channels=(16, 8, 8, 8, 24))


def test_size_of_the_published_ecapa() -> None:
    with torch.device("meta"):
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

        network = ECAPA_TDNN(80, lin_neurons=192, channels=[1024, 1024, 1024, 1024, 3072])
    assert sum(parameter.numel() for parameter in network.parameters()) == 20_767_552


def test_enrolment_is_the_mean_direction() -> None:
    class Fixed:
        dim = 2

        def embed(self, wave: np.ndarray) -> np.ndarray:
            return wave

    up, right = np.array([0.0, 4.0], np.float32), np.array([2.0, 0.0], np.float32)
    assert np.array_equal(enrol(Fixed(), [up]), up)
    np.testing.assert_allclose(enrol(Fixed(), [up, right]), 3 * np.array([1, 1]) / np.sqrt(2), rtol=1e-6)
    with pytest.raises(ValueError, match="at least one"):
        enrol(Fixed(), [])
