"""What was scored in one table: its utterances, sorted by name, with their speakers.

Where an utterance has several outputs (the voices of a separation), each of them is an item, and the items of an utterance are
resampled together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.stats import resampling
from bench.stats.parts import Part
from bench.stats.resampling import Places, Plan, Scheme

if TYPE_CHECKING:
    import pyarrow as pa

KEY = ("utterance", "output")
"""Fields that name an item."""
_BETWEEN = "\x1f"
CLUSTERS_NEEDED = 10


@dataclass(frozen=True, eq=False)
class Items:
    """n items. keys: their names, sorted (Arrow text [n]). speaker [n]: places in `speakers`, which are sorted by name.
    utterance [n]: where utterances have several outputs, the place of each item's utterance, else None."""

    keys: pa.Array
    speaker: NDArray[np.int32]
    speakers: tuple[str, ...]
    utterance: Places | None

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def utterances(self) -> int:
        """How many utterances there are."""
        return len(self) if self.utterance is None else int(self.utterance.max()) + 1

    def places(self, rows: pa.Table) -> Places:
        """The item of each row [rows], from its fields KEY."""
        import pyarrow.compute as pc

        keys = keys_of(rows)
        at = pc.index_in(keys.dictionary, value_set=self.keys).fill_null(0).to_numpy(zero_copy_only=False)  # of no row: whatever
        return np.asarray(at, dtype=np.intp)[keys.indices.to_numpy(zero_copy_only=False)]

    def names(self, places: Iterable[int]) -> list[str]:
        """Names of some items: `u1`, or `u1 (voice 2)` for one of several outputs."""
        parts = [self.keys[int(place)].as_py().partition(_BETWEEN) for place in places]
        return [f"{utterance} ({output})" if several else utterance for utterance, several, output in parts]

    def utterance_names(self, places: Iterable[int]) -> list[str]:
        """Names of the utterances of some items."""
        return [self.keys[int(place)].as_py().partition(_BETWEEN)[0] for place in places]

    def plan(self, scheme: Scheme) -> Plan:
        """What is resampled under a scheme."""
        if scheme not in self._plans:
            self._plans[scheme] = resampling.plan(len(self), self.speaker, scheme, self.utterance)
        return self._plans[scheme]

    @cached_property
    def _plans(self) -> dict[Scheme, Plan]:
        return {}

    def only(self, chosen: NDArray[np.bool_]) -> Items:
        """Some of the items, in the same order."""
        import pyarrow as pa

        if chosen.all():
            return self
        utterance = None if self.utterance is None else np.unique(self.utterance[chosen], return_inverse=True)[1]
        there, speaker = np.unique(self.speaker[chosen], return_inverse=True)
        names = tuple(self.speakers[place] for place in there)
        return Items(self.keys.filter(pa.array(chosen)), speaker.astype(np.int32), names, utterance)

    @cached_property
    def scheme(self) -> Scheme:
        """How they are resampled where nothing else is said: speakers where there are enough to stand for others; else
        utterances within speakers."""
        if len(self.speakers) >= CLUSTERS_NEEDED:
            return "cluster"
        return "stratified" if 1 < len(self.speakers) < self.utterances else "utterance"


def keys_of(rows: pa.Table) -> pa.DictionaryArray:
    """The item of each row, from its fields KEY, as a dictionary."""
    import pyarrow as pa
    import pyarrow.compute as pc

    utterance = _text(rows["utterance"])
    output = _text(rows["output"])
    if any(name.as_py() for name in output.dictionary):
        both = pc.binary_join_element_wise(utterance.cast(pa.string()), output.cast(pa.string()), _BETWEEN)
        joined = pc.if_else(pc.equal(output.cast(pa.string()), ""), utterance.cast(pa.string()), both)
        return joined.dictionary_encode()
    return utterance


def _text(column: pa.ChunkedArray) -> Any:
    """A column of text as one dictionary array; what is missing is ""."""
    import pyarrow as pa

    if column.null_count:
        column = column.cast(pa.string()).fill_null("")
    whole = column.combine_chunks()
    return whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()


def items(parts: Sequence[Part]) -> Items:
    """Everything that the parts have rows of."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = pa.array([], pa.string())
    spoken: list[pa.Array] = []
    for part in parts:
        fresh, by = _distinct(part, keys)
        keys = pa.concat_arrays([keys, fresh])
        spoken.append(by)
    speaker = pa.chunked_array(spoken or [pa.array([], pa.string())], pa.string()).combine_chunks()
    order = pc.array_sort_indices(keys)
    keys, speaker = keys.take(order), speaker.take(order).dictionary_encode()
    names = speaker.dictionary.to_pylist()
    rank = np.empty(len(names), dtype=np.int32)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names), dtype=np.int32)
    code = rank[speaker.indices.to_numpy(zero_copy_only=False)] if len(keys) else np.zeros(0, dtype=np.int32)
    return Items(keys, code, tuple(sorted(names)), _utterances(keys))


def _distinct(part: Part, known: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(items of a part that are not known yet, their speakers), as plain text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    seen, spoken = [], []
    last = pa.array([], pa.string())
    for rows in part.slices((*KEY, "speaker")):
        keys = keys_of(rows)
        names, first = _first(keys)
        fresh = pc.invert(pc.is_in(names, value_set=last))
        if len(known):
            fresh = pc.and_(fresh, pc.invert(pc.is_in(names, value_set=known)))
        if pc.any(fresh).as_py():
            who = _text(rows["speaker"]).take(pa.array(first)).cast(pa.string())
            seen.append(names.filter(fresh))
            spoken.append(who.filter(fresh))
        last = names  # the rows of an utterance mostly follow one another
    if not seen:
        return pa.array([], pa.string()), pa.array([], pa.string())
    together = pa.chunked_array(seen, pa.string()).combine_chunks()
    names, first = _first(together.dictionary_encode())
    return names, pa.chunked_array(spoken, pa.string()).combine_chunks().take(pa.array(first))


def _first(keys: pa.DictionaryArray) -> tuple[pa.Array, Places]:
    """(the distinct names, the place where each comes first)."""
    import pyarrow as pa

    codes = keys.indices.to_numpy(zero_copy_only=False)
    there, first = np.unique(codes, return_index=True)
    return keys.dictionary.take(pa.array(there)).cast(pa.string()), first.astype(np.intp)


def _utterances(keys: pa.Array) -> Places | None:
    """The utterance of each item, from 0 in their order; None where every item is an utterance."""
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(keys, _BETWEEN)).as_py():
        return None
    names = pc.list_element(pc.split_pattern(keys, _BETWEEN, max_splits=1), 0).dictionary_encode()
    return np.asarray(names.indices.to_numpy(zero_copy_only=False), dtype=np.intp)
