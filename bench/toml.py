"""TOML files read into typed records (msgspec structs): every mistake is one line with the file, the key and the cure.

A record is a `msgspec.Struct`; its fields are the keys that a table may have, their types and bounds what a value must
be. A key that no field answers to, a missing key, a wrong type and a value out of bounds raise BadCard.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.errors import BadCard, UnknownName

T = TypeVar("T")
Step = str | int

_WORDS = {
    "int": "a whole number", "float": "a number", "str": 'text in "quotes"', "bool": "true or false",
    "array": "a list in [brackets]", "object": "a table", "null": "left out",
}  # fmt: skip


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what a table of a card holds."""


def load(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises BadCard for a file that cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=_finite)
    except OSError as error:
        raise BadCard(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadCard(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BadCard(f"{path}: not TOML: {error}") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite; give a number")
    return value


def read(path: Path, kind: type[T]) -> T:
    """The file's tables as a record of `kind`. Raises BadCard."""
    return typed(load(path), kind, str(path))


def typed(table: Any, kind: type[T], where: str, at: tuple[Step, ...] = ()) -> T:
    """A parsed table as a record of `kind`; `where` names its file, `at` its place there. Raises BadCard."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise BadCard(_told(str(error), table, kind, where, at)) from None


def _told(error: str, table: Any, kind: Any, where: str, at: tuple[Step, ...]) -> str:
    text, _, path = error.partition(" - at `$")
    steps = _steps(path.rstrip("`"), table, kind, error)
    found = re.fullmatch(r"Object contains unknown field `(.*)`", text)
    if found:
        return f"{_place(where, at, steps)}: {UnknownName('key', found[1], _fields(kind, steps))}"
    found = re.fullmatch(r"Object missing required field `(.*)`", text)
    if found:
        return f"{_place(where, at, steps)}: key '{found[1]}' is missing"
    value = _value(table, steps)
    if isinstance(value, dict) and not text.startswith("Expected"):  # what a record says of its own keys together
        return f"{_place(where, at, steps)}: {text}"
    *above, key = [*at, *steps] or ["file"]
    while isinstance(key, int) and above:  # an entry of a list is named by the list's key
        *above, key = above
    found = re.fullmatch(r"Invalid enum value (.*)", text)
    if found:
        return f"{_place(where, (), above)}: {UnknownName(str(key), str(value), map(str, _choices(kind, steps)))}"
    return f"{_place(where, (), above)}: key '{key}' is {_short(value)}; it must {_demand(text)}"


def _demand(text: str) -> str:
    """What msgspec expected, in plain words."""
    kind = re.match(r"Expected `(\w+)(?: \| null)?`", text)
    word = _WORDS.get(kind[1], kind[1]) if kind else ""
    if found := re.search(r"` (>=|<=|>|<) (\S+)", text):
        words = {">=": "be at least", "<=": "be at most", ">": "be greater than", "<": "be less than"}
        return f"{words[found[1]]} {found[2].removesuffix('.0')}"
    if found := re.search(r"of length (>=|<=|==)? ?(\d+)", text):
        amount = {"<=": "at most", ">=": "at least"}.get(found[1], "exactly")
        return f"have {amount} {found[2]} {'entry' if found[2] == '1' else 'entries'}"
    if found := re.search(r"matching regex '(.*)'", text):
        return f"match {found[1]}"
    if text.startswith("Expected") and word:
        return f"be {word}"
    return f"{text[:1].lower()}{text[1:]}".removeprefix("must ")


def _steps(path: str, table: Any, kind: Any, error: str) -> list[Step]:
    """`.points[...].streams[0]` -> its keys. msgspec hides a mapping's key as `[...]`: it is found by trying each alone."""
    steps: list[Step] = []
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\.\.\.|\d+)\]", path):
        if name:
            steps.append(name)
        elif index == "...":
            keys = [key for key in _value(table, steps) if _error(_only(table, steps, key), kind) == error]
            steps.append(keys[0] if keys else "...")
        else:
            steps.append(int(index))
    return steps


def _only(table: Any, steps: list[Step], key: str) -> Any:
    """A copy of `table` in which the mapping at `steps` holds nothing but `key`."""
    if not steps:
        return {key: table[key]}
    head, rest = steps[0], steps[1:]
    made: Any = list(table) if isinstance(table, list) else dict(table)
    made[head] = _only(table[head], rest, key)
    return made


def _error(table: Any, kind: Any) -> str:
    try:
        msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _value(table: Any, steps: list[Step]) -> Any:
    for step in steps:
        table = table[step]
    return table


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _place(where: str, at: tuple[Step, ...], steps: list[Step]) -> str:
    """`codecs/toy.toml [points.1.streams] entry 1`, `codecs/toy.toml [reported] entry 2 [scores]`."""
    place, tables = where, ""
    for key in [*at, *steps]:
        if isinstance(key, int):
            place, tables = f"{place}{tables and f' [{tables}]'} entry {key + 1}", ""
        else:
            tables += f".{key}" if tables else key
    return f"{place}{tables and f' [{tables}]'}"


def _types(kind: Any, steps: list[Step]) -> Iterator[Any]:
    """msgspec's description of the type at `steps` below `kind`."""
    from msgspec import inspect

    def below(info: Any, rest: list[Step]) -> Iterator[Any]:
        if isinstance(info, inspect.UnionType):
            for one in info.types:
                yield from below(one, rest)
        elif not rest:
            yield info
        elif isinstance(info, inspect.StructType):
            yield from (one for f in info.fields if f.encode_name == rest[0] for one in below(f.type, rest[1:]))
        elif isinstance(info, inspect.DictType):
            yield from below(info.value_type, rest[1:])
        elif isinstance(info, inspect.ListType | inspect.VarTupleType):
            yield from below(info.item_type, rest[1:])

    return below(inspect.type_info(kind), steps)


def _fields(kind: Any, steps: list[Step]) -> list[str]:
    return [f.encode_name for info in _types(kind, steps) for f in getattr(info, "fields", ())]


def _choices(kind: Any, steps: list[Step]) -> list[Any]:
    return [value for info in _types(kind, steps) for value in getattr(info, "values", ())]


def as_table(record: Any) -> Mapping[str, Any]:
    """A record as plain values; keys that have their default are left out."""
    made = {}
    for field in msgspec.structs.fields(record):
        value = getattr(record, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if field.required or value != default:
            made[field.name] = msgspec.to_builtins(value)
    return made
