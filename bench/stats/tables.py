"""The tables that rows make: a task on one list of speech under one condition, with a part of the rows for each system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from bench.stats import items
from bench.stats.items import Items
from bench.stats.labels import FIELDS, system_labels
from bench.stats.parts import GROUP, Joined, Only, Part, parts_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Group:
    """One table: a task on one list of speech under one condition."""

    task: str
    condition: str
    dataset: str
    dataset_sha256: str

    def __str__(self) -> str:
        return " / ".join(part for part in (self.task, self.dataset, self.condition) if part)


@dataclass(frozen=True)
class Table:
    """The rows of one group. systems: labels, in order of first appearance; parts: the rows of each."""

    group: Group
    systems: tuple[str, ...]
    parts: tuple[Part, ...]

    @cached_property
    def kinds(self) -> pd.DataFrame:
        """`Part.kinds` of all parts, with the label of the `system`."""
        import pandas as pd

        every = [part.kinds.assign(system=name) for name, part in zip(self.systems, self.parts, strict=True)]
        return pd.concat(every, ignore_index=True)

    @cached_property
    def items(self) -> Items:
        """What was scored."""
        return items.items(self.parts)

    def without(self, field: str, text: str) -> Table:
        """The table less the rows whose `field` is `text`."""
        if not (self.kinds[field] == text).any():
            return self
        return replace(self, parts=tuple(Only(part, drop=((field, text),)) for part in self.parts))

    def of(self, systems: Sequence[str]) -> Table:
        """Some of the systems."""
        return replace(self, systems=tuple(systems), parts=tuple(self.parts[self.systems.index(name)] for name in systems))


def tables(rows: pd.DataFrame | Sequence[Part]) -> list[Table]:
    """The tables of rows that are in memory or in parts, in order of first appearance."""

    found: dict[tuple[str, ...], list[tuple[pd.DataFrame, Part]]] = {}
    for part in parts_of(rows):
        groups = list(part.kinds.groupby(list(GROUP), sort=False))
        for key, kinds in groups:
            name = tuple(map(str, key))
            mine = part if len(groups) == 1 else Only(part, keep=tuple(zip(GROUP, name, strict=True)))
            found.setdefault(name, []).append((kinds, mine))
    return [_table(Group(*name), some) for name, some in found.items()]


def _table(group: Group, found: Sequence[tuple[pd.DataFrame, Part]]) -> Table:
    """The parts of one group, those of one system joined."""
    import pandas as pd

    distinct = pd.concat([kinds[list(FIELDS)].drop_duplicates().assign(part=n) for n, (kinds, _) in enumerate(found)])
    distinct = distinct.reset_index(drop=True)
    labels = system_labels(distinct)
    parts: dict[str, list[Part]] = {}
    for name, row in zip(labels, distinct.to_dict("records"), strict=True):
        part = found[row["part"]][1]
        if (distinct["part"] == row["part"]).sum() > 1:
            part = Only(part, keep=tuple((field, str(row[field])) for field in FIELDS))
        parts.setdefault(str(name), []).append(part)
    return Table(group, tuple(parts), tuple(some[0] if len(some) == 1 else Joined(tuple(some)) for some in parts.values()))
