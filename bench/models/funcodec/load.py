"""Reads FunCodec networks: published flat state dicts (settings inferred from tensor shapes) and files written here."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.models.blocks.int8 import unpack
from bench.models.blocks.seanet import Side
from bench.models.blocks.states import StateDictError, blank, load_strict
from bench.models.funcodec.config import BINS, Domain, FunCodecConfig
from bench.models.funcodec.model import FunCodec

# Training-only parts of a published file, and buffers that are constants here.
IGNORED = re.compile(r"^(discriminator|mel_spec_transforms|.*spec_transform)\.|_trans_func\.window$")
_STACK = "quantizer.rq.model."
_DOMAINS: dict[int, Domain] = {3: "mag_phase", 2: "mag_angle"}


def infer_config(state: Mapping[str, Tensor], *, causal: bool = False, domain: Domain | None = None) -> FunCodecConfig:
    """Settings of a published state dict, from names and shapes alone.

    Shapes tell widths, kernels, strides, groups, residual layers, LSTM, norm and codebooks. They cannot tell whether
    padding is causal, nor the dilation of the residual layers (taken as the toolkit's: 2 in one dimension, 1 in two),
    nor, with two planes, magnitude-angle (assumed) from real-imaginary: give `domain`.
    """
    table = _need(state, _STACK + "embed")
    codebooks, size, dim = table.shape
    first = _weight(state, "encoder", 0, "conv.conv")
    norm = "time_group_norm" if "encoder.model.0.conv.norm.weight" in state else "none"
    if "encoder.model.0.conv.conv.weight_v" in state:
        norm = "weight_norm"
    planes = first.shape[1]
    if domain is None:
        flat = first.ndim == 3 and planes > 1
        domain = "time" if first.ndim == 3 and not flat else _DOMAINS.get(planes // BINS if flat else planes)
        if domain is None:
            raise StateDictError(f"encoder.model.0: {planes} input planes belong to no known domain")
    encoder, strides = _side(state, "encoder")
    decoder, ups = _side(state, "decoder")
    if list(reversed(strides)) != ups:
        raise StateDictError(f"encoder strides {strides} are not the decoder's {ups} reversed")
    return FunCodecConfig(
        domain=domain,
        ratios=tuple(r[0] if len(r) == 1 else r for r in ups),
        dim=dim,
        norm=norm,  # type: ignore[arg-type]
        causal=causal,
        encoder=encoder,
        decoder=decoder,
        codebooks=codebooks,
        codebook_size=size,
        dropout=tuple(n for n in (1, 2, 4, 8, 16, 32) if n <= codebooks),
    )


def _need(state: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in state:
        raise StateDictError(f"no tensor {key!r}: this is not a FunCodec generator")
    return state[key]


def _weight(state: Mapping[str, Tensor], part: str, index: int, inner: str) -> Tensor:
    stem = f"{part}.model.{index}.{inner}.weight"
    return state[stem + "_v"] if stem + "_v" in state else _need(state, stem)


def _side(state: Mapping[str, Tensor], part: str) -> tuple[Side, list[tuple[int, ...]]]:
    """Settings of one half, and the strides of its stages in order."""
    kinds: dict[int, str] = {}
    for key in state:
        if match := re.match(rf"{part}\.model\.(\d+)\.(convtr|conv|block|lstm)\.", key):
            kinds[int(match[1])] = match[2]
    order = sorted(kinds)
    last = order[-1]
    convs = [i for i in order if kinds[i] == "conv"]
    first_weight = _weight(state, part, order[0], "conv.conv")
    last_weight = _weight(state, part, last, "conv.conv")
    if part == "encoder":
        stages = convs[1:-1]
        weights = [_weight(state, part, i, "conv.conv") for i in stages]
        width = first_weight.shape[0]
        groups = [2**n * width // w.shape[1] for n, w in enumerate(weights)]
    else:
        stages = [i for i in order if kinds[i] == "convtr"]
        weights = [_weight(state, part, i, "convtr.convtr") for i in stages]
        width = last_weight.shape[1]
        groups = [
            _need(state, f"{part}.model.{i}.convtr.convtr.bias").shape[0] // w.shape[1]
            for i, w in zip(stages, weights, strict=True)
        ]
    if not stages:
        raise StateDictError(f"{part}: no strided convolution found")
    strides = [tuple(k // 2 for k in w.shape[2:]) for w in weights]
    blocks = [i for i in order if kinds[i] == "block"]
    lstms = [i for i in order if kinds[i] == "lstm"]
    transposed_ratio = conv_ratio = -1
    residual_kernel = 3
    if blocks:
        # The widest block: only there is an integer division by the ratio sure to be more than one group.
        shortcut = _weight(state, part, blocks[-1 if part == "encoder" else 0], "shortcut.conv.conv")
        residual_kernel = _weight(state, part, blocks[0], "block.1.conv.conv").shape[-1]
        shortcut_groups = shortcut.shape[0] // shortcut.shape[1]
        conv_ratio = shortcut.shape[0] // 2 // shortcut_groups if shortcut_groups > 1 else -1
    if part == "decoder":
        channels = weights[0].shape[0]
        transposed_ratio = channels // 2 // groups[0] if groups[0] > 1 else -1
    elif groups[-1] > 1:
        channels = weights[-1].shape[0] // 2
        conv_ratio = channels // 2 // groups[-1]
    lstm_layers = len([k for k in state if lstms and re.match(rf"{part}\.model\.{lstms[0]}\.lstm\.weight_ih_l\d+$", k)])
    return (
        Side(
            width=width,
            kernel_size=first_weight.shape[-1],
            last_kernel_size=last_weight.shape[-1],
            residual_kernel_size=residual_kernel,
            residual_layers=len(blocks) // len(stages),
            dilation_base=2 if len(strides[0]) == 1 else 1,
            lstm_layers=lstm_layers,
            conv_group_ratio=conv_ratio,
            transposed_group_ratio=transposed_ratio,
        ),
        strides,
    )


def from_state_dict(state: Mapping[str, Tensor], config: FunCodecConfig | None = None, *, causal: bool = False) -> FunCodec:
    """A network in evaluation mode from a published flat state dict; the settings are inferred when none are given.

    Discriminator and mel buffers are left out. StateDictError names tensors that are missing, left over or misshapen.
    """
    config = config or infer_config(state, causal=causal)
    with blank():
        model = FunCodec(config)
    own = {k: v for k, v in state.items() if not IGNORED.search(k) and not k.startswith(_STACK)}
    for level in range(config.codebooks):
        for name in ("inited", "cluster_size", "embed", "embed_avg"):
            stack = state.get(_STACK + name)
            if name == "inited":
                own[f"quantizer.levels.{level}.{name}"] = torch.ones(1)
            elif stack is not None:
                own[f"quantizer.levels.{level}.{name}"] = stack[level].clone()
    _fill(model, own)
    return model.eval()


def _fill(model: FunCodec, own: Mapping[str, Tensor]) -> None:
    own = {k: v.float() if v.is_floating_point() else v for k, v in own.items()}
    for level in range(len(model.quantizer.levels)):
        # Inference files may leave out the averages, which only training needs.
        stem = f"quantizer.levels.{level}."
        if stem + "embed" in own:
            own.setdefault(stem + "inited", torch.ones(1))
            own.setdefault(stem + "cluster_size", torch.full((own[stem + "embed"].shape[0],), 2.0))
            own.setdefault(stem + "embed_avg", own[stem + "embed"] * own[stem + "cluster_size"][:, None])
    load_strict(model, own)
    fresh = type(model.transform)(model.config.domain, model.config.flat)
    model.transform = fresh  # its window is a constant that no file carries


def load(path: Path, *, causal: bool = False) -> FunCodec:
    """A network from a file: `.safetensors` written by `save` (settings in its "config" header, tensors of any float
    type), or a published state dict (`.pth`, or `.safetensors` without header), opened with `weights_only=True`."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                header: Mapping[str, str] = file.metadata() or {}
                state = unpack({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            raise StateDictError(f"{path} is no safetensors file: {error}") from error
        if "config" in header:
            with blank():
                model = FunCodec(FunCodecConfig.from_dict(json.loads(header["config"])))
            _fill(model, state)
            return model.eval()
        return from_state_dict(state, causal=causal)
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise StateDictError(f"{path} is no file of plain tensors: {str(error).splitlines()[0]}") from error
    flat = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(flat, dict) or not all(isinstance(v, Tensor) for v in flat.values()):
        raise StateDictError(f"{path} holds no flat state dict")
    return from_state_dict(flat, causal=causal)


def save(model: FunCodec, path: Path, *, half: bool = True, training: bool = False) -> None:
    """Writes `.safetensors` with the settings as JSON in the header; `half` stores float16, `training` keeps the moving
    averages of the codebooks."""
    from safetensors.torch import save_file

    state = {
        key: (value.half() if half else value).contiguous()
        for key, value in model.state_dict().items()
        if training or not key.endswith((".embed_avg", ".cluster_size", ".inited"))
    }
    save_file(state, path, metadata={"config": json.dumps(model.config.as_dict()), "family": "funcodec"})
