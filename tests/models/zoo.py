"""Reference cases under tests/fixtures/zoo and the rule by which their weights are made (see its README)."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

ZOO = Path(__file__).resolve().parent.parent / "fixtures" / "zoo"

# (name, r) -> float64 values or None, r standard normal of the tensor's shape.
OwnRule = Callable[[str, NDArray[np.float64]], NDArray[np.float64] | None]


@dataclass(frozen=True)
class Case:
    """One case: `facts` (TAG.json, empty where absent), `arrays` (TAG.npz, likewise) and `manifest`."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    manifest: Mapping[str, Any]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensor name -> shape of the published module's state dict."""
        return {entry["name"]: tuple(entry["shape"]) for entry in self.manifest["state_dict"]}

    def inputs(self) -> list[str]:
        """nLEN of every stored input."""
        return [key.split(".")[0] for key in self.arrays if key.endswith(".wave")]

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.arrays[key]))


def case(codec: str, tag: str) -> Case:
    folder = ZOO / codec
    facts = folder / f"{tag}.json"
    arrays = folder / f"{tag}.npz"
    return Case(
        json.loads(facts.read_text()) if facts.is_file() else {},
        dict(np.load(arrays, allow_pickle=False)) if arrays.is_file() else {},
        json.loads((folder / f"{tag}.manifest.json").read_text()),
    )


def weight(name: str, shape: tuple[int, ...], own: OwnRule) -> torch.Tensor:
    """The tensor that the rule gives for a name and shape; `own` is asked first."""
    r = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    last = name.rpartition(".")[2]
    value = own(name, r)
    if value is None:
        if last == "weight_g" or name.endswith("parametrizations.weight.original0"):
            value = 1 + 0.1 * np.abs(r)
        elif last == "bias" or last.startswith("bias_"):
            value = 0.05 * r
        elif len(shape) >= 2:
            value = r / math.sqrt(math.prod(shape[1:]))
        elif len(shape) == 1 and last == "weight":
            value = 1 + 0.1 * r
        else:
            value = 0.1 * r
    return torch.from_numpy(np.asarray(value, np.float64).astype(np.float32))


def state(found: Case, own: OwnRule, kept: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """The case's state dict, `kept` name endings left out. Fails where the facts' weight checks do not hold."""
    made = {
        entry["name"]: weight(entry["name"], tuple(entry["shape"]), own)
        for entry in found.manifest["state_dict"]
        if entry["dtype"].startswith("float") and not entry["name"].endswith(kept or ("\0",))
    }
    for name, check in found.facts.get("weight_check(first4+sum)", {}).items():
        if name in made:
            values = made[name].double().flatten()
            np.testing.assert_array_equal(values[:4].numpy(), check[:-1])
            np.testing.assert_allclose(float(values.sum()), check[-1], rtol=1e-9, atol=1e-9)
    return made


def close(actual: torch.Tensor, expected: torch.Tensor, share: float = 1e-4) -> None:
    """Equal within `share` of the expected signal's largest value."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=share * float(expected.abs().max()))
