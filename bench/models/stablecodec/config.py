"""Stable Codec's dimensions, as its `model_config.json` gives them, and its bottlenecks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from ..blocks.fsq import FSQ


class ConfigError(ValueError):
    """A model_config.json that is not one of this codec, or names something that is not known here."""


@dataclass(frozen=True)
class StableCodecConfig:
    """Dimensions. The defaults are not published: they make the published number of parameters, and where the transformers
    lie among the two stages is a guess. Weights come with a file that says.

    patch: samples of a column; c_mults: width of each stage, times `channels`; sliding_window: frames that attention sees
    before and after; layer_scale, conformer, use_dilated_conv, use_snake: parts that a model may have.
    """

    sample_rate: int = 16000
    patch: int = 320
    channels: int = 1024
    latent_dim: int = 6
    c_mults: tuple[int, ...] = (1, 1)
    strides: tuple[int, ...] = (1, 2)
    transformer_depths: tuple[int, ...] = (8, 20)
    sliding_window: tuple[int, int] = (63, 64)
    use_snake: bool = False
    conformer: bool = False
    layer_scale: bool = True
    use_dilated_conv: bool = False

    def __post_init__(self) -> None:
        if not len(self.c_mults) == len(self.strides) == len(self.transformer_depths) > 0:
            raise ConfigError("c_mults, strides and transformer_depths must have one value per stage")
        if len(self.sliding_window) != 2 or min(self.sliding_window) < 0:
            raise ConfigError(f"sliding_window {self.sliding_window} must be two numbers of frames")
        for width in self.widths:
            if width % min(128, width) or min(128, width) % 4:
                raise ConfigError(f"a width of {width} does not split into heads of {min(128, width)} values")
        if self.use_snake and len(set(self.widths)) > 1:
            raise ConfigError("use_snake takes stages of one width: the published decoder gives its activations another")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels before the first stage and after each."""
        return tuple(mult * self.channels for mult in (self.c_mults[0], *self.c_mults))

    @property
    def hop(self) -> int:
        """Samples of one frame."""
        return self.patch * prod(self.strides)

    @property
    def frame_rate_hz(self) -> float:
        """Token frames per second."""
        return self.sample_rate / self.hop


@dataclass(frozen=True)
class Bottleneck:
    """Stages of finite scalar quantization of tanh(latent). The official code works the post-hoc ones out in double
    precision."""

    stages: tuple[FSQ, ...]
    double: bool = True


BOTTLENECKS: Mapping[str, Bottleneck] = {
    "train": Bottleneck((FSQ((17,) * 6),), double=False),
    "1x46656": Bottleneck((FSQ((6,) * 6),)),
    "2x15625": Bottleneck((FSQ((5,) * 6), FSQ((5,) * 6, 0.25))),
    "4x729": Bottleneck((FSQ((3,) * 6), FSQ((3,) * 6, 0.5), FSQ((3,) * 6, 0.25), FSQ((3,) * 6, 0.125))),
}
"""The train-time bottleneck, and those the authors give for use afterwards, by the names of their code."""

_SHARED = ("channels", "latent_dim", "c_mults", "strides", "transformer_depths")
# Defaults of the official constructor, which the file may leave out.
_OPTIONAL: Mapping[str, Any] = {
    "use_snake": False,
    "sliding_window": [63, 64],
    "conformer": False,
    "layer_scale": True,
    "use_dilated_conv": False,
}
_NEUTRAL = {"checkpointing"}


def from_model_config(values: Mapping[str, Any]) -> StableCodecConfig:
    """The dimensions in a published model_config.json. Raises ConfigError naming the key that is missing or unknown."""
    model = _table(values, "model", "")
    encoder = _network(model, "encoder", "in_channels")
    decoder = _network(model, "decoder", "out_channels")
    for key in ("patch", *_SHARED, *_OPTIONAL):
        if encoder[key] != decoder[key]:
            raise ConfigError(f"encoder and decoder differ in {key}: {encoder[key]} and {decoder[key]}")
    patched = model.get("pretransform", {}).get("config", {}).get("patch_size", encoder["patch"])
    if patched != encoder["patch"]:
        raise ConfigError(f"patches of {patched} samples do not go into {encoder['patch']} channels")
    rate = values.get("sample_rate", 16000)
    return StableCodecConfig(sample_rate=rate, **{key: _plain(value) for key, value in encoder.items()})


def _network(model: Mapping[str, Any], name: str, channels: str) -> dict[str, Any]:
    part = _table(model, name, "model.")
    if part.get("type", "taae") != "taae":
        raise ConfigError(f"model.{name}.type is '{part['type']}'; Stable Codec's is 'taae'")
    given = _table(part, "config", f"model.{name}.")
    known = {channels, *_SHARED, *_OPTIONAL, *_NEUTRAL}
    for key in given:
        if key not in known:
            raise ConfigError(f"model.{name}.config has the unknown key '{key}'; known: {', '.join(sorted(known))}")
    for key in (channels, *_SHARED):
        if key not in given:
            raise ConfigError(f"model.{name}.config: key '{key}' is missing")
    return {"patch": given[channels]} | {key: given[key] for key in _SHARED} | {
        key: given.get(key, default) for key, default in _OPTIONAL.items()
    }  # fmt: skip


def _table(values: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = values.get(key) if isinstance(values, Mapping) else None
    if not isinstance(found, Mapping):
        raise ConfigError(f"table '{where}{key}' is missing")
    return found


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
