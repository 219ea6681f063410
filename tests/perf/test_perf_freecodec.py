"""FreeCodec's speed, one thread: coding a clip of ten seconds, and one training step."""

from __future__ import annotations

import pytest
import torch

from bench.models.freecodec import NANO, NANO_WAVE, V1, FreeCodec, FreeCodecConfig, random_model, version

CONFIGS = {"nano": NANO, "nano-wave": NANO_WAVE, "paper": V1}
SECONDS = 10


pytestmark = pytest.mark.usefixtures("one_thread")


def config(name: str) -> FreeCodecConfig:
    return version(CONFIGS[name], "v2")


@pytest.mark.parametrize("name", CONFIGS)
def test_encode(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    model = random_model(config(name), seed=0)
    wave, speaker = 0.1 * torch.randn(1, 16000 * SECONDS), torch.rand(1, model.config.speaker_dim)
    benchmark.extra_info["audio_s"] = SECONDS
    streams = benchmark(model.encode, wave, speaker)
    assert streams.content.shape == (1, 50 * SECONDS)


@pytest.mark.parametrize("name", CONFIGS)
def test_decode(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    model = random_model(config(name), seed=0)
    wave, speaker = 0.1 * torch.randn(1, 16000 * SECONDS), torch.rand(1, model.config.speaker_dim)
    benchmark.extra_info["audio_s"] = SECONDS
    decoded = benchmark(model.decode, model.encode(wave, speaker))
    assert decoded.shape == wave.shape


@pytest.mark.parametrize("name", ["nano", "nano-wave"])
def test_training_step(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    model = FreeCodec(config(name)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    wave, speaker = 0.1 * torch.randn(8, 16000), torch.rand(8, model.config.speaker_dim)
    # the codebooks start by k-means at the first step, which is not what a step costs
    model(wave, speaker)

    def step() -> float:
        output = model(wave, speaker)
        loss = (output.wave - wave).abs().mean() + output.commitment["content"] + output.commitment["prosody"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    benchmark.extra_info["audio_s"] = 8
    assert benchmark(step) < float("inf")
