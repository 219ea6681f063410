"""FocalCodec's ablation: every variant of the recipe card is built, counted, differentiated, trained a little, and joined."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bench import toml
from bench.cards import CODECS
from bench.errors import BenchError
from bench.models.focalcodec import FocalCodec, FocalCodecConfig
from bench.models.focalcodec.checkpoint import load, save
from bench.train.focalcodec import FocalCodecRecipe
from bench.train.join import FILE, join
from bench.train.settings import read

CARD = CODECS / "focalcodec" / "recipe.ablation.toml"
PAGE = CODECS / "focalcodec" / "ablation.md"
STAGES = tuple(toml.load(CARD)["stages"])
PIPELINES, DECODERS = STAGES[:6], STAGES[6:]
SMALL = {
    "encoder_config.hidden_dims": [16, 16], "encoder_config.kernel_sizes": [400, 2], "encoder_config.strides": [160, 2],
    "encoder_config.num_layers": 1, "encoder_config.dim": 32, "encoder_config.ffn_dim": 48, "encoder_config.num_heads": 2,
    "encoder_config.conv_pos": 8, "encoder_config.conv_pos_groups": 2, "compressor_config.input_dim": 32,
    "compressor_config.hidden_dims": [24, 16, 12], "compressor_config.output_dim": 6, "quantizer_config.codebook_size": 64,
    "decompressor_config.hidden_dims": [12, 16, 24], "decompressor_config.input_dim": 6, "decompressor_config.output_dim": 32,
    "decoder_config.input_dim": 32, "decoder_config.dim": 32,
}  # fmt: skip


def recipe(stage: str, small: bool = True) -> FocalCodecRecipe:
    """The recipe of a stage; small: with tiny widths, and an encoder of random weights in place of WavLM's."""
    changes: dict[str, Any] = {"loss.initial": "", "model.overrides": SMALL} if small else {"loss.initial": ""}
    if small and stage in DECODERS:
        kept = {key: value for key, value in SMALL.items() if not key.startswith("decoder_config")}
        head = {"input_dim": 32, "dim": 32} | ({"ffn_dim": 48, "num_layers": 2} if stage == "vocos" else {})
        name = "Vocos" if stage == "vocos" else "HiFiGAN"
        changes |= {"model.overrides": kept, "model.variant": {"decoder_name": name, "decoder_config": head}}
    return FocalCodecRecipe(read(CARD, stage, changes))


def speech(samples: int = 6400 + 80) -> torch.Tensor:
    t = torch.arange(samples) / 16000
    generator = torch.Generator().manual_seed(0)
    tones = torch.stack([torch.sin(2 * torch.pi * f * t) * torch.sin(2 * torch.pi * 3 * t) for f in (150, 310, 440)])
    return 0.2 * tones + 0.01 * torch.randn(tones.shape, generator=generator)


@pytest.mark.parametrize("stage", STAGES)
def test_a_variant_learns(stage: str) -> None:
    """Every trained parameter has a gradient, the rest has none; forty steps bring the loss down; one seed, one loss."""
    made, again = recipe(stage), recipe(stage)
    wave = speech()
    total = sum(value for key, value in made(wave, 0.0, {}).items() if key not in ("real", "fake"))
    other = sum(value for key, value in again(wave, 0.0, {}).items() if key not in ("real", "fake"))
    torch.testing.assert_close(total, other)
    total.backward()  # type: ignore[union-attr]
    for name, parameter in made.codec.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        trained = name.startswith("decoder.") if stage in DECODERS else name.startswith(("compressor.", "decompressor."))
        assert parameter.requires_grad == trained, name
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name
    optimiser = torch.optim.AdamW(made.trainable(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        loss = sum(value for key, value in made(wave, 0.0, {}).items() if key not in ("real", "fake"))
        loss.backward()  # type: ignore[union-attr]
        optimiser.step()
    first, last = float(total.detach()), float(loss.detach())  # type: ignore[union-attr]
    assert last < 0.9 * first, (first, last)


@pytest.mark.parametrize("stage", STAGES)
def test_a_padded_batch_equals_its_members(stage: str) -> None:
    codec = recipe(stage).codec.eval()
    waves, lengths = speech()[:2], torch.tensor([6480, 3840])
    with torch.inference_mode():
        tokens = codec.sig_to_toks(waves, lengths)
        frames = codec.sample_lengths_to_frames(lengths)
        wave = codec.feats_to_sig(codec.sig_to_feats(waves, lengths), frames)
        for n, length in enumerate(lengths.tolist()):
            alone = codec.sig_to_toks(waves[n : n + 1, :length])
            assert torch.equal(tokens[n : n + 1, : alone.shape[1]], alone)
            single = codec.feats_to_sig(codec.sig_to_feats(waves[n : n + 1, :length]))
            torch.testing.assert_close(wave[n : n + 1, : single.shape[1]], single, atol=1e-4, rtol=1e-4)
        assert torch.equal(codec.codes_to_toks(codec.toks_to_codes(tokens)), tokens)


def millions(codec: FocalCodec, *parts: str) -> str:
    return f"{sum(p.numel() for part in parts for p in getattr(codec, part).parameters()) / 1e6:.2f}"


def test_the_page_tells_what_the_networks_have() -> None:
    """ablation.md: parameters of every row as the full-size networks have them; of the decoder, the published one's."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "`" in line]
    assert len(lines) == 7
    with torch.device("meta"):
        made = {}
        for stage in STAGES:
            model = read(CARD, stage).model
            made[stage] = FocalCodec.from_config(model["config"], {**model["overrides"], **model["variant"]})
    for line in lines:
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        pipeline, decoder = cells[4].strip("`"), cells[5].strip("`")
        assert cells[6] == millions(made[pipeline], "compressor", "decompressor"), line
        assert cells[7] == millions(made[decoder], "decoder"), line
    assert millions(made["vocos"], "decoder") == "16.84", "as published"
    assert {cell for line in lines for cell in re.findall(r"`([a-z-]+)`", line)} == set(STAGES)


PRINTED = Path(os.environ.get("BENCH_SHARED", "../shared")) / "specs" / "reported" / "focalcodec_table6_ablation.csv"


@pytest.mark.skipif(not PRINTED.is_file(), reason="needs: the reference folder with specs/reported")
def test_the_page_tells_what_the_paper_prints() -> None:
    with PRINTED.open(newline="", encoding="utf-8") as rows:
        printed = [list(row.values()) for row in csv.DictReader(rows)]
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "`" in line]
    told = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [[*cells[:4], *cells[8:11]] for cells in told] == printed


@pytest.mark.skipif(not PRINTED.is_file(), reason="needs: the reference folder with specs/reported")
def test_the_card_has_what_the_paper_prints() -> None:
    with PRINTED.open(newline="", encoding="utf-8") as rows:
        printed = [{key: float(row[key]) for key in ("utmos", "dwer", "sim")} for row in csv.DictReader(rows)]
    told = toml.load(CODECS / "focalcodec" / "focalcodec-ablation.toml")
    assert [dict(entry["scores"]) for entry in told["reported"]] == printed
    assert [entry["point"] for entry in told["reported"]] == list(told["points"])


@pytest.mark.parametrize("stage", ["conformer-snake-lfq", "amp-snake-lfq"])
def test_two_runs_are_joined(tmp_path: Path, stage: str) -> None:
    """The joined network encodes as the first and decodes as the second; its file is read as any other."""
    first, second = recipe(stage).codec.eval(), recipe("hifigan").codec.eval()
    second.encoder.load_state_dict(first.encoder.state_dict())
    for name, codec in (("a", first), ("b", second)):
        (tmp_path / name).mkdir()
        save(codec, tmp_path / name / FILE)
    codec = load(join(tmp_path / "a", tmp_path / "b", tmp_path / "c").parent)
    wave = speech()[:1]
    with torch.inference_mode():
        tokens = first.sig_to_toks(wave)
        assert torch.equal(codec.sig_to_toks(wave), tokens)
        expected = second.feats_to_sig(first.toks_to_qfeats(tokens))
        torch.testing.assert_close(codec.feats_to_sig(codec.toks_to_qfeats(tokens)), expected)
    assert codec.config == FocalCodecConfig.from_dict(codec.config.to_dict())
    with pytest.raises(BenchError, match="no such file"):
        join(tmp_path / "a", tmp_path / "nowhere", tmp_path / "d")
    (tmp_path / "e").mkdir()
    save_file({"x": torch.zeros(1)}, tmp_path / "e" / FILE)
    with pytest.raises(BenchError, match="does not tell its config"):
        join(tmp_path / "e", tmp_path / "b", tmp_path / "d")
