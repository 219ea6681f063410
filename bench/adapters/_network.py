"""What adapters of networks share: waves one by one, checked tokens, files of weights as networks want them."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.adapters import check_settings
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Part, Tokens
from bench.device import to_device
from bench.errors import BadCard, BadCodes, UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch import pickles
from bench.fetch.weights import Weights

if TYPE_CHECKING:
    import torch

Config = TypeVar("Config")


class NetworkCodec(Codec):
    """A network that codes one wave at a time, so that no padding can change its codes.

    Subclasses say what a wave becomes (`parts`) and what codes become (`wave`); both run in inference mode.
    """

    def __init__(self, network: torch.nn.Module, device: str) -> None:
        self.network: Any = network.eval().to(device)
        self.device = device

    @abstractmethod
    def parts(self, wave: torch.Tensor) -> tuple[Part, ...]:
        """wave [1, T] -> what is sent."""

    @abstractmethod
    def wave(self, codes: Codes) -> torch.Tensor:
        """Codes -> decoded wave [1, T']."""

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        import torch

        with torch.inference_mode():
            return [Codes(self.parts(self.tensor(wave)), len(wave), self.sample_rate) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        import torch

        with torch.inference_mode():
            return [self.wave(message)[0].float().cpu().numpy() for message in codes]

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """The codec's one network."""
        return {"model": self.network}

    def tensor(self, wave: Wave) -> torch.Tensor:
        """wave [T] -> [1, T] on the codec's device."""
        import torch

        return to_device(torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None], self.device)

    def indices(self, codes: Codes, name: str, sizes: tuple[int, ...], least: int = 1) -> torch.Tensor:
        """Indices [1, N, K] of the part `name`. Raises BadCodes where the part is another, or shorter than `least`."""
        import torch

        part = codes.part(name)
        if not isinstance(part, Tokens) or part.sizes != sizes:
            raise BadCodes(f"part '{name}' with {getattr(part, 'sizes', None)} does not fit codebooks of {sizes}")
        if len(part.indices) < least:
            raise BadCodes(f"part '{name}' holds {len(part.indices)} tokens; this codec decodes {least} or more")
        return to_device(torch.from_numpy(part.indices.astype(np.int64))[None], self.device)


def tokens(name: str, rate_hz: float, sizes: tuple[int, ...], indices: torch.Tensor) -> Tokens:
    """The part of indices [1, N, K]."""
    return Tokens(name, rate_hz, sizes, indices[0].cpu().numpy())


def array(values: torch.Tensor) -> NDArray[np.float32]:
    """Any tensor as float32 numpy."""
    return values.detach().float().cpu().numpy()


def configured(point: Point, base: Config, keys: Sequence[str] = (), ignored: Sequence[str] = ()) -> Config:
    """`base` (a dataclass) with the card's settings `keys`, then those under `config`, put in; lists become tuples.

    Settings `ignored` are the adapter's own. Raises BadCard for a setting or dimension that there is not, or that does
    not fit the others.
    """
    check_settings(point, keys, ("config", *ignored))
    given = {key: point.settings[key] for key in keys} | dict(point.settings.get("config", {}))
    try:
        return _replaced(point, base, given)
    except ValueError as error:
        raise BadCard(f"{point.name}: {error}") from error


def _replaced(point: Point, base: Any, given: Mapping[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(base)}
    values = {}
    for key, value in given.items():
        if key not in names:
            raise BadCard(f"{point.name}: {UnknownName('dimension', key, names)}")
        inner = getattr(base, key)
        nested = dataclasses.is_dataclass(inner) and isinstance(value, Mapping)
        values[key] = _replaced(point, inner, value) if nested else _tuples(value)
    return dataclasses.replace(base, **values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def named_file(point: Point, weights: Weights, suffixes: tuple[str, ...] | None = None) -> Path:
    """The one file of weights (of those with `suffixes`, where given). Raises WeightsMissing or WeightsInvalid."""
    found = [path for path in weights.files.values() if suffixes is None or path.suffix in suffixes]
    if len(found) == 1:
        return found[0]
    table = point.weights_table(weights.kind) or {}
    wanted = f"one file ending in {' or '.join(suffixes)}" if suffixes else "one file"
    if not weights.files:
        raise WeightsMissing(
            f"{point.name}: its card names no file of {table.get('repo', weights.source)}. "
            f"Cure: fetch {wanted} from there and pass WEIGHTS=FILE (make) or --weights FILE."
        )
    raise WeightsInvalid(f"{point.name}: need {wanted} in {weights.source}, found {', '.join(sorted(weights.files))}")


def taken_over(point: Point, make: Callable[[], Config]) -> Config:
    """What `make` makes of a checkpoint; its ValueError becomes WeightsInvalid."""
    try:
        return make()
    except ValueError as error:
        raise WeightsInvalid(f"{point.name}: {error}") from error


def read_state(path: Path, *, inside: str = "", keep: Sequence[str] = ()) -> dict[str, torch.Tensor]:
    """A published checkpoint as a flat state dict; see `bench.fetch.pickles` for `inside`, `keep` and what is allowed.

    Raises WeightsInvalid for a file that cannot be read as tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(pickles.as_safetensors(path, inside=inside, keep=keep)))
    except (SafetensorError, OSError) as error:
        raise WeightsInvalid(
            f"{path}: cannot be read as safetensors ({error}); it was changed or cut short: get it anew from its source"
        ) from error
