"""Code is known by what it does: what changes no number changes no hash, and what may change one does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.definitions import evidence

TOY = '''from bench.helper import OFFSET, grown


def f(x: int) -> int:
    """Adds."""
    total = 0
    for one in range(x):
        total += grown(one) - OFFSET
    return total
'''
HELPER = """OFFSET = 1


def grown(value):
    return 2 * value


def unused(value):
    return value
"""


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Hash of what `bench.toy` reaches, after writing it and the other modules of a toy package."""
    monkeypatch.setattr(evidence, "PACKAGE", tmp_path)

    def measure(toy: str = TOY, **others: str) -> str:
        for path in tmp_path.glob("*.py"):
            path.unlink()
        for name, text in {"__init__": "", "toy": toy, "helper": HELPER, **others}.items():
            (tmp_path / f"{name}.py").write_text(text)
        evidence.forget()
        return evidence.code_hash([("bench.toy", ("f",))])

    yield measure
    evidence.forget()


FREE = {
    "a docstring": TOY.replace("Adds.", "Sums up."),
    "a comment": TOY + "# a remark\n",
    "a renamed local": TOY.replace("total", "whole").replace("one", "each"),
    "annotations": TOY.replace("x: int) -> int", "x)"),
    "an unused function": TOY + "\n\ndef nobody_calls():\n    return 3\n",
    "another way to import": TOY.replace("from bench.helper import OFFSET, grown", "from bench import helper")
    .replace("grown(", "helper.grown(").replace("OFFSET", "helper.OFFSET"),
    "a relative import": TOY.replace("from bench.helper", "from .helper"),
    "an alias": TOY.replace("import OFFSET, grown", "import OFFSET, grown as more").replace("grown(one)", "more(one)"),
}  # fmt: skip
NOTICED = {
    "arithmetic": TOY.replace(" - OFFSET", " + OFFSET"),
    "a constant": TOY.replace("total = 0", "total = 1"),
    "a number's type": TOY.replace("total = 0", "total = 0.0"),
    "two locals exchanged": TOY.replace("grown(one)", "grown(total)"),
    "a default": TOY.replace("x: int", "x: int = 3"),
    "a renamed argument": TOY.replace("x: int", "y: int").replace("range(x)", "range(y)"),
    "a decorator": TOY.replace("def f", "@staticmethod\ndef f"),
}


@pytest.mark.parametrize("change", FREE)
def test_what_changes_no_number_is_free(version: Callable[..., str], change: str) -> None:
    assert FREE[change] != TOY
    assert version(FREE[change]) == version()


@pytest.mark.parametrize("change", NOTICED)
def test_what_may_change_one_is_noticed(version: Callable[..., str], change: str) -> None:
    assert NOTICED[change] != TOY
    assert version(NOTICED[change]) != version()


def test_what_is_called_counts_and_what_is_not_does_not(version: Callable[..., str]) -> None:
    assert version(helper=HELPER.replace("2 * value", "3 * value")) != version()
    assert version(helper=HELPER.replace("OFFSET = 1", "OFFSET = 2")) != version()
    assert version(helper=HELPER.replace("    return value", "    return -value")) == version()


def test_a_function_may_move_to_another_module(version: Callable[..., str]) -> None:
    grown = HELPER.partition("\n\n\n")[2].partition("\n\n\n")[0] + "\n"
    imports = "from bench.elsewhere import grown\nfrom bench.helper import OFFSET"
    moved = TOY.replace("from bench.helper import OFFSET, grown", imports)
    assert version(moved, helper="OFFSET = 1\n", elsewhere=grown) == version()
    assert version(moved, helper="OFFSET = 1\n", elsewhere=grown.replace("2 *", "3 *")) != version()
    # An old name that hands on the new one changes nothing either.
    assert version(TOY, helper="from bench.elsewhere import grown\nOFFSET = 1\n", elsewhere=grown) == version()


def test_methods_of_a_class_and_of_what_an_annotation_names_count(version: Callable[..., str]) -> None:
    toy = "from bench.helper import Box\n\n\ndef f(box: Box) -> float:\n    return box.size()\n"
    helper = "class Box:\n    def size(self):\n        return 1.0\n"
    assert version(toy, helper=helper) != version(toy, helper=helper.replace("1.0", "2.0"))


def test_two_functions_of_one_name_are_not_the_same(version: Callable[..., str]) -> None:
    toy = "from bench.helper import g\nfrom bench import other\n\n\ndef f(x):\n    return g(x) - other.g(x)\n"
    swapped = "from bench.other import g\nfrom bench import helper\n\n\ndef f(x):\n    return g(x) - helper.g(x)\n"
    helpers = {"helper": "def g(x):\n    return x\n", "other": "def g(x):\n    return 2 * x\n"}
    assert version(toy, **helpers) != version(swapped, **helpers)


def test_what_runs_on_import_counts(version: Callable[..., str]) -> None:
    assert version(helper=HELPER + "TABLE = {}\nTABLE['a'] = 1\n") != version()
    assert version(helper=HELPER + '\nif __name__ == "__main__":\n    print(1)\n') == version()


HASHES = """
import importlib.util, json, sys
sys.path.insert(0, sys.argv[1])
spec = importlib.util.spec_from_file_location("evidence", sys.argv[1] + "/bench/definitions/evidence.py")
evidence = sys.modules["evidence"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(evidence)
print(json.dumps({module: evidence.code_hash([(module, ())]) for module, _ in evidence.modules()}))
"""


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_every_python_gives_the_same_hashes(minor: int) -> None:
    """The whole package, by each interpreter that is on this machine (no package but the standard library is needed)."""
    root = Path(__file__).resolve().parents[2]

    def hashes(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        asked = [command, "-c", HASHES, str(root)]
        return subprocess.run(asked, capture_output=True, text=True, env={**os.environ, **environment})

    installed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/python"))
    command = shutil.which(f"python3.{minor}") if not installed else str(installed[-1])
    if command is None:
        pytest.skip(f"no Python 3.{minor} on this machine")
    found = hashes(command)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == json.loads(hashes(sys.executable).stdout)
