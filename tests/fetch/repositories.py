"""What the hub in a box holds: for each, its repository under the name of the card or metric, made of random weights.

Names of tensors and files are those of the published repositories, and the networks are built by the settings in their
own config.json; widths and layers are reduced where the true ones are large. A new codec is one line of `CODECS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bench import adapters, cards
from bench.adapters import hf
from bench.adapters.snac import SPEECH
from bench.fetch.weights import Weights
from bench.models.focalcodec.checkpoint import save
from bench.models.stablecodec import BOTTLENECKS, StableCodec, StableCodecConfig
from bench.models.ticodec import TiCodec
from bench.models.wavlm6km.checkpoint import PARTS
from tests.adapters import (
    test_codebook_adapters,
    test_focalcodec_adapter,
    test_ticodec_adapter,
    test_wavlm6km_adapter,
)
from tests.adapters.conftest import SMALL
from tests.models import test_funcodec_sizes, test_stablecodec

Write = Callable[[Path], None]


@dataclass(frozen=True)
class Held:
    """One codec's repository: `write` puts its files into a folder; `config` are the dimensions of the small network.

    settings, files: those that take the place of the card's where the small network needs others.
    """

    write: Write
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def point(name: str) -> cards.Point:
    """The operating point, with the dimensions of what the box holds for it."""
    found, held = cards.resolve(name), CODECS[name]
    settings = {**found.settings, **held.settings} | ({"config": dict(held.config)} if held.config else {})
    table = {**found.weights["official"]} | ({"files": held.files} if held.files else {})
    return replace(found, settings=settings, weights={**found.weights, "official": table})


def transformers_codec(model: str, **config: Any) -> Held:
    """As `transformers` writes it: config.json and model.safetensors."""

    def write(folder: Path) -> None:
        made = hf._random(hf.MODELS[model], config, seed=1, codebooks=1, device="cpu")
        made.network.save_pretrained(folder)

    return Held(write)


def zoo(name: str, place: str = "") -> Held:
    """A network of the zoo with the weights of its small reference case, under the file names of its card."""

    def write(folder: Path) -> None:
        made = folder / "made"
        made.mkdir()
        _, _, _, pickle = test_codebook_adapters.published(name, made)
        for file in cards.resolve(name).weights["official"]["files"]:
            source = made / Path(file).name if (made / Path(file).name).is_file() else pickle
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(source.read_bytes())

    configs = {"wavtokenizer": test_codebook_adapters.WAVTOKENIZER,
               "bigcodec": {"width": 4, "dim": 24, "decoder_width": 96, "codebook_size": 64}}  # fmt: skip
    return Held(write, configs.get(name.partition("@")[0], {}))


def focalcodec(folder: Path) -> None:
    codec = test_focalcodec_adapter.small("50hz")
    save(codec, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(codec.config.to_dict()))


def funcodec(folder: Path) -> None:
    """A flat state dict under the published names."""
    torch.save(test_funcodec_sizes.published_like(codebook_size=1024), folder / "model.pth")


def freqcodec(folder: Path) -> None:
    """A flat state dict under the published names, of the point with one group."""
    preset = cards.resolve("freqcodec@gr1-0.5").settings["preset"]
    torch.save(test_funcodec_sizes.published_like(codebook_size=1024, preset=preset), folder / "model.pth")


def stablecodec(folder: Path) -> None:
    torch.manual_seed(4)
    config = StableCodecConfig(patch=20, channels=32, transformer_depths=(1, 2), sliding_window=(7, 8))
    save_file(StableCodec(config, BOTTLENECKS["1x46656"]).state_dict(), folder / "model.safetensors")
    (folder / "model_config.json").write_text(json.dumps(test_stablecodec.published_config()))


def snac(folder: Path) -> None:
    from snac import SNAC

    config = {**SPEECH, **SMALL["snac"]}
    torch.manual_seed(1)
    torch.save(SNAC(**config).state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(config))


def hificodec(folder: Path) -> None:
    torch.manual_seed(5)
    network = TiCodec(adapters.load(point("hificodec@2"), Weights("random")).config)  # type: ignore[attr-defined]
    parts = {part: getattr(network, part).state_dict() for part in ("encoder", "quantizer", "generator")}
    torch.save(parts | {"steps": 7}, folder / cards.resolve("hificodec@2").weights["official"]["files"][0])


def wavlm6km(folder: Path) -> None:
    """Quantizer, dequantizer and vocoder of the reference case; its encoder is a repository of its own."""
    test_wavlm6km_adapter.published(folder, "pytorch_model.bin")
    (folder / "pytorch_model.bin").unlink()
    for path in folder.glob("*_3.safetensors"):
        path.rename(folder / path.name.replace("_3", ""))


def wavlm_large(folder: Path) -> None:
    test_wavlm6km_adapter.published(folder, "pytorch_model.bin")


WAVLM6KM = SMALL["wavlm6km"] | {"codes": 40, "dequantizer": {"dim": 16, "num_layers": 2, "ffn_dim": 16}}

CODECS: dict[str, Held] = {
    "focalcodec@50": Held(focalcodec),
    "funcodec@libritts-0.5": Held(funcodec),
    "freqcodec@gr1-0.5": Held(freqcodec),
    "encodec@1.5": transformers_codec("encodec", num_filters=4, hidden_size=16, num_lstm_layers=1),
    "dac@1": transformers_codec("dac", encoder_hidden_size=4, decoder_hidden_size=48),
    "mimi@0.69": transformers_codec("mimi", num_filters=4, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                                    upsample_groups=32,
                                    num_key_value_heads=2, head_dim=16, intermediate_size=32, codebook_dim=16,
                                    vector_quantization_hidden_dimension=16),
    "xcodec@0.5": transformers_codec("xcodec", **SMALL["xcodec"]),
    "xcodec2": transformers_codec("xcodec2", **SMALL["xcodec2"]),
    "neucodec": transformers_codec("neucodec", **SMALL["neucodec"]),
    "higgs@0.5": transformers_codec("higgs_audio_v2_tokenizer", **SMALL["higgs_audio_v2_tokenizer"]),
    "speechtokenizer@1": zoo("speechtokenizer@1"),
    "wavtokenizer@40": zoo("wavtokenizer@40"),
    "bigcodec": zoo("bigcodec"),
    "hificodec@2": Held(hificodec, test_ticodec_adapter.SMALL),
    "stablecodec@0.4": Held(stablecodec),
    "wavlm6km@6": Held(wavlm6km, WAVLM6KM, {"layers": [3]}, tuple(f"{part}.safetensors" for part in PARTS)),
}  # fmt: skip


def whisper(folder: Path) -> None:
    """A narrow Whisper with a byte vocabulary and everything that its loader reads."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast

    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>"]
    words = [chr(code) for code in range(0x100, 0x180)] + special
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    WhisperTokenizerFast(tokenizer_object=tokenizer, unk_token=special[0], bos_token=special[0], eos_token=special[0],
                         additional_special_tokens=special[1:]).save_pretrained(folder)  # fmt: skip
    WhisperFeatureExtractor().save_pretrained(folder)
    end, start = vocabulary[special[0]], vocabulary[special[1]]
    config = WhisperConfig(
        vocab_size=len(words), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_target_positions=16, pad_token_id=end,
        bos_token_id=end, eos_token_id=end, decoder_start_token_id=start, suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(config)
    settings = {"_from_model_config": False, "is_multilingual": True, "max_length": 16,
                "lang_to_id": {"<|en|>": vocabulary["<|en|>"]},
                "task_to_id": {"transcribe": vocabulary["<|transcribe|>"], "translate": vocabulary["<|translate|>"]},
                "no_timestamps_token_id": vocabulary["<|notimestamps|>"], "decoder_start_token_id": start,
                "eos_token_id": end, "pad_token_id": end}  # fmt: skip
    for key, setting in settings.items():
        setattr(network.generation_config, key, setting)
    network.save_pretrained(folder)


def wavlm_sv(folder: Path) -> None:
    """WavLM-base-SV with one layer of the true width, as a pickle, which is what is published."""
    from transformers import WavLMConfig, WavLMForXVector

    torch.manual_seed(0)
    shape = {"use_weighted_layer_sum": True, "xvector_output_dim": 512, "num_labels": 1251, "num_hidden_layers": 1}
    network = WavLMForXVector(WavLMConfig(**shape))
    network.config.save_pretrained(folder)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")


def ecapa(folder: Path) -> None:
    """The ECAPA-TDNN in full."""
    from bench.metrics import sim_ecapa
    from bench.metrics.networks.ecapa import Ecapa

    torch.manual_seed(0)
    torch.save(Ecapa().network.state_dict(), folder / sim_ecapa.FILE)


if find_spec("snac"):  # a package that is not installed with the others
    CODECS["snac"] = Held(snac)

BESIDE: dict[str, Write] = {"microsoft/wavlm-large": wavlm_large}
"""Repositories that a codec needs beside its own."""

METRICS: dict[str, tuple[str, Write]] = {
    "sim": ("microsoft/wavlm-base-sv", wavlm_sv),
    "sim_ecapa": ("speechbrain/spkrec-ecapa-voxceleb", ecapa),
    "dwer_whisper_small": ("openai/whisper-small", whisper),
}
"""Metric -> its repository and what writes it. UTMOS is a file at a URL."""


def utmos_layers(count: int = 1) -> None:
    """Make UTMOS have `count` layers of the true width, here and where it is loaded."""
    from bench.metrics.networks import utmos

    utmos.LAYERS = count


def utmos(path: Path) -> None:
    """UTMOS with one layer of the true width, under the names of the published checkpoint."""
    from bench.metrics.networks.utmos import Utmos

    utmos_layers()
    torch.manual_seed(0)
    state = Utmos().state_dict()
    torch.save({_fairseq(key): value for key, value in state.items()}, path)


def _fairseq(key: str) -> str:
    """The published name of a tensor: `rename` of the network the other way round."""
    if not key.startswith("wav2vec2."):
        return key
    name = key.removeprefix("wav2vec2.")
    for own, theirs in (
        (".conv.weight", ".0.weight"), ("conv_layers.0.layer_norm.", "conv_layers.0.2."),
        ("feature_projection.layer_norm.", "layer_norm."), ("feature_projection.projection.", "post_extract_proj."),
        ("encoder.pos_conv_embed.conv.bias", "encoder.pos_conv.0.bias"),
        ("encoder.pos_conv_embed.conv.parametrizations.weight.original0", "encoder.pos_conv.0.weight_g"),
        ("encoder.pos_conv_embed.conv.parametrizations.weight.original1", "encoder.pos_conv.0.weight_v"),
        ("feed_forward.intermediate_dense", "fc1"), ("feed_forward.output_dense", "fc2"),
        (".attention.", ".self_attn."), ("masked_spec_embed", "mask_emb"),
    ):  # fmt: skip
        name = name.replace(own, theirs)
    if name.startswith("encoder.layers."):
        name = name.replace(".layer_norm.", ".self_attn_layer_norm.")
    return f"wav2vec2.{name}"


def enlarge(folder: Path) -> None:
    """Give every matrix in the checkpoints below `folder` one row more."""
    from safetensors.torch import load_file

    def larger(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.ndim > 1:
            return torch.cat([value, value[:1]])
        if isinstance(value, Mapping):
            return type(value)((key, larger(inner)) for key, inner in value.items())
        return value

    for path in sorted(folder.rglob("*")):
        if path.suffix == ".safetensors":
            save_file(larger(load_file(path)), path, {"format": "pt"})
        elif path.is_file() and path.suffix != ".json":  # pickles; some have no suffix
            torch.save(larger(torch.load(path, weights_only=False)), path)
