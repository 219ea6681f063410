"""FreeCodec in training: losses, gradients, augmentation, files."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.models.blocks.discriminators import MultiScaleSTFTDiscriminator, discriminator_loss
from bench.models.blocks.vq import Codebook, GroupVQ
from bench.models.freecodec import NANO_WAVE, FreeCodec, as_version, freeze, load, save, version
from bench.models.freecodec.augment import SpectrogramResize, resize_mel
from bench.models.freecodec.losses import ReconstructionLoss, content_loss, generator_losses

SMALL = dataclasses.replace(
    NANO_WAVE,
    channels=2,
    dim=16,
    content_codes=16,
    prosody_codes=2,
    prosody_hidden=8,
    speaker_dim=32,
    speaker_codes=8,
    transformer_layers=1,
    transformer_heads=2,
    transformer_hidden=32,
    convnext_blocks=1,
    convnext_hidden=32,
    teacher_dim=8,
)
SPECTRAL = dataclasses.replace(
    SMALL, coder="spectral", dim=32, spectral_dim=32, spectral_encoder_blocks=1, spectral_decoder_blocks=2
)


def tones(batch: int, samples: int) -> Tensor:
    """A little chord with a slow envelope for each item."""
    at = torch.arange(samples) / 16000
    waves = [
        0.1 * (1 + 0.5 * torch.sin(2 * math.pi * 3 * at)) * sum(torch.sin(2 * math.pi * f * (i + 2) * at) for f in (70, 190))
        for i in range(batch)
    ]
    return torch.stack(waves)


def touched(module: torch.nn.Module) -> set[str]:
    return {name for name, p in module.named_parameters() if p.grad is not None and float(p.grad.abs().sum()) > 0}


@pytest.mark.parametrize("config", [version(SMALL, "v2"), version(SPECTRAL, "v3")], ids=["wave-v2", "spectral-v3"])
def test_gradient_reaches_every_weight_through_every_loss(config: object) -> None:
    torch.manual_seed(0)
    model = FreeCodec(config)  # type: ignore[arg-type]
    model.train()
    wave, speaker = tones(2, 4800), torch.rand(2, 32)
    reconstruction = ReconstructionLoss()
    judge = MultiScaleSTFTDiscriminator(n_ffts=(512,), filters=2)
    output = model(wave, speaker)
    judgements = (judge(wave[:, None]), judge(output.wave[:, None]))
    losses = generator_losses(output, wave, reconstruction, torch.randn(2, 14, 8), judgements)
    assert set(losses) == {"wave", "mel_scales", "mel", "commitment", "content", "adversarial", "features"}
    everywhere = {name for name, _ in model.named_parameters() if not name.startswith("teacher_head")}
    for name in ("wave", "mel_scales", "mel", "adversarial", "features"):
        model.zero_grad()
        losses[name].backward(retain_graph=True)
        missed = everywhere - touched(model)
        assert not missed, f"{name} leaves {sorted(missed)[:5]} without gradient"
    model.zero_grad()
    losses["commitment"].backward(retain_graph=True)
    assert {name.split(".")[0] for name in touched(model)} == {"content_encoder", "prosody_encoder"}
    model.zero_grad()
    losses["content"].backward()
    reached = {"content_encoder", "teacher_head"}
    at_decoder = model.config.content_loss_at == "decoder"
    assert {name.split(".")[0] for name in touched(model)} == reached | ({"fusion"} if at_decoder else set())


@pytest.mark.parametrize("coder", ["wave", "spectral"])
def test_a_few_steps_lower_the_loss(coder: str) -> None:
    torch.manual_seed(0)
    model = FreeCodec(version(SMALL if coder == "wave" else SPECTRAL, "v2"))
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, betas=(0.5, 0.9))
    reconstruction = ReconstructionLoss(windows=(256, 1024))
    wave, speaker, teacher = tones(2, 3200), torch.rand(2, 32), torch.randn(2, 10, 8)
    history = []
    for _ in range(30):
        losses = generator_losses(model(wave, speaker), wave, reconstruction, teacher)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(float(total.detach()))
    assert sum(history[-3:]) / 3 < 0.7 * sum(history[:3]) / 3


def test_discriminator_learns_to_tell() -> None:
    torch.manual_seed(0)
    judge = MultiScaleSTFTDiscriminator(n_ffts=(512,), filters=2)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-2)
    real, fake = tones(2, 4800)[:, None], 0.1 * torch.randn(2, 1, 4800)
    history = []
    for _ in range(10):
        loss = discriminator_loss(judge(real), judge(fake))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    assert history[-1] < history[0]


def test_content_loss_forms() -> None:
    features = torch.randn(2, 20, 5)
    assert float(content_loss(features, features)) == pytest.approx(0.0, abs=1e-6)
    assert float(content_loss(features, -features)) == pytest.approx(2.0, abs=1e-6)
    assert float(content_loss(features, features, "log-sigmoid")) == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-6)
    # cosine over time: the scale of a whole feature dimension does not matter, its course does
    assert float(content_loss(features * torch.rand(5).add(0.1), features)) == pytest.approx(0.0, abs=1e-6)
    assert float(content_loss(features.flip(1), features)) > 0.1
    # a teacher with a frame less is compared over the common frames
    assert float(content_loss(features, features[:, :19])) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="predicts 5 features, the teacher has 4"):
        content_loss(features, features[..., :4])
    with pytest.raises(ValueError, match="cosine and log-sigmoid"):
        content_loss(features, features, "l2")  # type: ignore[arg-type]


def test_unquantized_speaker_on_demand_serves_v1_and_v2_in_one_run() -> None:
    torch.manual_seed(0)
    both = FreeCodec(version(SPECTRAL, "v2"))
    wave, speaker = tones(2, 4800), torch.rand(2, 32)
    both.train()
    both(wave, speaker)
    first = as_version(both, "v1").eval()
    both.eval()
    plain = both(wave, speaker, quantize_speaker=False).wave
    assert torch.equal(plain, first(wave, speaker).wave)
    quantized = both(wave, speaker).wave
    mixed = both(wave, speaker, quantize_speaker=torch.tensor([True, False])).wave
    assert not torch.equal(plain, quantized)
    torch.testing.assert_close(mixed, torch.stack([quantized[0], plain[1]]))


def test_augmented_input_is_heard_and_the_target_stays() -> None:
    model = FreeCodec(version(SPECTRAL, "v3")).eval()
    wave, speaker = tones(1, 4800), torch.rand(1, 32)
    other = SpectrogramResize()(wave, heights=[68])
    assert torch.equal(model(wave, speaker, augmented=other).wave, model(other, speaker).wave)


def test_resize_moves_formants_and_keeps_length_and_pitch() -> None:
    torch.manual_seed(0)
    # harmonics of 100 Hz under one broad formant at 1500 Hz
    at, harmonics = torch.arange(16000) / 16000, torch.arange(1, 60) * 100.0
    amplitude = torch.exp(-(((harmonics - 1500) / 400) ** 2)) + 1e-3
    wave = 0.05 * (amplitude[:, None] * torch.sin(2 * math.pi * harmonics[:, None] * at)).sum(0, keepdim=True)
    resize = SpectrogramResize()

    def centre(x: Tensor) -> float:
        power = torch.fft.rfft(x[0, 2000:14000]).abs().square()
        bins = torch.fft.rfftfreq(12000, 1 / 16000)
        return float((bins * power).sum() / power.sum())

    same, up, down = (resize(wave, heights=[height]) for height in (80, 92, 68))
    assert same.shape == up.shape == wave.shape
    torch.testing.assert_close(same, wave, rtol=0, atol=1e-4)
    assert centre(down) < 0.95 * centre(wave) < centre(wave) < 0.95 * centre(up)
    for moved in (up, down):
        # every strong line still lies on a multiple of 100 Hz (12000 samples: bins of 4/3 Hz, 75 bins apart)
        power = torch.fft.rfft(moved[0, 2000:14000]).abs().square()
        lines = power[::75].sum() + power[1::75].sum() + power[74::75].sum()
        assert float(lines / power.sum()) > 0.98


def test_resize_mel_rules() -> None:
    mel = torch.arange(80.0)[:, None].repeat(1, 3)
    assert torch.equal(resize_mel(mel, 80), mel)
    up = resize_mel(mel, 92)
    assert up.shape == (80, 3) and float(up.max()) < 71
    down = resize_mel(mel, 68, torch.Generator().manual_seed(0))
    assert down.shape == (80, 3)
    assert float((down[68:] - down[67]).std()) == pytest.approx(0.1, rel=0.35)


def test_resize_with_a_vocoder_hands_it_the_resized_mel() -> None:
    seen = []

    def vocoder(mel: Tensor) -> Tensor:
        seen.append(mel.shape)
        return torch.ones(1, 100)

    out = SpectrogramResize(vocoder=vocoder)(tones(2, 4800), heights=[70, 90])
    assert seen == [(1, 80, 19), (1, 80, 19)]
    assert out.shape == (2, 4800) and float(out.sum()) == 200.0


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_file_keeps_the_codes(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = FreeCodec(version(SMALL, name))
    wave, speaker = tones(2, 4800), torch.rand(2, 32)
    model.train()
    model(wave, speaker)
    save(model, tmp_path / "exact.safetensors", half=False, facts={"data": "tones"})
    save(model, tmp_path / "half.safetensors")
    model.eval()
    exact, half = load(tmp_path / "exact.safetensors"), load(tmp_path / "half.safetensors")
    streams = model.encode(wave, speaker)
    assert torch.equal(exact.encode(wave, speaker).content, streams.content)
    torch.testing.assert_close(exact.decode(streams), model.decode(streams), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(half.decode(streams), model.decode(streams), rtol=0, atol=0.02)
    assert exact.config == model.config and not exact.training
    again = load(tmp_path / "half.safetensors", train=True)
    assert again.training and as_version(again, "v3").config.resize_augmentation
    with pytest.raises(ValueError, match="frozen"):
        as_version(half, "v1")


def test_bad_files_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(ValueError, match=r"bare\.safetensors: no FreeCodec configuration"):
        load(tmp_path / "bare.safetensors")
    save(FreeCodec(SPECTRAL), tmp_path / "good.safetensors")
    tensors = {"fusion.norm.weight": torch.zeros(3)}
    import json

    save_file(tensors, tmp_path / "few.safetensors", metadata={"config": json.dumps(SPECTRAL.to_dict())})
    with pytest.raises(ValueError, match=r"few\.safetensors: missing tensors"):
        load(tmp_path / "few.safetensors")


def test_folding_weight_norm_changes_nothing() -> None:
    torch.manual_seed(0)
    model = FreeCodec(SMALL).eval()
    wave, speaker = tones(1, 4800), torch.rand(1, 32)
    before = model(wave, speaker).wave
    torch.testing.assert_close(freeze(model)(wave, speaker).wave, before, rtol=1e-4, atol=1e-6)


def test_codebook_follows_its_inputs() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    book = Codebook(4, 2, decay=0.5)
    book.train()
    for _ in range(8):
        _, indices, commitment = book.quantize(centres.repeat(16, 1) + 0.05 * torch.randn(64, 2))
    assert float(commitment) < 0.1 or len(indices.unique()) < 4
    # the first updates do not shrink the codes
    assert float(book.embed.abs().max()) > 3.5


def test_unused_codes_are_renewed_only_when_asked() -> None:
    torch.manual_seed(0)
    for renew_below, alive in ((0.0, 1), (0.5, 2)):
        book = Codebook(2, 1, decay=0.5, renew_below=renew_below)
        book.train()
        book.embed.copy_(torch.tensor([[0.0], [100.0]]))
        book.embed_avg.copy_(book.embed)
        book.inited.fill_(1.0)
        for _ in range(20):
            _, indices, _ = book.quantize(torch.randn(64, 1))
        assert len(indices.unique()) == alive


def test_renewal_does_not_depend_on_the_size_of_the_batch() -> None:
    torch.manual_seed(0)
    for size in (64, 4096):
        book = Codebook(8, 2, decay=0.5, renew_below=0.1)
        book.train()
        book.fit(torch.randn(512, 2))
        before = book.embed.clone()
        book.quantize(before.repeat_interleave(size // 8, 0))
        # every code is used alike: none is below a tenth of the average
        torch.testing.assert_close(book.embed, before, rtol=1e-3, atol=1e-3)


def test_groups_are_quantized_apart() -> None:
    torch.manual_seed(0)
    books = GroupVQ(8, 4, 16)
    vectors = torch.randn(200, 8)
    books.fit(vectors)
    indices = books.nearest(vectors)
    assert indices.shape == (200, 4)
    changed = vectors.clone()
    changed[:, 2:4] += 10.0
    same = books.nearest(changed) == indices
    assert bool(same[:, [0, 2, 3]].all()) and not bool(same[:, 1].all())
    words = books.decode(indices)
    assert float((words - vectors).square().mean()) < 0.5 * float(vectors.square().mean())
    with pytest.raises(ValueError, match="7 equal groups"):
        GroupVQ(8, 7, 16)
