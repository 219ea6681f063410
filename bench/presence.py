"""Whether an operating point runs on this machine, and what it needs if it does not. No network is touched."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from bench import environments, extras
from bench.cards import Point
from bench.fetch import weights

HERE, DOWNLOAD, ENVIRONMENT, PACKAGE, WEIGHTS, REPORTED = (
    "runs here", "needs download", "needs an environment", "needs a package", "needs your weights", "reported only",
)  # fmt: skip


@dataclass(frozen=True)
class Presence:
    """`state` is one of this module's constants; `detail` names weights, sizes, licences, packages."""

    state: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.state} ({self.detail})" if self.detail else self.state


def presence(point: Point) -> Presence:
    """What `point` needs to run here."""
    if not point.adapter:
        return Presence(REPORTED)
    if point.needs_environment and not environments.here(point):
        return Presence(ENVIRONMENT, ", ".join(point.requirements) or point.interpreter)
    lost = extras.absent(point.packages)
    if lost and not point.needs_environment:
        return Presence(PACKAGE, " and ".join(dict.fromkeys(map(extras.cure, lost))))
    if absent := [name for name in point.programs if shutil.which(name) is None]:
        return Presence(PACKAGE, f"not on the PATH: {', '.join(absent)}")
    if not point.needs_weights:
        return Presence(HERE)
    if here := [kind for kind in sorted(point.weights) if weights.available(point, kind)]:
        return Presence(HERE, ", ".join(here))
    table = point.weights_table("official")
    if table is None or ("repo" in table and not table["files"]):
        return Presence(WEIGHTS, "WEIGHTS=PATH; " + ("its files at the hub are not known" if table else "none are published"))
    licence = table.get("licence") or point.card.licence.split(" (")[0].split(";")[0]
    gate = ["to be accepted first"] if table.get("gated") else []
    return Presence(DOWNLOAD, "; ".join([_size(point, table.get("bytes")), licence, *gate]))


def _size(point: Point, stated: int | None) -> str:
    if stated is not None:
        return f"{stated / 1e6:.0f} MB"
    return f"about {point.params_m * 4:.0f} MB" if point.params_m else "size not stated"
