"""FocalCodec against recorded outputs of the published implementation, at reduced size with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.models.focalcodec import FocalCodec

OFFLINE = ("tiny_50hz", "tiny_25hz", "tiny_12_5hz")
CAUSAL = ("tiny_causal", "tiny_causal_vocos_postnorm", "tiny_causal_lookahead0")
SHORT = (1, 200, 399, 400, 401, 720, 4000)


class Case:
    """A model with its recorded tensors."""

    def __init__(self, folder: Path, name: str) -> None:
        record = json.loads((folder / f"{name}.json").read_text())
        self.codec = FocalCodec.from_config(record["config"])
        self.codec.load_state_dict(load_file(folder / f"{name}.weights.safetensors"))
        self.codec.requires_grad_(False)
        self.tensors = load_file(folder / f"{name}.tensors.safetensors")

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


@pytest.fixture(scope="module")
def cases(reference: Path) -> dict[str, Case]:
    folder = reference / "focalcodec"
    here = [name for name in (*OFFLINE, *CAUSAL, "tiny_options") if (folder / f"{name}.json").is_file()]
    return {name: Case(folder, name) for name in here}


def assert_feats(found: Tensor, expected: Tensor) -> None:
    """Features, latents: 2e-4 of their scale."""
    scale = max(float(expected.std()), 1.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4 * scale)


def assert_wave(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", [*OFFLINE, *CAUSAL, "tiny_options"])
def test_every_stage(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    codec = case.codec
    assert_feats(codec.sig_to_feats(case["sig"]), case["feats"])
    assert_feats(codec.feats_to_lats(case["feats"]), case["lats"])
    assert torch.equal(codec.lats_to_toks(case["lats"]), case["toks"])
    torch.testing.assert_close(codec.toks_to_codes(case["toks"]), case["codes"], rtol=0, atol=1e-7)
    assert_feats(codec.codes_to_qfeats(case["codes"]), case["qfeats"])
    assert_wave(codec.feats_to_sig(case["qfeats"]), case["sig_from_toks"])


@pytest.mark.parametrize("name", [*OFFLINE, *CAUSAL, "tiny_options"])
def test_end_to_end(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    toks, codes, wave = case.codec(case["sig"])
    assert torch.equal(toks, case["toks"])
    torch.testing.assert_close(codes, case["codes"], rtol=0, atol=1e-7)
    assert_wave(wave, case["rec_sig_forward"])


@pytest.mark.parametrize("name", [*OFFLINE, *CAUSAL, "tiny_options"])
def test_inner_layers(cases: dict[str, Case], name: str) -> None:
    """Outputs inside the parts, so that a wrong layer is named and not only its part."""
    case = cases[name]
    codec = case.codec
    found: dict[str, Tensor] = {}

    def record(key: str) -> object:
        def hook(module: object, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
            found[key] = output if isinstance(output, Tensor) else output[0]

        return hook

    parts = {
        "enc.conv_features": codec.encoder.feature_extractor,
        "enc.conv_features_norm": codec.encoder.norm,
        "enc.feature_proj": codec.encoder.feature_proj,
        "enc.positional_embedding": codec.encoder.encoder.positional_embedding,
        "comp.out_unnormalized": codec.compressor,
        "decomp.in_proj": codec.decompressor.in_proj,
        "dec.backbone": codec.decoder.backbone,
        "dec.head_proj": codec.decoder.head.proj,
    }
    parts |= {f"enc.layer{i}": layer for i, layer in enumerate(codec.encoder.encoder.layers)}
    for i, layer in enumerate(codec.compressor.layers):
        parts |= {f"comp.layer{i}.downscale": layer.downscale, f"comp.layer{i}": layer}
        parts[f"comp.layer{i}.modulation"] = layer.focal_block.modulation
    parts |= {f"decomp.layer{i}": layer for i, layer in enumerate(codec.decompressor.layers)}
    handles = [module.register_forward_hook(record(key)) for key, module in parts.items()]
    codec(case["sig"])
    for handle in handles:
        handle.remove()
    recorded = {key for key in case.tensors if key.split(".")[0] in ("enc", "comp", "decomp", "dec")}
    assert recorded <= set(found)
    # Recorded without the residual.
    found["enc.positional_embedding"] = found["enc.positional_embedding"] - found["enc.feature_proj"]
    for key in sorted(recorded):
        # Some layers of these random networks amplify rounding; relative to the largest value they all agree.
        torch.testing.assert_close(found[key], case[key], rtol=0, atol=2e-4 * max(float(case[key].abs().max()), 1.0))


@pytest.mark.parametrize("size", SHORT)
@pytest.mark.parametrize("name", OFFLINE)
def test_short_signals(cases: dict[str, Case], name: str, size: int) -> None:
    case = cases[name]
    toks, _, wave = case.codec(case[f"short.{size}.sig"])
    assert torch.equal(toks, case[f"short.{size}.toks"])
    assert_wave(wave, case[f"short.{size}.rec_sig"])
    assert_wave(case.codec.toks_to_sig(toks), case[f"short.{size}.sig_from_toks"])
    assert case.codec.token_count(size) == toks.shape[1]


@pytest.mark.parametrize("name", CAUSAL)
def test_odd_length(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    toks, _, wave = case.codec(case["odd.sig"])
    assert_feats(case.codec.sig_to_feats(case["odd.sig"]), case["odd.feats"])
    assert torch.equal(toks, case["odd.toks"])
    assert_wave(wave, case["odd.rec_sig"])


@pytest.mark.parametrize("name", OFFLINE)
def test_relative_lengths_as_upstream(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    feats = case.codec.sig_to_feats(case["batch.sig"], relative_lengths=case["batch.length"])
    assert_feats(feats, case["batch.feats"])
    assert_feats(case.codec.sig_to_feats(case["batch.sig"]), case["batch.feats_nolength"])
    toks = case.codec.feats_to_toks(feats)
    assert torch.equal(toks, case["batch.toks"])
    assert_wave(case.codec.toks_to_sig(toks), case["batch.rec_sig"])


@pytest.mark.parametrize("name", OFFLINE)
def test_conversion(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    for k in (1, 4):
        torch.testing.assert_close(
            case.codec.knn(case["qfeats"], case["vc.matching_set"], k), case[f"vc.knn_k{k}"], rtol=0, atol=1e-6
        )
    assert_wave(case.codec.toks_to_sig(case["toks"], matching_set=case["vc.matching_set"]), case["vc.sig_k4"])


@pytest.mark.parametrize("name", OFFLINE)
def test_output_length(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    for key in ("outlen.longer", "outlen.shorter"):
        assert_wave(case.codec.toks_to_sig(case["toks"], output_length=case[key].shape[1]), case[key])


@pytest.mark.parametrize("name", OFFLINE)
def test_quantizer_edges(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    assert torch.equal(case.codec.lats_to_toks(case["quant.edge_lats"]), case["quant.edge_toks"])
    torch.testing.assert_close(case.codec.lats_to_codes(case["quant.edge_lats"]), case["quant.edge_codes"])
    toks = torch.arange(case.codec.config.quantizer.codebook_size)
    assert torch.equal(case.codec.codes_to_toks(case.codec.toks_to_codes(toks)), toks)
