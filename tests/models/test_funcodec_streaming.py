"""Causal FunCodec in chunks: equal to the whole, for any cutting."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.models.blocks.streaming import NotStreamable
from bench.models.funcodec import FunCodec, FunCodecConfig, Side
from bench.models.funcodec.streaming import StreamDecoder, StreamEncoder, streams

SIDE = Side(width=4, kernel_size=5, last_kernel_size=3, residual_layers=2, lstm_layers=1)
TIME = FunCodecConfig(
    dim=6, norm="weight_norm", causal=True, encoder=SIDE, decoder=SIDE, codebooks=3, codebook_size=8, dropout=()
)
FREQ = TIME.with_(domain="mag_phase", ratios=((4, 1), (4, 1), (4, 2), (4, 1)), normalise=False)


def network(config: FunCodecConfig) -> FunCodec:
    torch.manual_seed(7)
    model = FunCodec(config).eval()
    model.quantizer.load_stacked(torch.randn(config.codebooks, config.codebook_size, config.dim))
    return model


def cut(x: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """x cut along time into pieces of the given sizes, in turn."""
    pieces, at, turn = [], 0, 0
    while at < x.shape[-1]:
        size = sizes[turn % len(sizes)]
        pieces.append(x[..., at : at + size])
        at, turn = at + size, turn + 1
    return pieces


@pytest.mark.parametrize("config", [TIME, TIME.with_(normalise=False, norm="none"), FREQ], ids=["time", "none", "freq"])
@pytest.mark.parametrize("length", [1, 30, 257, 2001])
@pytest.mark.parametrize("sizes", [(1000, 1), (77, 400)], ids=str)
def test_chunked_equals_whole(config: FunCodecConfig, length: int, sizes: tuple[int, ...]) -> None:
    model = network(config)
    if length < model.transform.min_samples:
        encoder = StreamEncoder(model, scale=1.0)
        encoder.push(torch.randn(1, length))
        with pytest.raises(ValueError, match=f"{length} samples; the STFT needs at least 257"):
            encoder.flush()
        return
    torch.manual_seed(length)
    wave = torch.randn(1, length)
    with torch.no_grad():
        codes, scale = model.encode(wave)
        whole = model.decode(codes)
    encoder = StreamEncoder(model, scale=float(scale))
    parts = [encoder.push(piece) for piece in cut(wave, sizes)] + [encoder.flush()]
    assert torch.equal(torch.cat(parts, dim=-1), codes)
    decoder = StreamDecoder(model)
    waves = [decoder.push(piece) for piece in cut(codes, (1, 3, 2))] + [decoder.flush()]
    torch.testing.assert_close(torch.cat(waves, dim=-1), whole, rtol=1e-4, atol=1e-5)


def test_output_does_not_wait_for_the_end() -> None:
    model = network(TIME)
    encoder = StreamEncoder(model, scale=1.0)
    codes = encoder.push(torch.randn(1, 16000))
    assert codes.shape[-1] == 50  # nothing looks ahead
    decoder = StreamDecoder(model)
    out = decoder.push(codes)
    assert out.shape[-1] == 16000


def test_networks_that_need_the_whole_say_so() -> None:
    grouped = network(TIME.with_(norm="time_group_norm"))
    assert not streams(grouped)
    with pytest.raises(NotStreamable, match="GroupNorm over time needs the whole signal"):
        StreamDecoder(grouped)
    with pytest.raises(NotStreamable, match="causal=True"):
        StreamDecoder(network(TIME.with_(causal=False)))
    with pytest.raises(NotStreamable, match="give the scale"):
        StreamEncoder(network(TIME))
