"""FunCodec against values of the authors' code with random weights (specs: tiny models, three input lengths each)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.models.funcodec import FunCodec, FunCodecConfig, from_state_dict, infer_config

NAMES = (
    "tiny_encodec_ds320",
    "tiny_encodec_ds640",
    "tiny_soundstream_causal_wn_ds320",
    "tiny_freqcodec_magphase_std_ds320",
    "tiny_freqcodec_magangle_std_ds320",
    "tiny_freqcodec_magphase_gr1_ds320",
    "tiny_freqcodec_magphase_gr8_ds320",
)
INPUTS = ("a_16000", "b_odd_7351", "c_short_400")


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest, reference: Path) -> tuple[str, FunCodec, dict[str, Tensor]]:
    folder, name = reference / "funcodec", request.param
    state = load_file(folder / f"{name}.state.safetensors")
    model = from_state_dict(state, causal="causal" in name)
    return name, model, load_file(folder / f"{name}.io.safetensors")


def close(mine: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    assert mine.shape == theirs.shape
    assert (mine - theirs).abs().max().item() <= tolerance


def close_relative(mine: Tensor, theirs: Tensor) -> None:
    """For intermediates, whose values are not bounded by 1."""
    close(mine, theirs, 1e-5 * max(1.0, theirs.abs().max().item()))


@torch.inference_mode()
def test_every_intermediate_matches(case: tuple[str, FunCodec, dict[str, Tensor]]) -> None:
    _, model, io = case
    for tag in (tag for tag in INPUTS if f"{tag}.emb" in io):  # the archive holds the two shorter ones
        wave = io[f"{tag}.wave"]
        normalised, scale = model.normalise(wave)
        close(scale, io[f"{tag}.scale"])
        close(model.transform.analyse(normalised), io[f"{tag}.enc_in"])
        embedding, _ = model.embed(wave)
        close_relative(embedding, io[f"{tag}.emb"])
        for levels in (1, 4, 8):
            codes, _ = model.encode(wave, levels)
            assert torch.equal(codes, io[f"{tag}.nq{levels}.codes"].long())
            quantized = model.quantizer.decode(codes)
            close_relative(quantized, io[f"{tag}.nq{levels}.quantized"])
            close(model.reconstruct(wave, levels).unsqueeze(1), io[f"{tag}.nq{levels}.recon_scaled"])
        close_relative(model.decoder(quantized), io[f"{tag}.nq8.dec_out_raw"])
        close(model.decode(codes).unsqueeze(1), io[f"{tag}.decode_from_codes_unscaled"])


@torch.inference_mode()
def test_equal_lengths_in_a_batch_match(case: tuple[str, FunCodec, dict[str, Tensor]]) -> None:
    _, model, io = case
    codes, _ = model.encode(io["batch2.wave"])
    assert torch.equal(codes, io["batch2.codes"].long())
    close(model.reconstruct(io["batch2.wave"]).unsqueeze(1), io["batch2.recon_scaled"])


def expected(name: str, reference: Path) -> FunCodecConfig:
    """Our settings from the toolkit's configuration file of a tiny model."""
    data = json.loads((reference / "funcodec" / f"{name}.config.json").read_text())
    domain = data["model_conf"].get("codec_domain", ["time"])[0]
    sides = {}
    for side in ("encoder", "decoder"):
        conf = data[f"{side}_conf"]
        sides[side] = {
            "width": conf["n_filters"],
            "kernel_size": conf.get("kernel_size", 7),
            "last_kernel_size": conf.get("last_kernel_size", 7),
            "residual_layers": conf.get("n_residual_layers", 1),
            "dilation_base": conf.get("dilation_base", 2),
            "lstm_layers": 0 if conf.get("seq_model") == "none" else 2,
            "conv_group_ratio": conf.get("conv_group_ratio", -1),
            "transposed_group_ratio": conf.get("tr_conv_group_ratio", -1),
        }
    return FunCodecConfig.from_dict(
        {
            "domain": domain,
            "ratios": data["encoder_conf"].get("ratios", [8, 5, 4, 2]),
            "dim": data["encoder_conf"]["dimension"],
            "norm": data["encoder_conf"]["norm"],
            "causal": data["encoder_conf"]["causal"],
            "codebooks": data["quantizer_conf"]["num_quantizers"],
            "codebook_size": data["quantizer_conf"]["codebook_size"],
            "dropout": data["quantizer_conf"]["rand_num_quant"],
            **sides,
        }
    )


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_inferred_from_shapes(name: str, reference: Path) -> None:
    state = load_file(reference / "funcodec" / f"{name}.state.safetensors")
    assert infer_config(state, causal="causal" in name) == expected(name, reference)
