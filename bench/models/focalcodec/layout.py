"""What a checkpoint says by itself: old key names, and every size that can be read off the shapes of its tensors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Shapes = Mapping[str, Sequence[int]]


def modern_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict in today's key layout. Release 0.0.1, in which the first models were published, differs:

    query, key and value projections are apart; the pairs in compressor and decompressor layers are numbered; a final
    encoder norm that was never applied, and a constant of the quantizer, are stored.
    """
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if key == "quantizer.mask" or key.startswith("encoder.encoder.norm."):
            continue
        if re.search(r"\.[kv]_proj\.", key):
            continue
        if ".q_proj." in key:
            parts = [state.get(key.replace(".q_proj.", f".{name}_proj.")) for name in "qkv"]
            # If one of the three is missing the key stays as it is and is reported under its own name.
            if all(part is not None for part in parts):
                out[key.replace(".q_proj.", ".qkv_proj.")] = torch.cat([p for p in parts if p is not None])
                continue
        key = re.sub(r"^(compressor\.layers\.\d+)\.0\.", r"\1.downscale.", key)
        key = re.sub(r"^(compressor\.layers\.\d+)\.1\.", r"\1.focal_block.", key)
        key = re.sub(r"^(decompressor\.layers\.\d+)\.0\.", r"\1.focal_block.", key)
        key = re.sub(r"^(decompressor\.layers\.\d+)\.1\.", r"\1.upscale.", key)
        out[key] = value
    return out


def complete_config(config: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """JSON-form config with the keys that it leaves out taken from tensor shapes, where shapes tell.

    A key that the config has is never changed: if it contradicts the tensors, loading names the tensors.
    """
    out = json.loads(json.dumps(config))
    found = _Reader(shapes)
    decoder = out.setdefault("decoder_name", found.decoder_name())
    inferred = {
        "encoder_config": found.encoder(),
        "compressor_config": found.compressor(),
        "quantizer_config": found.quantizer(),
        "decompressor_config": found.decompressor(),
        "decoder_config": found.decoder(decoder),
    }
    for part, values in inferred.items():
        given = out.setdefault(part, {})
        if "input_channels" in given:
            values.pop("input_dim", None)
        out[part] = {**values, **given}
    return out


class _Reader:
    """Reads sizes; a part whose tensors are missing yields nothing, and loading then names them."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = {key: tuple(shape) for key, shape in shapes.items()}

    def count(self, prefix: str) -> int:
        """Number of consecutive indices i for which some key starts with prefix.i."""
        indices = {int(key[len(prefix) + 1 :].split(".")[0]) for key in self.shapes if re.match(rf"{re.escape(prefix)}\.\d", key)}
        return len(indices)

    def list(self, pattern: str, count: int, axis: int) -> list[int]:
        return [self.shapes[pattern.format(i)][axis] for i in range(count) if pattern.format(i) in self.shapes]

    def encoder(self) -> dict[str, Any]:
        convs = self.count("encoder.feature_extractor.layers")
        conv = "encoder.feature_extractor.layers.{}.conv.weight"
        out: dict[str, Any] = {
            "hidden_dims": self.list(conv, convs, 0),
            "kernel_sizes": self.list(conv, convs, 2),
            "num_layers": self.count("encoder.encoder.layers"),
        }
        if position := self.shapes.get("encoder.encoder.positional_embedding.conv.weight"):
            out |= {"dim": position[0], "conv_pos": position[2], "conv_pos_groups": position[0] // position[1]}
        if buckets := self.shapes.get("encoder.encoder.relative_embedding.weight"):
            out |= {"num_buckets": buckets[0], "num_heads": buckets[1]}
        if ffn := self.shapes.get("encoder.encoder.layers.0.feed_forward.in_proj.weight"):
            out["ffn_dim"] = ffn[0]
        # Shapes of a causal encoder are those of a plain one; its compressor tells.
        return {**out, "causal": self.causal()} if out["hidden_dims"] else {}

    def causal(self) -> bool:
        return "compressor.layers.0.focal_block.modulation_norm.alpha" in self.shapes

    def focal(self, part: str) -> dict[str, Any]:
        block = f"{part}.layers.0.focal_block"
        levels = self.count(f"{block}.modulation.layers") - self.causal()
        kernels = self.list(f"{block}.modulation.layers.{{}}.0.weight", levels + self.causal(), 2)
        if len(kernels) < 1:
            return {}
        out: dict[str, Any] = {"focal_level": levels, "focal_window": kernels[0], "causal": self.causal()}
        if levels > 1:
            out["focal_factor"] = kernels[1] - kernels[0]
        if self.causal():
            out["window_size"] = kernels[-1]
        out["use_layerscale"] = f"{block}.modulation_gamma" in self.shapes
        out["use_post_norm"] = any(key.startswith(f"{block}.modulation.norm.") for key in self.shapes)
        return out

    def compressor(self) -> dict[str, Any]:
        count = self.count("compressor.layers")
        conv = "compressor.layers.{}.downscale.downscale.weight"
        out = self.focal("compressor")
        if conv.format(0) in self.shapes:
            out |= {"hidden_dims": self.list(conv, count, 0), "downscale_factors": self.list(conv, count, 2)}
            out["input_dim"] = self.shapes[conv.format(0)][1]
        if last := self.shapes.get("compressor.out_proj.weight"):
            out["output_dim"] = last[0]
        return out

    def quantizer(self) -> dict[str, Any]:
        last = self.shapes.get("compressor.out_proj.weight")
        return {"codebook_size": 2 ** last[0]} if last else {}

    def decompressor(self) -> dict[str, Any]:
        count = self.count("decompressor.layers")
        conv = "decompressor.layers.{}.upscale.upscale.weight"
        out = self.focal("decompressor")
        if conv.format(0) in self.shapes:
            out |= {"hidden_dims": self.list(conv, count, 0), "upscale_factors": self.list(conv, count, 2)}
            out["output_dim"] = self.shapes[conv.format(count - 1)][1]
        if first := self.shapes.get("decompressor.in_proj.weight"):
            out["input_dim"] = first[1]
        if self.causal():
            levels = self.count("decompressor.layers.0.focal_block.modulation.layers")
            last = f"decompressor.layers.{count - 1}.focal_block.modulation.layers.{levels - 1}.0.weight"
            if last in self.shapes:
                out["last_window_size"] = self.shapes[last][2]
            refiner = self.shapes.get("decompressor.refiner.in_proj.weight")
            out["lookahead_size"] = refiner[1] // out["output_dim"] - 1 if refiner and "output_dim" in out else 0
        return out

    def decoder_name(self) -> str:
        return "WaveNeXt" if self.causal() else "Vocos"

    def decoder(self, name: str) -> dict[str, Any]:
        out: dict[str, Any] = {"num_layers": self.count("decoder.backbone.layers")}
        if first := self.shapes.get("decoder.backbone.embedding.weight"):
            out |= {"dim": first[0], "input_dim": first[1], "kernel_size": first[2]}
        if ffn := self.shapes.get("decoder.backbone.layers.0.pwconv1.weight"):
            out["ffn_dim"] = ffn[0]
        if head := self.shapes.get("decoder.head.proj.weight"):
            out |= {"n_fft": head[0] - 2} if name == "Vocos" else {"hop_length": head[0]}
        return {**out, "causal": self.causal()} if out["num_layers"] else {}
