"""Loaded codecs of a worker: the last few stay between jobs, and so does a codec's failure to load."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

from bench import adapters, device
from bench.batches import fitted
from bench.engine.systems import System
from bench.errors import in_words, is_interrupt

_KEEP_CODECS = 2


class CodecBroken(Exception):
    """A codec that cannot be loaded, or fails on a second of faint noise."""


class Codecs:
    """Loaded codecs of this process, and what came of loading those that failed."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._broken: dict[str, str] = {}

    def get(self, system: System) -> Any:
        """The codec of `system`. Raises CodecBroken, MemoryError."""
        key = system.key
        if key in self._broken:
            raise CodecBroken(self._broken[key])
        if key not in self._loaded:
            while len(self._loaded) >= _KEEP_CODECS:
                self._loaded.popitem(last=False)
            where = device.own(system.device)
            try:
                self._loaded[key] = where, fitted(lambda: load(system), partial(device.make_room, where, key), "the codec")
            except MemoryError:
                # The machine's fault, and perhaps not for long.
                self._loaded.clear()
                device.release()
                raise
            except BaseException as error:
                if is_interrupt(error):
                    raise
                self._broken[key] = f"the codec could not be loaded: {in_words(error)}"
                raise CodecBroken(self._broken[key]) from error
        self._loaded.move_to_end(key)
        return self._loaded[key][1]

    def drop_others(self, where: str, key: str) -> bool:
        """Let the codecs on the device `where` go, but for that of the system `key`; whether there were any."""
        waiting = [one for one, (place, _) in self._loaded.items() if one != key and place == where]
        for one in waiting:
            del self._loaded[one]
        return bool(waiting)


def load(system: System) -> Any:
    """The codec of `system` on this worker's device, warmed up so that lazy set-up is not counted as coding time."""
    import numpy as np

    from bench.coding.codec import roundtrip

    where = device.own(system.device)
    if not device.is_cpu(where):
        device.full_precision()
    codec = adapters.load(system.point, system.weights, where)
    if not hasattr(codec, "decoded_for"):
        roundtrip(codec, np.random.default_rng(0).normal(0.0, 0.01, codec.sample_rate).astype(np.float32))
    return codec
