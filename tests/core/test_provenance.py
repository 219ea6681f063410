"""Code is known by what it does: comments and docstrings apart, imports included."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import provenance


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Version of a toy package `bench.toy`, which imports `bench.helper`, after writing both."""
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)

    def measure(toy: str, helper: str = "VALUE = 1\n") -> str:
        (tmp_path / "toy.py").write_text(toy)
        (tmp_path / "helper.py").write_text(helper)
        for cached in (provenance.code_version, provenance._source, provenance._tree, provenance._tree_digest):
            cached.cache_clear()
        return provenance.code_version("bench.toy")

    yield measure
    for cached in (provenance.code_version, provenance._source, provenance._tree, provenance._tree_digest):
        cached.cache_clear()


TOY = 'from bench.helper import VALUE\n\ndef f(x):\n    """Adds."""\n    return x + VALUE\n'


def test_comments_and_docstrings_change_nothing(version) -> None:
    assert version(TOY) == version(TOY.replace("Adds.", "Sums up.") + "# a remark\n")


def test_arithmetic_changes_it(version) -> None:
    assert version(TOY) != version(TOY.replace("x + VALUE", "x - VALUE"))


def test_so_does_what_it_imports(version) -> None:
    assert version(TOY) != version(TOY, "VALUE = 2\n")


def test_relative_imports_are_followed(version) -> None:
    relative = TOY.replace("from bench.helper", "from .helper")
    assert version(relative) != version(relative, "VALUE = 2\n")
