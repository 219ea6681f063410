"""Adapters: one module per way of reaching a codec, each with `load(point, weights, device) -> Codec`.

A card names its adapter. The name is looked up first among the entry points of group `bench.adapters` (other packages
add theirs there, the value being the module's path), then among the modules of this package.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from types import ModuleType

from bench import cards
from bench.batches import out_of_memory
from bench.cards import Point
from bench.coding.codec import Codec
from bench.errors import BadCard, BenchError, UnknownName, WeightsInvalid, WeightsMissing, in_words
from bench.fetch.weights import Weights


def targets() -> dict[str, str]:
    """Adapter name -> module path, ours and other packages'. Nothing is imported."""
    return cards.adapters()


def module(name: str) -> ModuleType:
    """Import the adapter called `name`; raises UnknownName with the nearest ones, BadCard when it has no `load`."""
    found = targets()
    if name not in found:
        raise UnknownName("adapter", name, found)
    adapter = importlib.import_module(found[name])
    if not callable(getattr(adapter, "load", None)):
        raise BadCard(f"adapter '{name}' ({found[name]}) has no function load(point, weights, device)")
    return adapter


def check_settings(point: Point, needs: Iterable[str] = (), may: Iterable[str] = ()) -> None:
    """Raise BadCard when a setting that the adapter `needs` is missing, or one is given that it does not know."""
    for key in needs:
        if key not in point.settings:
            raise BadCard(f"{point.name}: setting '{key}' is missing in its card")
    known = {*needs, *may}
    for key in point.settings:
        if key not in known:
            raise BadCard(f"{point.name}: {UnknownName('setting', key, known)}")


def load(point: Point, weights: Weights, device: str = "cpu") -> Codec:
    """The codec of an operating point, ready to encode; its rate must be the card's.

    Raises BenchError; weights of a path that do not fit are WeightsInvalid or WeightsMissing, which names the path.
    """
    codec = _load(point, weights, device)
    if codec.sample_rate != point.sample_rate:
        raise BadCard(f"{point.name}: the card says {point.sample_rate} Hz, the adapter {codec.sample_rate} Hz")
    if codec.output_rate != point.output_rate:
        raise BadCard(f"{point.name}: the card says {point.output_rate} Hz out, the adapter {codec.output_rate} Hz")
    return codec


def _load(point: Point, weights: Weights, device: str) -> Codec:
    try:
        return module(point.adapter).load(point, weights, device)
    except ImportError:
        raise
    except Exception as error:
        ours = isinstance(error, BenchError)
        if weights.kind != "path" or out_of_memory(error) or (ours and not isinstance(error, (WeightsInvalid, WeightsMissing))):
            raise
        why = str(error) if ours else f"these are no weights of it, or damaged ones ({in_words(error)})"
        why = f"weights {weights.source}: {why}" if weights.source not in why else why
        why = f"{point.name}: {why}" if point.name not in why else why
        kind = WeightsMissing if isinstance(error, WeightsMissing) else WeightsInvalid
        raise kind(" ".join(why.split())) from error
