"""Laws of the FocalCodec model: padding is invisible, blocks equal the whole, gradients flow, sizes are as published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.models.focalcodec import PRESETS, ConfigError, FocalCodec, FocalCodecConfig, scaled
from bench.models.focalcodec import attention as attention_module
from bench.models.focalcodec import wavlm as wavlm_module


@pytest.fixture(autouse=True)
def no_gradients(request: pytest.FixtureRequest) -> Iterator[None]:
    """Inference, except where gradients are the matter."""
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield


SMALL = {
    "conv_dim": 8,
    "dim": 32,
    "ffn_dim": 48,
    "num_heads": 4,
    "num_layers": 2,
    "hidden_dims": (24, 16, 12),
    "decoder_dim": 16,
    "decoder_ffn_dim": 24,
    "decoder_layers": 2,
    "conv_pos": 16,
    "conv_pos_groups": 4,
}


def small(name: str, seed: int = 0) -> FocalCodec:
    return FocalCodec.from_config(scaled(name, **SMALL), seed=seed).requires_grad_(False)


def signals(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [0.1 * torch.randn(size, generator=generator) for size in sizes]


@pytest.mark.parametrize("name", PRESETS)
def test_state_dict_and_counts_are_the_published_ones(reference: Path, name: str) -> None:
    manifest = json.loads((reference / "focalcodec" / "manifests" / f"focalcodec_{name}.json").read_text())
    with torch.device("meta"):
        codec = FocalCodec.from_config(name)
    found = {key: list(value.shape) for key, value in codec.state_dict().items()}
    assert found == {entry["name"]: entry["shape"] for entry in manifest["state_dict"]}
    for part, count in manifest["params_per_module"].items():
        assert sum(p.numel() for p in getattr(codec, part).parameters()) == count
    assert sum(p.numel() for p in codec.parameters()) == manifest["params_total"]
    assert codec.latency == manifest["latency_ms"]
    for key in ("sample_rate_input", "sample_rate_output", "causal", "chunk_size"):
        assert getattr(codec, key) == manifest[key]


@pytest.mark.parametrize("name", PRESETS)
def test_config_survives_its_json_form(reference: Path, name: str) -> None:
    manifest = json.loads((reference / "focalcodec" / "manifests" / f"focalcodec_{name}.json").read_text())
    assert FocalCodecConfig.from_dict(manifest["config"]) == PRESETS[name]
    assert FocalCodecConfig.from_dict(json.loads(json.dumps(PRESETS[name].to_dict()))) == PRESETS[name]


@pytest.mark.parametrize("name", ["50hz", "25hz", "12_5hz", "50hz_2k_causal"])
def test_padded_batch_equals_one_by_one(name: str) -> None:
    codec = small(name)
    waves = signals(1, 150, 399, 3333, 6401, 8000)
    lengths = torch.tensor([len(w) for w in waves])
    batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    # What lies in the padding must not matter.
    for row, size in zip(batch, lengths, strict=True):
        row[size:] = 0.5
    feats = codec.sig_to_feats(batch, lengths)
    frames = codec.sample_lengths_to_frames(lengths)
    lats = codec.feats_to_lats(feats, frames)
    tokens = codec.frame_lengths_to_tokens(frames)
    toks = codec.lats_to_toks(lats)
    rec = codec.toks_to_sig(toks, tokens)
    for i, wave in enumerate(waves):
        one = codec.sig_to_feats(wave[None])
        torch.testing.assert_close(feats[i, : frames[i]], one[0], rtol=0, atol=2e-5)
        assert codec.token_count(len(wave)) == tokens[i]
        alone = codec.sig_to_lats(wave[None])[0]
        torch.testing.assert_close(lats[i, : tokens[i]], alone, rtol=0, atol=5e-5)
        # A latent closer to 0 than that may fall on either side; such frames are few and not compared.
        clear = alone.abs().min(dim=-1).values > 5e-5
        assert clear.float().mean() > 0.8
        assert torch.equal(toks[i, : tokens[i]][clear], codec.lats_to_toks(alone)[clear])
        back = codec.toks_to_sig(toks[i : i + 1, : tokens[i]])[0]
        torch.testing.assert_close(rec[i, : len(back)], back, rtol=0, atol=1e-5)
        assert not rec[i, len(back) :].any()


@pytest.mark.parametrize("name", ["50hz", "50hz_2k_causal"])
def test_blocks_equal_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = small(name)
    sig = signals(16000 + 77)[0][None]
    with torch.inference_mode():
        whole = codec.sig_to_feats(sig)
        monkeypatch.setattr(attention_module, "BIAS_VALUES", 4 * 51 * 7)
        monkeypatch.setattr(attention_module, "FEWEST_QUERIES", 1)
        monkeypatch.setattr(wavlm_module, "FRONT_FRAMES", 6)
        torch.testing.assert_close(codec.sig_to_feats(sig), whole, rtol=0, atol=1e-5)


def test_gradients_reach_every_parameter_that_matters() -> None:
    codec = FocalCodec.from_config(scaled("25hz", **SMALL), seed=1).train()
    sig = torch.stack(signals(4000, 4000))
    lengths = torch.tensor([4000, 3000])
    frames = codec.sample_lengths_to_frames(lengths)
    tokens = codec.frame_lengths_to_tokens(frames)
    feats = codec.sig_to_feats(sig, lengths)
    lats = codec.feats_to_lats(feats, frames)
    codes = codec.quantizer.straight_through(lats)
    mask = torch.arange(lats.shape[1]) < tokens[:, None]
    wave = codec.feats_to_sig(codec.codes_to_qfeats(codes, tokens), tokens * 2)
    loss = wave.square().mean() + 0.1 * codec.quantizer.entropy_loss(lats, mask)
    loss.backward()
    assert [name for name, p in codec.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    # One frame a query sees no key but itself where the bias cannot matter; here it does.
    assert codec.encoder.encoder.relative_embedding.weight.grad.abs().sum() > 0


def test_straight_through_value_and_gradient() -> None:
    codec = small("50hz")
    lats = torch.nn.functional.normalize(torch.randn(2, 3, 13), dim=-1).requires_grad_()
    codes = codec.quantizer.straight_through(lats)
    torch.testing.assert_close(codes, codec.lats_to_codes(lats))
    codes.sum().backward()
    torch.testing.assert_close(lats.grad, torch.ones_like(lats))


def test_entropy_loss_of_certain_and_uniform_codes() -> None:
    quantizer = FocalCodec.from_config(scaled("50hz", **SMALL)).quantizer
    book = quantizer.codebook()
    # Every code once: each assignment is nearly certain, the mean is uniform over 2^13 codes.
    uniform = quantizer.entropy_loss(book[None])
    assert -13 * 0.6932 < uniform < -13 * 0.6 - 1
    # One code always: both entropies agree and cancel.
    torch.testing.assert_close(quantizer.entropy_loss(book[:1].repeat(5, 1)), torch.tensor(0.0), rtol=0, atol=1e-5)


def test_seed_fixes_the_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two = small("50hz", seed=4), small("50hz", seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    for left, right in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_config.unheard_of": 1}, "unheard_of"),
        ({"quantizer_config.codebook_size": 1000}, "power of two"),
        ({"compressor_config.output_dim": 12}, "compressor.output_dim"),
        ({"decoder_name": "MelGAN"}, "MelGAN.*Vocos, WaveNeXt, HiFiGAN"),
        ({"quantizer_name": "VQ"}, "VQ.*LookupFreeQuantizer"),
        ({"compressor_config.block": "mamba"}, "mamba.*conformer"),
        ({"decompressor_config.activation": "relu"}, "relu.*leaky_relu"),
        ({"encoder_config.num_heads": 5}, "num_heads"),
    ],
)
def test_bad_configs_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FocalCodec.from_config("50hz", change)


def test_bad_input_is_refused() -> None:
    codec = small("50hz")
    for sig in (torch.zeros(1, 0), torch.zeros(2, 1, 100), torch.zeros(100)):
        with pytest.raises(ValueError, match="N > 0"):
            codec.sig_to_toks(sig)
    with pytest.raises(ValueError, match="lengths"):
        codec.sig_to_toks(torch.zeros(2, 1000), torch.tensor([1000, 1001]))
    with pytest.raises(ValueError, match="8191"):
        codec.toks_to_sig(torch.tensor([[8192]]))
    with pytest.raises(ValueError, match="cannot stream"):
        codec.encode_chunk(torch.zeros(1, 1280))
