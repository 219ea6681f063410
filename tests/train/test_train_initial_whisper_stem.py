"""The front end that is set, not trained: Whisper's log-mel and convolutions in WavLM's form, level included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.errors import BadCard
from bench.models.blocks.int8 import pack, unpack
from bench.models.focalcodec.config import EncoderConfig
from bench.models.focalcodec.wavlm import WavLM
from bench.train.initial.whisper_blocks import taught
from bench.train.initial.whisper_stem import KERNELS, PADDING, STRIDES, start_as_whisper_stem
from bench.train.whisper import WhisperEncoder

CONFIG = EncoderConfig(
    hidden_dims=(256, 256, 40, 26, 26, 48),
    kernel_sizes=KERNELS,
    strides=STRIDES,
    padding=PADDING,
    num_layers=1,
    dim=24,
    ffn_dim=32,
    num_heads=2,
    num_buckets=8,
    conv_pos=4,
    conv_pos_groups=2,
)


def speechlike(seed: int) -> Tensor:
    """Noise [60, 12880] with a moving colour and level."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(60, 12880, generator=rng)
    colour = torch.cumsum(noise, 1)
    colour = colour - torch.nn.functional.avg_pool1d(colour[:, None], 81, 1, 40)[:, 0]
    mix = torch.rand(60, 46, 1, generator=rng).expand(-1, -1, 280).flatten(1)
    level = 10 ** (-2.0 * torch.rand(60, 46, 1, generator=rng)).expand(-1, -1, 280).flatten(1)
    return 0.1 * level * (mix * noise + (1 - mix) * 0.3 * colour)


@pytest.fixture(scope="module")
def whisper() -> WhisperEncoder:
    torch.manual_seed(1)
    return WhisperEncoder(dim=24, heads=2, blocks=1, mels=20)


@pytest.fixture(scope="module")
def encoder(whisper: WhisperEncoder) -> WavLM:
    torch.manual_seed(0)
    made = WavLM(CONFIG)
    start_as_whisper_stem(made, speechlike(0), whisper)
    return made


def said(encoder: WavLM, waves: Tensor) -> Tensor:
    with torch.no_grad():
        return encoder.feature_proj(encoder.norm(encoder.feature_extractor(waves, None, None)[0]))


def test_it_says_what_whispers_stem_says_of_other_sound(encoder: WavLM, whisper: WhisperEncoder) -> None:
    waves = speechlike(1)
    wanted = taught(whisper, waves)[0]
    # The first and last frames differ by what lies beyond the ends: reflection there, zeros here.
    error = (said(encoder, waves)[:, 2 : wanted.shape[1] - 2] - wanted[:, 2:-2]).abs().mean()
    assert error < 0.2 * (wanted - wanted.mean((0, 1))).abs().mean()


def test_level_passes_the_layer_norms(encoder: WavLM, whisper: WhisperEncoder) -> None:
    waves = speechlike(2) * 0.5
    rise = said(encoder, 2 * waves) - said(encoder, waves)
    wanted = taught(whisper, 2 * waves)[0] - taught(whisper, waves)[0]
    assert float((rise[:, 2:38] * wanted[:, 2:38]).mean() / wanted[:, 2:38].square().mean()) == pytest.approx(1.0, abs=0.2)


def test_eight_bits_hold_it(encoder: WavLM) -> None:
    waves = speechlike(1)
    before = said(encoder, waves)
    stored = unpack(pack(encoder.state_dict()))
    copy = WavLM(CONFIG)
    copy.load_state_dict({k: v.float() for k, v in stored.items()})
    change = (said(copy, waves) - before).abs().mean()
    assert change < 0.05 * (before - before.mean((0, 1))).abs().mean()


def test_another_shape_is_refused(whisper: WhisperEncoder) -> None:
    with pytest.raises(BadCard, match="kernel_sizes"):
        start_as_whisper_stem(WavLM(EncoderConfig(num_layers=1, dim=48, num_heads=2)), speechlike(0), whisper)


def test_padding_gives_a_frame_for_every_started_320_samples(encoder: WavLM) -> None:
    for samples in (1, 319, 320, 321, 40_000):
        wave = torch.randn(1, samples)
        assert encoder.frame_count(samples) == encoder(wave)[0].shape[1] == -(-samples // 320)


def test_a_padded_batch_is_its_items(encoder: WavLM) -> None:
    waves = 0.1 * torch.randn(2, 40_000)
    lengths = torch.tensor([40_000, 9_999])
    waves[1, 9_999:] = 7.0  # what lies beyond an item's end must not matter
    with torch.no_grad():
        both = encoder(waves, lengths)[0]
        alone = encoder(waves[1:, :9_999])[0]
    torch.testing.assert_close(both[1:, : alone.shape[1]], alone, atol=2e-5, rtol=1e-4)
    assert not both[1, alone.shape[1] :].any()
