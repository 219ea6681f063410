"""Semantic augmentation of a tiny FunCodec: the three equations, both kinds of input, gradients, learning."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bench.models.funcodec import FunCodec, FunCodecConfig, Side
from bench.models.funcodec.semantic import SemanticConfig, SemanticFunCodec

MODES = ("concat", "add", "residual")
SIDE = Side(width=4, kernel_size=3, last_kernel_size=3, lstm_layers=0)
CONFIG = FunCodecConfig(dim=8, encoder=SIDE, decoder=SIDE, codebooks=2, codebook_size=16, dropout=())


def build(mode: str, **options: int) -> SemanticFunCodec:
    torch.manual_seed(0)
    model = SemanticFunCodec(FunCodec(CONFIG), SemanticConfig(mode, **options)).eval()  # type: ignore[arg-type]
    model.codec.quantizer.load_stacked(torch.randn(2, 16, 8))
    return model


def inputs(length: int = 6400) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return 0.1 * torch.randn(1, length), torch.randint(86, (1, length // 160))


@pytest.mark.parametrize("mode", MODES)
def test_codes_and_labels_are_enough(mode: str) -> None:
    model, (wave, labels) = build(mode), inputs()
    with torch.no_grad():
        codes, scale = model.encode(wave, labels)
        decoded = model.decode(codes, labels, scale)
        whole = model(wave, labels)
    assert codes.shape == (2, 1, 20)
    torch.testing.assert_close(decoded[:, :6400], whole.wave)
    assert torch.equal(codes, whole.codes)
    other = model.decode(codes, (labels + 1) % 86, scale)
    assert not torch.allclose(other, decoded)


def test_the_equations() -> None:
    wave, labels = inputs()
    with torch.no_grad():
        for mode in ("add", "residual"):
            model = build(mode)
            out = model(wave, labels)
            s = model.semantic(labels, 20)
            quantizer = model.codec.quantizer
            entering = out.embedding - s if mode == "residual" else out.embedding
            codes = quantizer.encode(entering)
            assert torch.equal(codes, out.codes)
            torch.testing.assert_close(out.quantized, quantizer.decode(codes) + s)
        model = build("concat")
        out = model(wave, labels)
        both = torch.cat([model.semantic(labels, 20), model.codec.quantizer.decode(out.codes)], dim=2)
        assert model.join is not None
        torch.testing.assert_close(out.quantized, model.join(both.transpose(1, 2)).transpose(1, 2))


def test_posteriors_are_the_labels_they_favour() -> None:
    model, (wave, labels) = build("add"), inputs()
    posteriors = 0.9 * F.one_hot(labels, 86).float() + 0.001
    with torch.no_grad():
        torch.testing.assert_close(model(wave, posteriors).wave, model(wave, labels).wave)


@pytest.mark.parametrize("mode", MODES)
def test_every_parameter_learns_from_features_and_labels(mode: str) -> None:
    wave, labels = inputs()
    for model, semantic in ((build(mode), labels), (build(mode, features=5), torch.randn(1, 40, 5))):
        out = model.train()(wave, semantic)
        (F.l1_loss(out.wave, wave) + out.commitment.mean()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_lengths_near_fit_and_others_are_refused() -> None:
    model, (wave, labels) = build("residual"), inputs()
    with torch.no_grad():
        for length in (37, 40, 43):
            near = F.pad(labels, (0, max(0, length - 40)))[:, :length]
            assert model(wave, near).wave.shape == (1, 6400)
        with pytest.raises(ValueError, match="20 semantic frames for 20 frames of codes; expected about 40"):
            model(wave, labels[:, :20])
    with pytest.raises(ValueError, match=r"expected \[B, L, 5\]"):
        build("add", features=5)(wave, torch.randn(1, 40, 4))
    with pytest.raises(ValueError, match="none of concat, add, residual"):
        SemanticConfig("mix")  # type: ignore[arg-type]


def test_labels_carry_what_the_codebooks_cannot() -> None:
    """Embeddings that are one vector per label: with labels the residual is quantized to nearly nothing, without not."""
    torch.manual_seed(3)
    labels = torch.randint(12, (8, 40))
    target = torch.randn(12, 8)[labels[:, ::2]]
    errors = []
    for informed in (True, False):
        model = build("residual", labels=12)
        given = labels if informed else torch.zeros_like(labels)
        optimiser = torch.optim.Adam(model.semantic.parameters(), lr=0.02)
        for _ in range(150):
            optimiser.zero_grad()
            loss = F.mse_loss(model.semantic(given, 20), target)
            loss.backward()
            optimiser.step()
        errors.append(float(loss.detach()))
    assert errors[0] < 0.3 * errors[1]
