"""Weights in fewer bits: half a step off at most, rows that do not see each other, and float32 networks untouched."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bench.models.blocks import fast_linear as fast
from bench.models.blocks import stored
from bench.models.focalcodec import FocalCodec
from bench.models.focalcodec.presets import scaled
from bench.models.focalcodec.streaming import StreamDecoder, StreamEncoder


@pytest.fixture(autouse=True)
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "SMALLEST", 0)


def matrix(rows: int = 40, columns: int = 96) -> Tensor:
    made = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) * 0.05
    made[3] = 0
    made[4] *= 100
    return made


def small() -> FocalCodec:
    config = scaled(
        "50hz_4k_causal", conv_dim=16, dim=64, ffn_dim=128, num_heads=4, num_layers=2, hidden_dims=(64, 32, 32),
        decoder_dim=64, decoder_ffn_dim=96, decoder_layers=2, conv_pos=16, conv_pos_groups=4,
    )  # fmt: skip
    return FocalCodec.from_config(config, seed=3).requires_grad_(False)


def signal(samples: int = 16000) -> Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(1))


def test_int8_is_half_a_step_off_at_most() -> None:
    w = matrix()
    kept = stored.Int8.of(w)
    step = w.abs().amax(1) / 127
    assert torch.all((kept.matrix() - w).abs() <= step[:, None] * 0.5001)
    whole, scale = kept.unpacked()
    assert whole.dtype == torch.int8 and int(whole.abs().max()) == 127
    torch.testing.assert_close(scale[4], step[4])


def test_fp16_is_half_a_step_off_at_most() -> None:
    w = matrix()
    w[5] *= 1e-5  # below what float16 holds by itself in full: mel filters are that small
    kept = stored.Float16.of(w)
    half, scale = kept.unpacked()
    assert half.dtype == torch.float16 and torch.equal(torch.frexp(scale).mantissa, torch.full_like(scale, 0.5))
    most = half.float().abs().amax(1)
    assert torch.all((most == 0) | ((most >= 0.5) & (most <= 1)))
    assert torch.all((kept.matrix() - w).abs() <= w.abs() * 2**-11 + w.abs().amax(1, keepdim=True) * 2**-24)
    usual = (w.abs() >= 2**-14) & ((w / scale[:, None]).abs() >= 2**-14)
    assert int(usual.sum()) > 3000 and torch.equal(kept.matrix()[usual], w.half().float()[usual])


@pytest.mark.parametrize("precision", stored.PRECISIONS)
@pytest.mark.parametrize("fbgemm", [True, False])
def test_products_are_those_of_the_matrix_that_is_kept(precision: str, fbgemm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "FBGEMM", stored.FBGEMM and fbgemm)
    kept, bias = stored.PRECISIONS[precision].of(matrix()), torch.randn(40)
    x = torch.randn(2, 7, 96) * torch.logspace(-3, 3, 7)[:, None]
    x[0, 2] = 0
    wanted = nn.functional.linear(x.double(), kept.matrix().double(), bias.double())
    # The input of an int8 product is rounded to 1 / 7938 of its row's largest value.
    room = x.abs().amax(-1, keepdim=True) / stored.STEPS * 0.51 * kept.matrix().abs().sum(1) + 1e-5 * (1 + wanted.abs())
    assert torch.all((kept(x, bias) - wanted).abs() <= room)
    assert kept(x[:, :0], bias).shape == (2, 0, 40)
    nan = x[0].clone()
    nan[1, 5] = torch.nan
    assert bool(kept(nan, bias)[1].isnan().all()) and bool(kept(nan, bias)[0].isfinite().all())


@pytest.mark.skipif(not stored.FBGEMM, reason="no FBGEMM in this torch: the fallback rounds as matrix products do")
@pytest.mark.parametrize("precision", stored.PRECISIONS)
def test_a_row_alone_is_a_row_among_others(precision: str) -> None:
    kept, x = stored.PRECISIONS[precision].of(matrix()), torch.randn(50, 96)
    whole = kept(x, None)
    for first, last in ((0, 1), (3, 7), (0, 13), (20, 50)):
        assert torch.equal(kept(x[first:last], None), whole[first:last])


@pytest.mark.parametrize("precision", stored.PRECISIONS)
def test_layers_keep_the_precision_alone_and_can_be_copied_and_moved(precision: str) -> None:
    layers = [
        (fast.Linear(24, 40), torch.randn(1, 9, 24)), (fast.PatchConv1d(6, 16, 3, 2), torch.randn(2, 83, 6)),
        (fast.PatchTranspose1d(6, 16, 2, 2), torch.randn(2, 11, 6)),
        (fast.GroupedConv1d(12, 24, 7, groups=3), torch.randn(2, 50, 12)),
    ]  # fmt: skip
    with torch.no_grad():
        for layer, x in layers:
            exact = layer(x)
            fast.store(layer, precision)
            assert layer.weight is None and "weight" not in layer.state_dict()
            found = layer(x)
            assert 0 < float((found - exact).abs().max()) < 0.02 * float(exact.abs().max())
            assert torch.equal(copy.deepcopy(layer)(x), found) and torch.equal(layer.to("cpu")(x), found)
            with pytest.raises(ValueError, match="cannot be trained"):
                layer.train()


@pytest.mark.parametrize("precision", stored.PRECISIONS)
def test_chunks_equal_the_whole(precision: str) -> None:
    codec, sig = small(), signal()
    fast.store(codec, precision)
    with torch.inference_mode():
        toks = codec.sig_to_toks(sig)
        wave = codec.toks_to_sig(toks)
    encoder, decoder = StreamEncoder(codec), StreamDecoder(codec)
    pieces = [encoder.push(piece) for piece in sig.split(1700, dim=1)] + [encoder.flush()]
    assert torch.equal(torch.cat(pieces, dim=1), toks)
    waves = [decoder.push(piece) for piece in toks.split(3, dim=1)] + [decoder.flush()]
    torch.testing.assert_close(torch.cat(waves, dim=1), wave, rtol=1e-4, atol=1e-5)


def test_a_network_in_float32_is_untouched_by_its_copy_in_fewer_bits() -> None:
    codec, sig = small(), signal()
    with torch.inference_mode():
        before = codec(sig)
        for precision in stored.PRECISIONS:
            other = copy.deepcopy(codec)
            fast.store(other, precision)
            found = other(sig)
            assert not torch.equal(found[2], before[2]) and float((found[0] == before[0]).float().mean()) > 0.5
            for one, two in zip(codec(sig), before, strict=True):
                assert torch.equal(one, two)
    assert all(layer.weight is not None and not layer.stored for layer in fast.layers_of(codec))


def test_two_streams_go_on_from_one_state() -> None:
    """A state is never written again, though long pasts are kept in place."""
    codec = small()
    with torch.inference_mode():
        state, first = None, signal(1280 * 60)
        for piece in first.split(1280, dim=1):
            _, state = codec.encode_chunk(piece, state)
        kept = [keys.clone() for keys, _ in state.encoder.cache]
        one, _ = codec.encode_chunk(signal(2560)[:, :1280], state)
        other, _ = codec.encode_chunk(signal(2560)[:, 1280:], state)
        again, _ = codec.encode_chunk(signal(2560)[:, :1280], state)
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert all(torch.equal(keys, copied) for (keys, _), copied in zip(state.encoder.cache, kept, strict=True))
    with torch.no_grad():
        outside, _ = codec.encode_chunk(signal(2560)[:, :1280], state)
    assert torch.equal(outside, one)


@pytest.mark.parametrize("precision", stored.PRECISIONS)
def test_layers_made_in_a_precision_are_those_brought_to_it_later(precision: str) -> None:
    def make() -> nn.ModuleList:
        torch.manual_seed(3)
        return nn.ModuleList([fast.Linear(256, 192), fast.Linear(8, 4), fast.PatchConv1d(64, 96, 8)])

    later = make()
    fast.store(later, precision)
    with fast.storing(precision):
        at_once = make()
    assert [bool(one.stored) for one in at_once] == [bool(one.stored) for one in later] and at_once[0].stored
    x = torch.randn(2, 16, 256)
    with torch.inference_mode():
        assert torch.equal(at_once[0](x), later[0](x))
        assert torch.equal(at_once[1](x[..., :8]), later[1](x[..., :8]))
        assert torch.equal(at_once[2](x[..., :64]), later[2](x[..., :64]))
    assert not make()[0].stored, "outside of the context weights stay as they are drawn"
