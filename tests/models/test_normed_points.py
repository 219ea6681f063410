"""A 1 x 1 convolution and its norm as one product: the numbers of the two after one another."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.models.blocks import normed_points, seanet
from bench.models.blocks.normed_points import Points, moments, normed_sum
from bench.models.funcodec import PRESETS, FunCodec


def layers(inputs: int, outputs: int, groups: int, bias: bool = True) -> tuple[nn.Conv2d, nn.GroupNorm]:
    norm = nn.GroupNorm(1, outputs)
    nn.init.normal_(norm.weight, 1.0, 0.3)
    nn.init.normal_(norm.bias)
    return nn.Conv2d(inputs, outputs, 1, groups=groups, bias=bias), norm


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("offset", [0.0, 10.0])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_the_sum_of_two_equals_convolutions_and_norms(batch: int, offset: float, bias: bool) -> None:
    torch.manual_seed(0)
    (wide, wide_norm), (narrow, narrow_norm) = layers(16, 16, 8, bias), layers(8, 16, 4, bias)
    x, hidden = torch.randn(batch, 16, 9, 31) + offset, torch.randn(batch, 8, 9, 31) * 3 - offset
    expected = wide_norm(wide(x)) + narrow_norm(narrow(hidden))
    found = normed_sum(Points(wide, wide_norm, x), Points(narrow, narrow_norm, hidden), x.shape)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4 if offset else 1e-5)  # an offset is cancelled: 100 eps


def test_moments_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 2, 101)
    monkeypatch.setattr(normed_points, "CHUNK", 10)
    mean, covariance = moments(x)
    exact = x.double()
    torch.testing.assert_close(mean, exact.mean(-1), rtol=0, atol=1e-6)
    centred = exact - exact.mean(-1, keepdim=True)
    torch.testing.assert_close(covariance, centred @ centred.transpose(1, 2) / 101, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_the_codec_is_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = FunCodec(PRESETS["freqcodec_magphase_gr1_ds320"]).eval()
    for name, value in model.named_parameters():
        if ".norm." in name:
            value.add_(0.2 * torch.randn_like(value))
    waves = 0.1 * torch.randn(2, 8000)
    model.quantizer.spread(model.embed(waves)[0].reshape(-1, 128))
    outputs = []
    for large in (0, 1 << 60):
        monkeypatch.setattr(seanet, "LARGE", large)
        outputs.append((model.embed(waves)[0], model.encode(waves, 8)[0], model.reconstruct(waves, 8)))
    (folded, codes, wave), (plain, plain_codes, plain_wave) = outputs
    assert not torch.equal(folded, plain)  # another order of additions: both paths ran
    torch.testing.assert_close(folded, plain, rtol=0, atol=1e-5)
    assert torch.equal(codes, plain_codes)
    torch.testing.assert_close(wave, plain_wave, rtol=0, atol=1e-6)
