"""SuperCodec's encoder, quantiser and decoder against recorded outputs of the published code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench.models.freecodec.supercodec import Decoder, Encoder, SuperCodec, from_published


def recorded(reference: Path, batch: str) -> dict[str, torch.Tensor]:
    return load_file(reference / "supercodec" / f"supercodec_tiny_s2458_{batch}.safetensors")


def build(tensors: dict[str, torch.Tensor], strict: bool) -> SuperCodec:
    model = SuperCodec(channels=4, dim=16, codes=32, books=2, strict=strict).eval()
    prefix = "state_dict/"
    published = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    model.load_state_dict(from_published(published))
    return model


@pytest.mark.parametrize("batch", ["b1", "b2"])
@torch.no_grad()
def test_parity(reference: Path, batch: str) -> None:
    tensors = recorded(reference, batch)
    model = build(tensors, strict=True)
    latent, codes = model.encode(tensors["wav"])
    torch.testing.assert_close(latent, tensors["latent"], rtol=0, atol=1e-5)
    assert torch.equal(codes, tensors["codes"])
    torch.testing.assert_close(model.decode(tensors["codes"])[:, None], tensors["out"], rtol=0, atol=1e-5)
    torch.testing.assert_close(model.decode(codes)[:, None], tensors["forward_out"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_batch_leak_only_when_strict(reference: Path) -> None:
    tensors = recorded(reference, "b2")
    for strict in (True, False):
        model = build(tensors, strict)
        together = model.encode(tensors["wav"])[0][1:]
        alone = model.encode(tensors["wav"][1:])[0]
        difference = float((together - alone).abs().max())
        assert difference > 1e-3 if strict else difference < 1e-6


def test_parameter_counts_of_the_published_configurations() -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    strides, multipliers = (2, 4, 5, 8), (2, 4, 8, 16)
    encoder, decoder = Encoder(32, multipliers, strides, 256), Decoder(32, multipliers, strides, 256)
    assert [count(child) for child in encoder] == [256, 105312, 517824, 2264448, 11410176, 393472]
    assert [count(child) for child in decoder] == [918016, 9049344, 1673856, 369984, 68256, 225]
    assert count(Encoder(32, multipliers, (4, 4, 4, 5), 256)) == 12160160
    assert count(Decoder(32, multipliers, (4, 4, 4, 5), 256)) == 9548353
