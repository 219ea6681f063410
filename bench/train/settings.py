"""A recipe card (TOML) read into settings: unknown or missing keys are errors that name the file and the key.

Cards lie beside the codec's own: codecs/focalcodec/recipe.nano.toml. Tables: [model] goes to the network's constructor,
[data], [run], [optimiser], [loss], [discriminator] to the classes below; [sources] says where a value comes from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bench import toml
from bench.errors import BadCard, UnknownName
from bench.toml import Record
from bench.train.data import Augmentation

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class DataSettings(Record, frozen=True):
    """Where the speech comes from and how it is cut.

    sources: data set names; weights: how much more often the items of each source are drawn than their length says.
    held_out: voices of the first source kept back for validation. crop_s: seconds. resample: convert other rates.
    """

    sources: Annotated[tuple[str, ...], Meta(min_length=1)]
    crop_s: Positive
    batch: Annotated[int, Meta(ge=1)]
    weights: tuple[NotNegative, ...] = ()
    held_out: Count = 0
    resample: bool = False
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        if len(self.weights) > len(self.sources):
            raise ValueError(f"{len(self.weights)} weights for {len(self.sources)} sources; give one for each")


class RunSettings(Record, frozen=True):
    """How long, how exactly and how often.

    Either `steps` or `minutes` (of training time, pauses between resumptions not counted) ends the run; the schedule
    follows the same clock. precision: "fp32", "bf16" (autocast) or "auto" (the faster of both, measured at the start).
    average: decay of the moving average of the weights that is validated and exported; 0 uses the weights themselves.
    """

    steps: Count = 0
    minutes: NotNegative = 0.0
    seed: Count = 0
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    average: Share = 0.0
    log_every: Annotated[int, Meta(ge=1)] = 50
    checkpoint_every_s: NotNegative = 120.0
    validate_every_s: NotNegative = 0.0
    validate_items: Annotated[int, Meta(ge=1)] = 8
    validate_metrics: Annotated[tuple[str, ...], Meta(min_length=1)] = ("stoi",)

    def __post_init__(self) -> None:
        if not self.steps and not self.minutes:
            raise ValueError("nothing ends the run; set 'steps' or 'minutes'")


class OptimiserSettings(Record, frozen=True):
    """AdamW (Adam when weight_decay is 0) for generator and discriminator.

    schedule: "constant", "cosine" (to `final` times the rate, after `warmup` of the run), "exponential" (times `decay`
    every `decay_steps`) or "newbob" (times `decay` when validation improves by less than `threshold`).
    clip: largest gradient norm of the generator, 0 for none.
    """

    lr: Positive
    betas: tuple[Share, Share]
    discriminator_lr: NotNegative = 0.0
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "cosine", "exponential", "newbob"] = "constant"
    warmup: Share = 0.0
    final: NotNegative = 0.05
    decay: Positive = 0.999
    decay_steps: Annotated[int, Meta(ge=1)] = 1000
    threshold: float = 0.0025
    clip: NotNegative = 0.0


class DiscriminatorSettings(Record, frozen=True):
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
    reduce: Literal["mean", "sum"] = "mean"
    clipped: bool = True
    initial: str = ""


class RecipeFile(Record, frozen=True):
    """The tables of one configuration of one recipe."""

    recipe: str
    title: str
    model: Mapping[str, Any]
    data: DataSettings
    run: RunSettings
    optimiser: OptimiserSettings
    loss: Mapping[str, Any] = {}
    discriminator: DiscriminatorSettings | None = None
    stages: Mapping[str, Mapping[str, Any]] = {}
    sources: Mapping[str, str] = {}


class RecipeCard(RecipeFile, frozen=True):
    """One configuration of one recipe, and the file that it stands in."""

    path: Path = Path()

    @property
    def fingerprint(self) -> str:
        """Hash of what shapes the networks: a checkpoint of another configuration is refused by it."""
        judges = msgspec.structs.asdict(self.discriminator) if self.discriminator else {}
        for name in ("adversarial", "features", "power", "level", "crop", "start", "relative", "reduce", "clipped", "initial"):
            judges.pop(name, None)
        shape = {"recipe": self.recipe, "model": self.model, "discriminator": judges}
        return hashlib.sha256(json.dumps(shape, sort_keys=True, default=list).encode()).hexdigest()[:16]


def read(path: Path, stage: str = "", overrides: Mapping[str, Any] | None = None) -> RecipeCard:
    """Parse a card; `stage` lays the table [stages.STAGE] upon the others, tables within tables too. Raises BadCard."""
    return parse(toml.load(path), path, stage, overrides)


def parse(raw: Mapping[str, Any], path: Path = Path(), stage: str = "", overrides: Mapping[str, Any] | None = None) -> RecipeCard:
    """A card from its tables; `overrides` maps dotted keys ("run.steps") to values and wins over the stage."""
    tables: dict[str, Any] = dict(raw)
    stages, where = tables.get("stages", {}), str(path)
    if stage:
        if not isinstance(stages, Mapping) or stage not in stages:
            raise BadCard(f"{path}: {UnknownName('stage', stage, stages)}")
        tables = _merged(tables, stages[stage])
        where += f", stage {stage}"
    elif stages:
        raise BadCard(f"{path}: trains in stages; choose one with --stage: {', '.join(stages)}")
    for key, value in (overrides or {}).items():
        head, _, tail = key.partition(".")
        if not tail or head not in RecipeFile.__struct_fields__:
            raise BadCard(f"--set {key}: {UnknownName('table', head, ('model', 'data', 'run', 'optimiser', 'loss'))}")
        tables[head] = {**tables.get(head, {}), tail: value}
    made = toml.typed(tables, RecipeFile, where)
    return RecipeCard(**msgspec.structs.asdict(made), path=path)


def _merged(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid upon `table`, tables within tables too; whatever else is in both is taken from `over`."""
    made = dict(table)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), Mapping)
        made[key] = _merged(made[key], value) if both else value
    return made


def as_table(settings: Any) -> dict[str, Any]:
    """Settings as plain values, for the record of a run."""
    table: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    return table
