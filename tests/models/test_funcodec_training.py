"""FunCodec in training: quantizer steps and losses against the authors' values, gradients, renewal, dropout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench.models.blocks.discriminators import MultiScaleSTFTDiscriminator, discriminator_loss
from bench.models.blocks.residual_vq import EMACodebook, ResidualVQ, kmeans
from bench.models.funcodec import PRESETS, FunCodec, FunCodecConfig, Side
from bench.models.funcodec.losses import LogSpectra, MultiSpectralLoss, generator_loss, pooled

NARROW = Side(width=8, kernel_size=3, last_kernel_size=3, dilation_base=1, lstm_layers=0, residual_layers=1)


def tiny(**changes: object) -> FunCodecConfig:
    return FunCodecConfig(
        domain="mag_phase",
        ratios=((4, 1), (4, 1), (4, 2), (4, 1)),
        dim=8,
        encoder=NARROW,
        decoder=NARROW,
        codebooks=4,
        codebook_size=16,
        dropout=(1, 2, 4),
    ).with_(**changes)


@pytest.mark.parametrize("commit_all", [True, False])
def test_one_training_step_of_the_quantizer(reference: Path, commit_all: bool) -> None:
    values = load_file(reference / "funcodec" / "rvq_train_step.safetensors")
    levels, size, dim = values["before.embed"].shape
    quantizer = ResidualVQ(levels, size, dim, commit_all=commit_all).train()
    quantizer.load_stacked(values["before.embed"], values["before.cluster_size"], values["before.embed_avg"])
    out = quantizer(values["x"].transpose(1, 2))
    assert torch.equal(out.indices, values["codes"].long())
    torch.testing.assert_close(out.words.transpose(1, 2), values["out"], rtol=0, atol=1e-6)
    torch.testing.assert_close(out.commitment[:, None], values["commit_losses"], rtol=1e-5, atol=1e-6)
    for name, tensor in quantizer.stacked().items():
        torch.testing.assert_close(tensor, values[f"after.{name}"], rtol=1e-5, atol=1e-6)


def test_gradient_passes_straight_through_and_commitment_reaches_the_encoder() -> None:
    torch.manual_seed(0)
    for commit_all in (True, False):
        quantizer = ResidualVQ(3, 8, 4, commit_all=commit_all, kmeans_start=False).train()
        x = torch.randn(2, 5, 4, requires_grad=True)
        out = quantizer(x)
        weight = torch.randn(2, 5, 4)
        (gradient,) = torch.autograd.grad((out.words * weight).sum(), x, retain_graph=True)
        torch.testing.assert_close(gradient, weight)
        (last,) = torch.autograd.grad(out.commitment[2], x, allow_unused=True)
        assert (last is not None and bool(last.abs().sum() > 0)) is commit_all


def test_dead_codes_are_renewed_and_stay_alive() -> None:
    torch.manual_seed(0)
    book = EMACodebook(16, 4, kmeans_start=False).train()
    far = torch.full((4, 4), 100.0)
    book.embed[:4] = far  # nothing will ever choose these four
    book.embed_avg[:4] = far * book.cluster_size[:4, None]
    for _ in range(400):
        book(torch.randn(64, 4))
    assert book.embed.abs().max() < 10
    book.eval()
    _, indices = book(torch.randn(4000, 4))
    assert indices.unique().numel() == 16


def test_kmeans_finds_separate_clouds() -> None:
    torch.manual_seed(1)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    cloud = (centres[:, None] + 0.1 * torch.randn(3, 50, 2)).reshape(-1, 2)
    # Random starts may put two means into one cloud; the best of several has one in each.
    errors = []
    for _ in range(8):
        means, counts = kmeans(cloud, 3, 20)
        assert counts.sum() == 150
        errors.append(torch.cdist(cloud, means).min(dim=1).values.mean().item())
    assert min(errors) < 0.2


def test_kmeans_starts_once_and_never_in_evaluation() -> None:
    torch.manual_seed(2)
    book = EMACodebook(4, 2)
    before = book.embed.clone()
    book.eval()(torch.randn(20, 2))
    assert torch.equal(book.embed, before) and not bool(book.inited)
    book.train()(torch.randn(20, 2) + 5)
    assert bool(book.inited) and bool((book.embed.mean(0) > 3).all())


def test_dropout_draws_only_the_listed_numbers() -> None:
    torch.manual_seed(3)
    quantizer = ResidualVQ(4, 8, 2, dropout=(1, 4), kmeans_start=False).train()
    seen = {int((quantizer(torch.randn(3, 2)).indices[:, 0] >= 0).sum()) for _ in range(30)}
    assert seen == {1, 4}
    assert quantizer.eval().encode(torch.randn(3, 2)).shape[0] == 4


@pytest.mark.parametrize("domain", ["time", "mag_phase", "mag_angle", "flat"])
def test_every_parameter_learns(domain: str) -> None:
    torch.manual_seed(4)
    changes: dict[str, object] = {"domain": domain}
    if domain == "time":
        changes |= {"ratios": (8, 5, 4, 2), "encoder": Side(width=4), "decoder": Side(width=4)}
    if domain == "flat":  # planes end to end, one-dimensional
        changes = {"domain": "mag_phase", "ratios": (1, 2)}
    model = FunCodec(tiny(**changes)).train()
    wave = 0.1 * torch.randn(2, 3200)
    out = model(wave)
    assert out.wave.shape[1] <= 3200
    length = out.wave.shape[1]
    loss = generator_loss(MultiSpectralLoss(), out.wave, wave[:, :length], out.commitment)
    loss.total.backward()
    assert torch.isfinite(loss.total)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_spectra_match_the_published_losses(reference: Path) -> None:
    values = load_file(reference / "funcodec" / "losses_multispectral.safetensors")
    a, b = values["a"][:, 0], values["b"][:, 0]
    for index in range(6):
        spectra = LogSpectra(2 ** (index + 5))
        (mel_a, power_a), (mel_b, power_b) = spectra(a), spectra(b)
        rows, columns = values[f"mel{index}.a_slice"].shape
        torch.testing.assert_close(mel_a[0, :rows, :columns], values[f"mel{index}.a_slice"], rtol=1e-5, atol=1e-5)
        for kind, x, y in (("mel", mel_a, mel_b), ("pow", power_a, power_b)):
            torch.testing.assert_close((x - y).abs().mean(), values[f"{kind}{index}.l1"], rtol=1e-5, atol=1e-6)
            torch.testing.assert_close((x - y).pow(2).mean(), values[f"{kind}{index}.l2"], rtol=1e-5, atol=1e-6)
    both = sum(float(values[f"{kind}{i}.{norm}"]) for kind in ("mel", "pow") for i in range(6) for norm in ("l1", "l2"))
    assert float(MultiSpectralLoss()(a, b)) == pytest.approx(0.5 * both / 6, rel=1e-5)
    mel = sum(float(values[f"mel{i}.{norm}"]) for i in range(6) for norm in ("l1", "l2"))
    assert float(MultiSpectralLoss(power=False)(a, b)) == pytest.approx(mel / 6, rel=1e-5)


def test_config_survives_json_and_refuses_what_it_does_not_know() -> None:
    import json

    for config in PRESETS.values():
        assert FunCodecConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    with pytest.raises(ValueError, match="unknown FunCodecConfig settings: depth"):
        FunCodecConfig.from_dict({"depth": 3})
    with pytest.raises(ValueError, match="leave 4 of 257 bins"):
        tiny(ratios=((4, 1), (4, 1), (4, 2)))


def test_discriminators_match_the_published_ones(reference: Path) -> None:
    folder = reference / "funcodec"
    state = load_file(folder / "tiny_encodec_ds320.state.safetensors")
    io = load_file(folder / "tiny_encodec_ds320.io.safetensors")
    model = MultiScaleSTFTDiscriminator(filters=4)
    own = {}
    for key, value in state.items():
        if not key.startswith("discriminator.") or "spec_transform" in key:
            continue
        _, _, _, _, index, *layer, inner = key.split(".")
        name = "post" if layer[0] == "conv_post" else "first" if layer[1] == "0" else f"layers.{int(layer[1]) - 1}"
        inner = inner.replace("weight_g", "parametrizations.weight.original0")
        own[f"discriminators.{index}.{name}.{inner.replace('weight_v', 'parametrizations.weight.original1')}"] = value
    model.load_state_dict(own)
    with torch.no_grad():
        judgement = pooled(model(io["disc.wave"]))
    for index in range(3):
        torch.testing.assert_close(judgement.logits[index], io[f"disc.{index}.logits_pooled"], rtol=0, atol=1e-5)
        last = judgement.features[index][-1][:, :, :8, :8]
        torch.testing.assert_close(last, io[f"disc.{index}.fmap_last"], rtol=0, atol=1e-5)
    assert len(judgement.features[0]) == 5


def test_discriminators_have_the_published_size() -> None:
    with torch.device("meta"):
        model = MultiScaleSTFTDiscriminator()
    assert sum(p.numel() for p in model.parameters()) == 283_398


def test_generator_loss_adds_its_parts_with_the_published_weights() -> None:
    torch.manual_seed(5)
    target, decoded = torch.randn(1, 4000), torch.randn(1, 4000, requires_grad=True)
    judge = MultiScaleSTFTDiscriminator(filters=2)
    real, fake = pooled(judge(target[:, None])), pooled(judge(decoded[:, None]))
    loss = generator_loss(MultiSpectralLoss(), decoded, target, torch.tensor([0.3, 0.1]), real=real, fake=fake)
    parts = loss.waveform + loss.spectra + loss.adversarial / 9 + 100 / 9 * loss.features + 0.2
    torch.testing.assert_close(loss.total, parts)
    assert loss.features > 0 and discriminator_loss(real, fake) > 0
