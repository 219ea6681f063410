"""results/certificates.json: definition -> version -> hash of code -> where it was shown to compute that version.

Golden outputs lie beside it, one file per definition and kind of CPU: the last bits of a wave differ between kinds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.definitions import Definition
from bench.errors import BenchError


@dataclass
class Certificates:
    """The certificates in a file. Raises BenchError for a damaged one."""

    path: Path

    def __post_init__(self) -> None:
        self.known: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        if not self.path.is_file():
            return
        try:
            self.known = json.loads(self.path.read_text(encoding="utf-8"))
            assert all(isinstance(one, dict) for table in self.known.values() for one in table.values())
        except (ValueError, AttributeError, AssertionError) as error:
            raise BenchError(f"{self.path} is damaged ({error}): restore it with git checkout -- {self.path}") from error

    def of(self, definition: Definition) -> Mapping[str, Mapping[str, Any]]:
        """Hash of code -> where it was shown, for the definition's version."""
        return self.known.get(definition.id, {}).get(definition.version, {})

    def add(self, definition: Definition, facts: Mapping[str, Any]) -> None:
        """Record that the definition's code of today computes its version, and write the file."""
        table = self.known.setdefault(definition.id, {}).setdefault(definition.version, {})
        table[definition.code] = dict(facts)
        write(self.path, self.known)

    def commits(self, definition: Definition) -> list[str]:
        """Commits whose code was shown to compute the definition's version, the newest last."""
        found = [facts["commit"] for facts in sorted(self.of(definition).values(), key=lambda facts: facts.get("date", ""))]
        return [commit for commit in dict.fromkeys(found) if re.fullmatch(r"[0-9a-f]{7,40}", commit)]


def golden_file(folder: Path, definition: Definition, kind: str) -> Path:
    """Where the golden outputs of a definition's version on a kind of CPU are kept."""
    name = re.sub(r"[^\w.-]+", "-", f"{definition.id}-{definition.version}")
    return folder / kind / f"{name}.json"


def read(path: Path) -> Any:
    """What `write` wrote. Raises BenchError for a damaged file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BenchError(f"{path} is damaged ({error}): restore it with git checkout -- {path}") from error


def write(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write JSON in one atomic step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=indent, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)
