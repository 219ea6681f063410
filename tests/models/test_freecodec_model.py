"""FreeCodec's network: lengths, rates, independent streams, versions."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bench.models.freecodec import NANO, NANO_WAVE, V1, V2, V3, FreeCodec, FreeCodecConfig, random_model, version
from bench.models.freecodec.model import Streams

SMALL = dataclasses.replace(
    NANO_WAVE,
    channels=2,
    dim=16,
    content_codes=32,
    prosody_codes=16,
    prosody_hidden=8,
    speaker_dim=32,
    speaker_codes=16,
    transformer_layers=2,
    transformer_heads=2,
    transformer_hidden=32,
    convnext_blocks=2,
    convnext_hidden=32,
    attention_window=0,
    teacher_dim=8,
)
SPECTRAL = dataclasses.replace(SMALL, coder="spectral", spectral_dim=16, spectral_encoder_blocks=1, spectral_decoder_blocks=1)
CONFIGS = [
    pytest.param(version(SMALL, "v1"), id="wave-v1"),
    pytest.param(version(SMALL, "v2"), id="wave-v2"),
    pytest.param(version(SPECTRAL, "v2"), id="spectral-v2"),
    pytest.param(version(SPECTRAL, "v3"), id="spectral-v3"),
]


def clip(samples: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(batch, samples, generator=generator)


def voices(batch: int, config: FreeCodecConfig, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, config.speaker_dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("config", CONFIGS)
def test_lengths_and_rates(config: FreeCodecConfig) -> None:
    model = random_model(config, seed=1)
    for samples in (2240, 2241, 2559, 2560, 2561, 5119, 5120, 15999, 16000, 16320, 40007):
        streams = model.encode(clip(samples), voices(1, config))
        content, prosody = samples // 320, -(-(samples // 320) // 8)
        assert streams.content.shape == (1, content)
        assert streams.prosody.shape == (1, prosody)
        assert streams.speaker.shape == ((1, 8) if config.speaker_groups else (1, config.speaker_dim))
        assert model.decode(streams).shape == (1, 320 * content)


def test_rates_of_the_paper() -> None:
    assert (V1.hop, V1.content_rate_hz, V1.prosody_rate_hz) == (320, 50.0, 6.25)
    # one second: 50 content and ceil(50 / 8) = 7 prosody frames, the paper's 57 tokens
    streams = random_model(SMALL, seed=1).encode(clip(16000), voices(1, SMALL))
    assert streams.content.shape[1] + streams.prosody.shape[1] == 57


@pytest.mark.parametrize("config", CONFIGS)
def test_too_short_is_refused(config: FreeCodecConfig) -> None:
    with pytest.raises(ValueError, match="at least 2240 samples, got 2239"):
        random_model(config, seed=1).encode(clip(2239), voices(1, config))


@pytest.mark.parametrize("config", CONFIGS)
def test_codes_vary_and_batch_equals_one_by_one(config: FreeCodecConfig) -> None:
    model = random_model(config, seed=2)
    wave, speaker = clip(16000, batch=3), voices(3, config)
    together = model.encode(wave, speaker)
    decoded = model.decode(together)
    assert len(together.content.unique()) > 4
    assert len(together.prosody.unique()) > 2
    with torch.no_grad():
        latents = model.content_encoder(wave)
    nearest_two = torch.cdist(latents, model.content_book.embed).topk(2, largest=False).values
    # between two codes at the same distance rounding decides
    clear = nearest_two[..., 1] - nearest_two[..., 0] > 1e-3 * nearest_two[..., 0]
    assert float(clear.float().mean()) > 0.95
    for i in range(3):
        one = slice(i, i + 1)
        with torch.no_grad():
            torch.testing.assert_close(model.content_encoder(wave[one]), latents[one], rtol=1e-4, atol=2e-4)
        alone = model.encode(wave[one], speaker[one])
        assert torch.equal(alone.content[clear[one]], together.content[one][clear[one]])
        assert torch.equal(alone.prosody, together.prosody[one])
        assert torch.equal(alone.speaker, together.speaker[one])
        same = Streams(together.content[one], together.prosody[one], together.speaker[one])
        torch.testing.assert_close(model.decode(same), decoded[one], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
def test_streams_are_independent(config: FreeCodecConfig) -> None:
    model = random_model(config, seed=3)
    wave = clip(16000)
    one, other = (model.encode(wave, voices(1, config, seed)) for seed in (0, 1))
    assert torch.equal(one.content, other.content)
    assert torch.equal(one.prosody, other.prosody)
    assert not torch.equal(one.speaker, other.speaker)
    # and each of the three is heard
    base = model.decode(one)
    for changed in (
        Streams((one.content + 1) % config.content_codes, one.prosody, one.speaker),
        Streams(one.content, (one.prosody + 1) % config.prosody_codes, one.speaker),
        Streams(one.content, one.prosody, other.speaker),
    ):
        assert float((model.decode(changed) - base).abs().max()) > 1e-6


def test_the_context_knows_only_content() -> None:
    # what the content loss of v3 acts on must not reach prosody or speaker
    config = version(SMALL, "v3")
    model = FreeCodec(config)
    model.train()
    output = model(clip(16000, batch=2), voices(2, config).requires_grad_())
    output.teacher_guess.sum().backward()
    assert all(p.grad is None for p in model.prosody_encoder.parameters())
    assert all(p.grad is None for block in model.fusion.blocks for p in block.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.content_encoder.parameters())


def test_attention_window_bounds_what_a_frame_sees() -> None:
    config = dataclasses.replace(SPECTRAL, attention_window=4, transformer_layers=1)
    fusion = random_model(config, seed=4).fusion
    content = torch.randn(1, 40, config.dim, generator=torch.Generator().manual_seed(0))
    changed = content.clone()
    changed[:, 30] = -changed[:, 30]
    moved = (fusion.context(content) - fusion.context(changed)).abs().amax(-1)[0] > 1e-7
    assert moved.nonzero().squeeze(1).tolist() == list(range(26, 35))


def test_versions_differ_only_as_the_paper_says() -> None:
    assert FreeCodecConfig() == V1
    assert dataclasses.replace(V2, speaker_groups=0) == V1
    assert (V2.speaker_groups, V2.speaker_codes) == (8, 1024)
    assert dataclasses.replace(V3, content_loss_at="encoder", resize_augmentation=False) == V1
    with pytest.raises(ValueError, match="v1, v2 and v3, not 'v4'"):
        version(V1, "v4")


def test_parameter_counts() -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    with torch.device("meta"):
        model = FreeCodec(V1)
    assert count(model.content_encoder) == 14_691_488
    assert count(model.decoder) == 12_079_681
    assert count(model.prosody_encoder) == 6_922_752
    # the Transformer's closing LayerNorm is 512 of these
    assert count(model.fusion.transformer) + count(model.fusion.norm) == 3_159_040 + 512
    assert count(model.fusion.blocks) == 2_506_752
    assert count(model.teacher_head) == 263_168
    with torch.device("meta"):
        nano = FreeCodec(NANO)
    assert count(nano) < 16 * 2**20, "at a byte each, the weights must fit a file of 16 MiB"


def test_config_is_checked() -> None:
    assert FreeCodecConfig.from_dict(NANO.to_dict()) == NANO
    with pytest.raises(ValueError, match=r"unknown FreeCodec configuration key.*: chanels"):
        FreeCodecConfig.from_dict({"chanels": 8})
    for wrong in ({"coder": "mel"}, {"dim": 250}, {"speaker_groups": 7}, {"strides": (2, 4)}):
        with pytest.raises(ValueError):
            dataclasses.replace(V1, **wrong)
