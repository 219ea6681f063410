"""Published weights: three safetensors files of lucadellalib/discrete-wavlm-codec, and microsoft/wavlm-large.

Everything is renamed to our modules; names that are known and not needed are left out, any other is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..blocks.states import blank, load_strict
from ..blocks.weight_norm import fold_weight_norm
from .model import WavLMKM, WavLMKMConfig

PARTS = ("quantizer", "dequantizer", "vocoder")

_WAVLM = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.layer_norm\.", r"feature_extractor.layers.\1.norm."),
    (r"^feature_extractor\.conv_layers\.", "feature_extractor.layers."),
    (r"^feature_projection\.layer_norm\.", "norm."),
    (r"^feature_projection\.projection\.", "feature_proj."),
    (r"^encoder\.pos_conv_embed\.", "encoder.positional_embedding."),
    (r"^encoder\.layers\.0\.attention\.rel_attn_embed\.", "encoder.relative_embedding."),
    (r"\.layer_norm\.", ".attention_norm."),
    (r"\.final_layer_norm\.", ".feed_forward_norm."),
    (r"\.intermediate_dense\.", ".in_proj."),
    (r"\.output_dense\.", ".out_proj."),
)
# Not needed: the embedding of masked frames, and the norm after the last of all 24 layers.
_WAVLM_UNUSED = r"masked_spec_embed|encoder\.layer_norm\.(weight|bias)"

_DEQUANTIZER = (
    (r"^backbone\.custom_src_module\.layers\.0\.w\.", "in_proj."),
    (r"^backbone\.encoder\.norm\.norm\.", "norm."),
    (r"^backbone\.encoder\.layers\.", "layers."),
    (r"\.mha_layer\.att\.in_proj_", ".attention.qkv_proj."),
    (r"\.mha_layer\.att\.out_proj\.", ".attention.out_proj."),
    (r"\.norm1\.norm\.", ".attention.norm."),
    (r"\.norm2\.norm\.", ".norm."),
    (r"\.convolution_module\.layer_norm\.", ".convolution.norm."),
    (r"\.convolution_module\.bottleneck\.0\.", ".convolution.in_proj."),
    (r"\.convolution_module\.conv\.", ".convolution.conv."),
    (r"\.convolution_module\.after_conv\.0\.", ".convolution.conv_norm."),
    (r"\.convolution_module\.after_conv\.2\.", ".convolution.out_proj."),
    (r"\.ffn_module(\d)\.0\.", r".feed_forward\1.norm."),
    (r"\.ffn_module(\d)\.1\.ffn\.0\.", r".feed_forward\1.in_proj."),
    (r"\.ffn_module(\d)\.1\.ffn\.3\.", r".feed_forward\1.out_proj."),
)
# A table of sinusoids that is computed here.
_DEQUANTIZER_UNUSED = r"backbone\.positional_encoding\.pe"

_VOCODER = (
    (r"\.conv\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.conv\.parametrizations\.weight\.original1$", ".weight_v"),
    (r"\.conv\.(bias|weight_g|weight_v)$", r".\1"),
    (r"^(?!in_proj\.)", "generator."),
)


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name


def from_transformers(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The state dict of `transformers`' WavLMModel as that of our WavLM with its first `layers` layers."""
    out: dict[str, Tensor] = {}
    plain = {key.removeprefix("wavlm."): value for key, value in state.items()}
    for key, value in plain.items():
        number = re.match(r"encoder\.layers\.(\d+)\.", key)
        if re.fullmatch(_WAVLM_UNUSED, key) or (number and int(number[1]) >= layers):
            continue
        if re.search(r"\.attention\.[kv]_proj\.", key):
            continue
        if ".attention.q_proj." in key:
            parts = [plain.get(key.replace(".q_proj.", f".{name}_proj.")) for name in "qkv"]
            if all(part is not None for part in parts):
                joined = torch.cat([part for part in parts if part is not None])
                out[_renamed(key, _WAVLM).replace(".q_proj.", ".qkv_proj.")] = joined
                continue
        out[_renamed(key, _WAVLM)] = value
    return _without_weight_norm(out, "encoder.positional_embedding.conv.")


def _without_weight_norm(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The positional convolution's lengths (one a tap) and directions as one weight."""
    for g, v in (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")):
        if prefix + g in state and prefix + v in state:
            length, direction = state.pop(prefix + g), state.pop(prefix + v)
            norm = torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)
            state[prefix + "weight"] = direction * (length / norm)
    return state


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The three published state dicts, joined under `quantizer.`, `dequantizer.` and `vocoder.`, under our names."""
    out: dict[str, Tensor] = {}
    tables: dict[int, Tensor] = {}
    for key, value in state.items():
        part, _, name = key.partition(".")
        number = re.fullmatch(r"kmeanss\.(\d+)\.centroids", name)
        if part == "quantizer" and number:
            tables[int(number[1])] = value
        elif part == "dequantizer" and re.fullmatch(_DEQUANTIZER_UNUSED, name):
            continue
        else:
            rules = {"dequantizer": _DEQUANTIZER, "vocoder": _VOCODER}.get(part, ())
            out[f"{part}.{_renamed(name, rules)}"] = value
    if tables and sorted(tables) == list(range(len(tables))) and len({value.shape for value in tables.values()}) == 1:
        out["quantizer.centroids"] = torch.stack([tables[index] for index in sorted(tables)])
    return out


def load(published: Mapping[str, Tensor], wavlm: Mapping[str, Tensor], config: WavLMKMConfig, where: str = "") -> WavLMKM:
    """The codec, in eval mode with its weights folded.

    published: as in `from_published`; wavlm: the state dict of `transformers`' WavLMModel. Raises StateDictError naming
    `where` and what is missing, unknown or misshapen.
    """
    with blank():
        model = WavLMKM(config)
    encoder = from_transformers(wavlm, config.layers[-1])
    state = {f"encoder.{key}": value for key, value in encoder.items()} | from_published(published)
    load_strict(model, state, (), where)
    return freeze(model)


def freeze(model: WavLMKM) -> WavLMKM:
    """Evaluation mode with plain weights: the same function, faster."""
    model.eval().requires_grad_(False)
    fold_weight_norm(model)
    return model


def random_model(config: WavLMKMConfig, seed: int) -> WavLMKM:
    """Seeded random weights whose codes vary: for tests, never for results."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WavLMKM(config).eval()
        with torch.no_grad():
            feats = model.sig_to_feats(torch.randn(1, 16000))[0]
            spread = feats.std(0).T[:, None] * torch.randn_like(model.quantizer.centroids)
            model.quantizer.centroids.copy_(feats.mean(0).T[:, None] + spread)
    return freeze(model)
