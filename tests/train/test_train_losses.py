"""Laws of the training losses: zero for equal signals, blind or not to level as they say, alarmed by collapse."""

from __future__ import annotations

import itertools

import pytest
import torch

from bench.models.focalcodec.quantizer import BinarySphericalQuantizer, normalize
from bench.models.funcodec import FunCodec
from bench.models.funcodec.seanet import ResidualBlock
from bench.train.freqcodec import config_of, start_linear
from bench.train.losses import MelL1, MultiMelL1, bit_spread, narrowness


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


def test_narrowness_counts_the_directions_that_hold_the_variance() -> None:
    grid = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)))
    assert float(narrowness(grid, 4)) == pytest.approx(0, abs=1e-6)
    assert float(narrowness(grid, 8)) == pytest.approx(0.125, abs=1e-6)
    assert float(narrowness(grid[:, :1].expand(-1, 4), 4)) == pytest.approx(0.75, abs=1e-5)
    # Uncorrelated, and yet one direction holds all but everything.
    assert float(narrowness(grid * torch.tensor([1.0, 1e-3, 1e-3, 1e-3]), 4)) == pytest.approx(0.75, abs=1e-4)
    assert float(narrowness(7 + 3 * grid, 4)) == pytest.approx(0, abs=1e-6)


def test_linear_start_says_the_average_spectrum() -> None:
    torch.manual_seed(0)
    side = {"width": 16, "kernel_size": 3, "last_kernel_size": 3, "lstm_layers": 0}
    model = {
        "preset": "freqcodec_magphase_std_ds320",
        "ratios": [1, 2],
        "norm": "none",
        "dim": 12,
        "codebooks": 2,
        "encoder": side,
        "decoder": side,
    }
    codec = FunCodec(config_of(model))
    brown = torch.cumsum(torch.randn(6, 16000), 1)
    waves = 0.1 * (brown - torch.nn.functional.avg_pool1d(brown[:, None], 201, 1, 100)[:, 0])

    @torch.no_grad()
    def missed() -> float:
        """L1 of mean log magnitudes."""
        planes = codec.decoder(codec.embed(waves)[0])
        said = torch.nn.functional.softplus(planes[:, :257]).clamp_min(1e-3).log().mean((0, 2))
        real = codec.transform.analyse(codec.normalise(waves)[0])[:, :257].clamp_min(-6.9).mean((0, 2))
        return float((said - real).abs().mean())

    before = missed()
    start_linear(codec, waves)
    assert before > 1.0 and missed() < 0.4
    block = next(m for m in codec.modules() if isinstance(m, ResidualBlock))
    x = torch.randn(1, 16, 9)
    torch.testing.assert_close(block.shortcut(x), x)
