"""A recipe card (TOML) read into settings: unknown or missing keys are errors that name the file and the key.

Cards lie beside the codec's own: codecs/focalcodec/recipe.nano.toml. Tables: [model] goes to the network's constructor,
[data], [run], [optimiser], [loss], [discriminator] to the classes below; [sources] says where a value comes from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import BadCard, UnknownName
from bench.train.data import Augmentation


@dataclass(frozen=True)
class DataSettings:
    """Where the speech comes from and how it is cut.

    sources: data set names; weights: how much more often the items of each source are drawn than their length says.
    held_out: voices of the first source kept back for validation. crop_s: seconds. resample: convert other rates.
    """

    sources: tuple[str, ...]
    crop_s: float
    batch: int
    weights: tuple[float, ...] = ()
    held_out: int = 0
    resample: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class RunSettings:
    """How long, how exactly and how often.

    Either `steps` or `minutes` (of training time, pauses between resumptions not counted) ends the run; the schedule
    follows the same clock. precision: "fp32", "bf16" (autocast) or "auto" (the faster of both, measured at the start).
    average: decay of the moving average of the weights that is validated and exported; 0 uses the weights themselves.
    """

    steps: int = 0
    minutes: float = 0.0
    seed: int = 0
    precision: str = "fp32"
    average: float = 0.0
    log_every: int = 50
    checkpoint_every_s: float = 120.0
    validate_every_s: float = 0.0
    validate_items: int = 8
    validate_metrics: tuple[str, ...] = ("stoi",)


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW (Adam when weight_decay is 0) for generator and discriminator.

    schedule: "constant", "cosine" (to `final` times the rate, after `warmup` of the run), "exponential" (times `decay`
    every `decay_steps`) or "newbob" (times `decay` when validation improves by less than `threshold`).
    clip: largest gradient norm of the generator, 0 for none.
    """

    lr: float
    betas: tuple[float, float]
    discriminator_lr: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0
    final: float = 0.05
    decay: float = 0.999
    decay_steps: int = 1000
    threshold: float = 0.0025
    clip: float = 0.0


@dataclass(frozen=True)
class DiscriminatorSettings:
    """Which discriminators judge, and how their words weigh.

    stft: FFT sizes (samples) of the MS-STFT one, with `filters` and `frequency_stride`; periods with `period_channels`
    of the multi-period one; scales with `scale_width` of the multi-scale one. power: exponent of the magnitudes that the
    MS-STFT one sees. level: bring both waves to the level at which the original's RMS is 1; without it, speech of RMS
    0.05 teaches a new discriminator nothing for hundreds of steps. crop: samples judged of each item (0 = all). start:
    fraction of the run after which it begins. relative: see feature_matching_loss. reduce: mean or sum. initial: the
    discriminator.safetensors that another run left, to go on from; empty starts anew.
    """

    adversarial: float = 1.0
    features: float = 1.0
    stft: tuple[int, ...] = ()
    filters: int = 32
    frequency_stride: int = 2
    first_stride: int = 1
    power: float = 1.0
    periods: tuple[int, ...] = ()
    period_channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    scales: int = 0
    scale_width: int = 128
    level: bool = False
    crop: int = 0
    start: float = 0.0
    relative: bool = False
    reduce: str = "mean"
    clipped: bool = True
    initial: str = ""


@dataclass(frozen=True)
class RecipeCard:
    """One configuration of one recipe."""

    recipe: str
    title: str
    model: Mapping[str, Any]
    data: DataSettings
    run: RunSettings
    optimiser: OptimiserSettings
    loss: Mapping[str, Any] = field(default_factory=dict)
    discriminator: DiscriminatorSettings | None = None
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    path: Path = Path()

    @property
    def fingerprint(self) -> str:
        """Hash of what shapes the networks: a checkpoint of another configuration is refused by it."""
        judges = dataclasses.asdict(self.discriminator) if self.discriminator else {}
        for name in ("adversarial", "features", "power", "level", "crop", "start", "relative", "reduce", "clipped", "initial"):
            judges.pop(name, None)
        shape = {"recipe": self.recipe, "model": self.model, "discriminator": judges}
        return hashlib.sha256(json.dumps(shape, sort_keys=True, default=list).encode()).hexdigest()[:16]


def read(path: Path, stage: str = "", overrides: Mapping[str, Any] | None = None) -> RecipeCard:
    """Parse a card; `stage` merges the table [stages.STAGE] over the others. Raises BadCard."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadCard(f"{path}: {error}") from error
    return parse(raw, path, stage, overrides)


def parse(raw: Mapping[str, Any], path: Path = Path(), stage: str = "", overrides: Mapping[str, Any] | None = None) -> RecipeCard:
    """A card from its tables; `overrides` maps dotted keys ("run.steps") to values and wins over the stage."""
    tables: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in raw.items()}
    stages = tables.get("stages", {})
    if stage:
        if stage not in stages:
            raise BadCard(f"{path}: {UnknownName('stage', stage, stages)}")
        for name, table in stages[stage].items():
            tables[name] = {**tables.get(name, {}), **table} if isinstance(table, Mapping) else table
    elif stages:
        raise BadCard(f"{path}: trains in stages; choose one with --stage: {', '.join(stages)}")
    for key, value in (overrides or {}).items():
        head, _, tail = key.partition(".")
        if not tail or head not in {f.name for f in dataclasses.fields(RecipeCard)}:
            raise BadCard(f"--set {key}: {UnknownName('table', head, ('model', 'data', 'run', 'optimiser', 'loss'))}")
        tables.setdefault(head, {})[tail] = value
    return _build(RecipeCard, {**tables, "path": path}, str(path))


_NESTED: Mapping[str, type] = {
    "DataSettings": DataSettings,
    "RunSettings": RunSettings,
    "OptimiserSettings": OptimiserSettings,
    "DiscriminatorSettings | None": DiscriminatorSettings,
    "Augmentation": Augmentation,
}

T = TypeVar("T")


def _build(cls: type[T], table: Mapping[str, Any], where: str) -> T:
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            raise BadCard(f"{where}: {UnknownName('key', key, fields)}")
        kind = str(fields[key].type)
        if kind in _NESTED and value is not None:
            value = _build(_NESTED[kind], value, f"{where} [{key}]")
        elif kind.startswith("tuple") and isinstance(value, list):
            value = tuple(value)
        elif kind == "float" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        elif kind in ("int", "float", "str", "bool") and type(value).__name__ != kind:
            raise BadCard(f"{where}: key '{key}' is {value!r}; it must be of type {kind}")
        values[key] = value
    missing = [
        f.name
        for f in fields.values()
        if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise BadCard(f"{where}: missing key {', '.join(missing)}")
    return cls(**values)


def as_table(settings: Any) -> dict[str, Any]:
    """Settings as plain values, for the record of a run."""
    return json.loads(json.dumps(dataclasses.asdict(settings), default=str))
