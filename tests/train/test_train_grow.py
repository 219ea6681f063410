"""A decoder that is made deeper, or hears its inputs less their means, says what it said before."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.models.funcodec import FunCodec
from bench.models.funcodec.config import FunCodecConfig, Side
from bench.train.initial.centring import Centred
from bench.train.initial.grow import deepen

CONFIG = FunCodecConfig(
    domain="mag_phase", ratios=(1, 2), dim=8, norm="none", encoder=Side(4, 3, 3, lstm_layers=0),
    decoder=Side(8, 3, 3, lstm_layers=0), codebooks=2, codebook_size=16, dropout=(1, 2),
)  # fmt: skip
DEEPER = CONFIG.with_(decoder=replace(CONFIG.decoder, residual_layers=3))


@pytest.fixture
def codec() -> FunCodec:
    torch.manual_seed(0)
    return FunCodec(CONFIG).eval()


def test_a_deeper_decoder_says_the_same_and_learns(codec: FunCodec) -> None:
    grown = deepen(codec, DEEPER).eval()
    assert grown.config == DEEPER
    wave, words = torch.randn(2, 6400), torch.randn(2, 20, 8)
    torch.testing.assert_close(grown.encode(wave)[0], codec.encode(wave)[0], rtol=0, atol=0)
    torch.testing.assert_close(grown.decoder(words), codec.decoder(words), rtol=0, atol=0)
    grown.decoder(words).square().mean().backward()
    stuck = [name for name, p in grown.decoder.named_parameters() if p.grad is None or not p.grad.any()]
    # What comes before a zero learns from the second step on.
    assert stuck and all(".block.1." in name for name in stuck)


def test_networks_that_differ_elsewhere_are_refused(codec: FunCodec) -> None:
    with pytest.raises(ValueError, match="the networks differ in dim, decoder"):
        deepen(codec, DEEPER.with_(dim=16, decoder=replace(DEEPER.decoder, width=16)))
    with pytest.raises(ValueError, match="layers that the new one lacks"):
        deepen(FunCodec(DEEPER), CONFIG)
    normed = CONFIG.with_(norm="time_group_norm")
    with pytest.raises(ValueError, match="time_group_norm"):
        deepen(FunCodec(normed), DEEPER.with_(norm="time_group_norm"))


def test_centred_layers_say_the_same_and_learn_without_the_offset(codec: FunCodec) -> None:
    decoder, words = codec.decoder, 4.0 + torch.randn(2, 50, 8)
    before = decoder(words)
    centred = Centred(decoder, lambda: decoder(words))
    assert len(centred.layers) == 8  # first, last, and three of each of the two residual blocks; none transposed
    torch.testing.assert_close(decoder(words), before, rtol=1e-4, atol=1e-4)

    # A gradient that is the same at all times is the bias's business alone.
    first, conv = decoder.model[0], decoder.get_submodule("model.0.conv.conv")
    weight, bias = torch.autograd.grad(first(words.transpose(1, 2)).sum(), [conv.weight, conv.bias])
    assert float(weight.abs().max()) < 0.05 * float(bias.abs().min())

    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    plain = FunCodec(CONFIG).eval().decoder
    plain.load_state_dict(centred.plain(decoder.state_dict()))
    torch.testing.assert_close(plain(words), decoder(words), rtol=1e-4, atol=1e-4)
    assert set(centred.state_dict()) == {f"mean{i}" for i in range(8)}
