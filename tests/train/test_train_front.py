"""The front end that is set by hand: convolutions, LayerNorms and GELUs that say a log-mel spectrogram, level included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.models.blocks.int8 import pack, unpack
from bench.models.focalcodec.config import EncoderConfig
from bench.models.focalcodec.wavlm import WavLM
from bench.train.front import start_as_log_mel, start_projection
from bench.train.losses import MelL1

CONFIG = EncoderConfig(
    hidden_dims=(256, 256, 80),
    kernel_sizes=(400, 1, 2),
    strides=(160, 1, 2),
    num_layers=1,
    dim=48,
    ffn_dim=32,
    num_heads=2,
    num_buckets=8,
    conv_pos=4,
    conv_pos_groups=2,
)
MEL = MelL1(n_fft=512, hop=160, bands=20)


def speechlike(seed: int) -> Tensor:
    """Noise [60, 12880] with a moving colour and level."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(60, 12880, generator=rng)
    colour = torch.cumsum(noise, 1)
    colour = colour - torch.nn.functional.avg_pool1d(colour[:, None], 81, 1, 40)[:, 0]
    mix = torch.rand(60, 46, 1, generator=rng).expand(-1, -1, 280).flatten(1)
    level = 10 ** (-2.0 * torch.rand(60, 46, 1, generator=rng)).expand(-1, -1, 280).flatten(1)
    return 0.1 * level * (mix * noise + (1 - mix) * 0.3 * colour)


def target(waves: Tensor) -> Tensor:
    mel = MEL.log_mel(waves)[..., 1:79].transpose(1, 2)
    return (mel.reshape(len(waves), 39, 40) + 6) / 2


@pytest.fixture(scope="module")
def encoder() -> WavLM:
    torch.manual_seed(0)
    made = WavLM(CONFIG)
    waves = speechlike(0)
    start_as_log_mel(made, waves, target(waves))
    start_projection(made, waves, 40)
    return made


def said(encoder: WavLM, waves: Tensor) -> Tensor:
    with torch.no_grad():
        pairs = encoder.norm(encoder.feature_extractor(waves, None, None)[0])
    return pairs[..., :40] - pairs[..., 40:80]


def test_it_says_the_log_mel_of_other_sound(encoder: WavLM) -> None:
    waves = speechlike(1)
    wanted = target(waves)
    error = (said(encoder, waves)[:, :39] - wanted).abs().mean()
    assert error < 0.35 * (wanted - wanted.mean((0, 1))).abs().mean()


def test_level_passes_the_layer_norms(encoder: WavLM) -> None:
    waves = speechlike(2) * 0.5
    rise = (said(encoder, 2 * waves) - said(encoder, waves)).mean()
    assert float(rise) == pytest.approx(0.6931 / 2, rel=0.25)


def test_projection_starts_standardised(encoder: WavLM) -> None:
    with torch.no_grad():
        stem = encoder.feature_proj(encoder.norm(encoder.feature_extractor(speechlike(0), None, None)[0]))
    first = stem[..., :40].flatten(0, 1)
    torch.testing.assert_close(first.mean(0), torch.zeros(40), atol=0.02, rtol=0)
    torch.testing.assert_close(first.std(0), torch.ones(40), atol=0.05, rtol=0)


def test_eight_bits_hold_it(encoder: WavLM) -> None:
    waves = speechlike(1)
    before = said(encoder, waves)
    stored = unpack(pack(encoder.state_dict()))
    copy = WavLM(CONFIG)
    copy.load_state_dict({k: v.float() for k, v in stored.items()})
    change = (said(copy, waves) - before).abs().mean()
    assert change < 0.05 * (before - before.mean((0, 1))).abs().mean()
