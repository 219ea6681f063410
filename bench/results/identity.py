"""What makes rows rows of one system, and how its file is called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, order=True)
class Identity:
    """What makes two rows rows of one system: codec, weights, kind of device, role and variant."""

    codec: str
    weights: str
    weights_sha256: str
    device_kind: str
    role: str
    variant: str = ""

    @property
    def file_name(self) -> str:
        """`focalcodec@50-nano-543250b0.parquet`: safe on every file system, another one for every identity."""
        parts = [self.codec]
        if self.weights != "none":
            parts.append(self.weights)
        if self.weights_sha256 not in ("", "none"):
            parts.append(self.weights_sha256[:8])
        if self.device_kind != "cpu":
            parts.append(self.device_kind)
        if self.role != "resynthesis":
            parts.append(self.role)
        if self.variant:
            parts.append(self.variant)
        plain = "-".join(parts)
        safe = re.sub(r"[^\w@.+-]+", "-", plain, flags=re.ASCII).strip("-.")[:120]
        if safe != plain:
            safe += "-" + hashlib.sha256(plain.encode()).hexdigest()[:6]
        return safe + ".parquet"


def identity_of(rows: Mapping[str, Any]) -> Identity:
    """The identity of a row (a mapping with SCHEMA's fields)."""
    return Identity(**{name: "" if _missing(rows[name]) else str(rows[name]) for name in Identity.__dataclass_fields__})


def _missing(value: Any) -> bool:
    return value is None or value != value or type(value).__name__ == "NAType"


def by_system(rows: pd.DataFrame) -> Iterator[tuple[Identity, pd.DataFrame]]:
    """The rows of each system, in the order of their appearance."""
    names = list(Identity.__dataclass_fields__)
    for _, part in rows.groupby(names, observed=True, sort=False, dropna=False):
        yield identity_of(part.iloc[0]), part


def facts_of(rows: pd.DataFrame, identity: Identity) -> dict[str, Any]:
    """What a file says of itself, from its rows."""
    names = ("task", "dataset", "dataset_sha256", "audio_sha256", "system_key")
    return {**asdict(identity), **{name: str(rows[name].iloc[0]) for name in names}}
