"""Laws of the training losses: zero for equal signals, blind or not to level as they say, alarmed by collapse."""

from __future__ import annotations

import numpy as np
import pystoi
import pytest
import scipy.signal
import torch

from bench.models.blocks.seanet import ResidualBlock
from bench.models.focalcodec.quantizer import BinarySphericalQuantizer, normalize
from bench.models.funcodec import FunCodec
from bench.train.freqcodec import config_of
from bench.train.initial.pca import start_as_pca
from bench.train.losses import WAVE_LOSSES, EnvelopeCorrelation, MelL1, MultiMelL1, WaveLosses, bit_spread


def _speechlike(seed: int) -> torch.Tensor:
    """2.5 s of noise under envelopes of a few hertz, other ones in every band [1, T]."""
    random = np.random.default_rng(seed)
    samples = np.arange(40000)
    wave = np.zeros(len(samples))
    for low in 150.0 * 2.0 ** np.arange(0, 5, 0.5):
        envelope = np.interp(samples, np.linspace(0, 40000, 26), random.uniform(0.02, 1.0, 26) ** 2)
        filtered = scipy.signal.butter(2, [low, low * 1.4], "bandpass", fs=16000, output="sos")
        wave += envelope * scipy.signal.sosfilt(filtered, random.standard_normal(len(samples)))
    return torch.from_numpy(wave[None]).float()


@pytest.mark.parametrize("loss", [MelL1(), MultiMelL1(16000, (256, 1024), (20, 80))], ids=["mel", "multimel"])
def test_spectral_distance_is_a_distance(loss: torch.nn.Module) -> None:
    torch.manual_seed(0)
    a, b = 0.1 * torch.randn(2, 8000), 0.1 * torch.randn(2, 8000)
    assert loss(a, a) == 0
    torch.testing.assert_close(loss(a, b), loss(b, a))
    assert loss(a, b) > 0.05


def test_mel_distance_of_a_gain_is_its_logarithm() -> None:
    torch.manual_seed(0)
    wave = 0.1 * torch.randn(1, 16000)
    assert float(MelL1()(wave, 2 * wave)) == pytest.approx(0.6931, abs=2e-3)


def test_gradient_reaches_the_decoded_side_only() -> None:
    real = (0.1 * torch.randn(1, 8000)).requires_grad_()
    fake = (0.1 * torch.randn(1, 8000)).requires_grad_()
    MelL1()(real, fake).backward()
    assert real.grad is None
    assert fake.grad is not None and torch.isfinite(fake.grad).all()


def test_silence_has_a_finite_gradient() -> None:
    fake = torch.zeros(1, 8000, requires_grad=True)
    MelL1()(torch.zeros(1, 8000), fake).backward()
    assert torch.isfinite(fake.grad).all()


def test_all_codewords_alike_have_no_spread_loss() -> None:
    quantizer = BinarySphericalQuantizer(6)
    corners = quantizer.codebook()
    assert float(bit_spread(corners)) == pytest.approx(0, abs=1e-6)
    assert float(quantizer.entropy_loss(corners, inverse_temperature=1000.0)) == pytest.approx(-6 * 0.6931, abs=1e-2)


def test_two_antipodal_codewords_are_a_collapse() -> None:
    one = normalize(torch.ones(1, 6))
    collapsed = torch.cat([one, -one]).repeat(10, 1)
    assert float(bit_spread(collapsed)) > 0.9
    assert float(bit_spread(one.repeat(10, 1))) > 0.9


def test_pca_start_carries_the_spectrum_through_embedding_and_decoder() -> None:
    torch.manual_seed(0)
    side = {"width": 64, "kernel_size": 3, "last_kernel_size": 3, "lstm_layers": 0}
    model = {
        "preset": "freqcodec_magphase_std_ds320",
        "ratios": [1, 2],
        "norm": "none",
        "dim": 48,
        "codebooks": 2,
        "encoder": side,
        "decoder": side,
    }
    codec = FunCodec(config_of(model))
    # Noise of changing colour and level: spectra that few components describe.
    steps = torch.rand(6, 1, 16).mul(2).repeat_interleave(1000, 2)
    noise = torch.randn(6, 1, 16000)
    brown = torch.cumsum(noise, 2)
    brown = 0.1 * (brown - torch.nn.functional.avg_pool1d(brown, 201, 1, 100))
    waves = (steps * noise + (2 - steps) * brown)[:, 0]

    @torch.no_grad()
    def missed() -> tuple[float, float]:
        """What a linear reading of the embedding misses of the log magnitudes, over the least possible; the decoder's L1."""
        embedding = codec.embed(waves)[0]
        planes = codec.decoder(embedding)
        real = codec.transform.analyse(codec.normalise(waves)[0])[:, :257].clamp_min(-6.9)
        said = torch.nn.functional.softplus(planes[..., : real.shape[-1]][:, :257]).clamp_min(1e-3).log()
        pairs = real[..., : real.shape[-1] // 2 * 2].transpose(1, 2).reshape(len(real), -1, 514)
        rows = embedding[:, : pairs.shape[1]].flatten(0, 1).double()
        target = pairs.flatten(0, 1).double()
        rows, target = rows - rows.mean(0), target - target.mean(0)
        left = target - rows @ torch.linalg.lstsq(rows, target).solution
        # What the best 48 directions would miss.
        least = torch.linalg.svdvals(target)[48:].square().sum()
        return float(left.square().sum() / least), float((said - real).abs().mean())

    before = missed()
    start_as_pca(codec, waves)
    variance, distance = missed()
    # Not 1: bins and frames weigh by how they are heard.
    assert variance < 1.25 and before[0] > 1.5
    assert distance < 0.75 < before[1]
    block = next(m for m in codec.modules() if isinstance(m, ResidualBlock))
    x = torch.randn(1, 64, 9)
    torch.testing.assert_close(block.shortcut(x), x)


def test_pca_start_refuses_networks_it_does_not_fit() -> None:
    with pytest.raises(ValueError, match="norm = 'none'"):
        start_as_pca(FunCodec(config_of({"preset": "freqcodec_magphase_std_ds320", "ratios": [1, 2]})), torch.randn(1, 16000))


def test_envelope_correlation_hears_envelopes_only() -> None:
    wave = _speechlike(seed=3)
    loss = EnvelopeCorrelation()
    assert float(loss(wave, wave)) == pytest.approx(0.0, abs=1e-5)
    assert float(loss(wave, -0.3 * wave)) == pytest.approx(0.0, abs=1e-3)
    flat = torch.randn(wave.shape, generator=torch.Generator().manual_seed(5)) * wave.std()
    assert float(loss(wave, flat)) > 0.7


def test_envelope_correlation_orders_noise_as_stoi_does() -> None:
    wave = _speechlike(seed=4)
    noise = torch.randn(wave.shape, generator=torch.Generator().manual_seed(6)) * wave.std()
    ours = [float(EnvelopeCorrelation()(wave, wave + g * noise)) for g in (0.1, 0.5, 2.0)]
    stoi = [pystoi.stoi(wave[0].numpy(), (wave + g * noise)[0].numpy(), 16000) for g in (0.1, 0.5, 2.0)]
    assert ours == sorted(ours) and stoi == sorted(stoi, reverse=True)
    for distance, score in zip(ours, stoi, strict=True):
        assert 1.0 - distance == pytest.approx(score, abs=0.08)


def test_wave_losses_count_what_has_a_weight() -> None:
    real, fake = _speechlike(seed=1), _speechlike(seed=2)
    assert WaveLosses(WAVE_LOSSES)(real, fake, None) == {}
    got = WaveLosses({**WAVE_LOSSES, "envelope": 2.0, "perceptual": 1.0})(real, fake, None)
    assert list(got) == ["envelope"]
    torch.testing.assert_close(got["envelope"], 2.0 * EnvelopeCorrelation()(real, fake))
