"""make: a variable that a target does not read is refused, and values reach the program as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "CODEC", "DATA", "LIMIT", "TASK", "PROFILE", "DEVICE")
ALONE = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
"""An environment in which make does not take itself for part of another (`make test`), without settings of a run."""


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-n", *words], capture_output=True, text=True, check=False, cwd=ROOT, env=ALONE)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["bench", "codec=opus@6"], "CODEC"),
        (["CODECS=opus@6"], "CODEC"),
        (["bench", "Limit=3"], "LIMIT"),
        (["bench", "COUNT=3"], "COUNT"),
        (["gate", "update=1"], "UPDATE"),
        (["listen", "LIMIT=3"], "LIMIT"),
        (["test", "CODEC=opus@6"], "ARGS"),
    ],
)
def test_variables_that_a_target_does_not_read_are_refused(words: list[str], near: str) -> None:
    done = make(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert f"'{words[-1].partition('=')[0]}'" in done.stderr and near in done.stderr


def test_several_targets_read_what_one_of_them_reads() -> None:
    assert make("bench", "gate", "CODEC=opus@6", "UPDATE=1", "PYTHON=python3.11").returncode == 0


def test_no_shell_reads_a_value(tmp_path: Path) -> None:
    """printf in the program's place shows each word that it is given."""
    value = "published:/a b \"c\" 'd' `touch hurt` \\, ;#"
    done = subprocess.run(
        ["make", "-s", "bench", "PY=printf '%s\\n'", f"CODEC={value}", "-o", "install"], capture_output=True, text=True,
        check=False, cwd=ROOT, env=ALONE,
    )  # fmt: skip
    assert value in done.stdout.splitlines(), done.stderr
    assert not (ROOT / "hurt").exists()


def test_the_default_is_a_short_run_of_part_of_the_speech() -> None:
    assert '--limit "$LIMIT"' in make("bench").stdout
    assert "--limit" not in make("bench", "CODEC=opus@6").stdout


def test_no_default_of_a_run_reaches_the_tests() -> None:
    """`make test` sets no variable that a run reads: a test that calls make or the program sees the environment as it was."""
    settings = ("LIMIT", "TASK", "PROFILE", "DEVICE")
    done = subprocess.run(
        ["make", "-s", "test", "-o", "install", "PY=sh -c env --"], capture_output=True, text=True, check=False, cwd=ROOT,
        env=ALONE,
    )  # fmt: skip
    seen = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert done.returncode == 0 and "PATH" in seen and not seen & set(settings)


def test_scripts_with_a_first_line_for_the_shell_can_be_run() -> None:
    scripts = [path for folder in ("tools", ".ci") for path in (ROOT / folder).iterdir() if path.is_file()]
    started = [path for path in scripts if path.read_bytes().startswith(b"#!")]
    assert len(started) >= 5
    assert [path.name for path in started if not os.access(path, os.X_OK)] == []


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """tools/results.sh beside a program that only shows what it is asked for, and answers `bench list`."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/results.sh").write_text((ROOT / "tools/results.sh").read_text())
    program = tmp_path / ".venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\n[ "$3" = list ] && exec {sys.executable} "$@"\nprintf "%s " "$@"\necho\n')
    program.chmod(0o755)
    environment = {**ALONE, "PYTHONPATH": str(ROOT)}
    return lambda *words: subprocess.run(
        ["bash", tmp_path / "tools/results.sh", *words], capture_output=True, text=True, check=False, env=environment
    )


def test_the_tables_of_a_family_are_those_commands_that_have_its_codecs(
    results: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    everything = [line for line in results().stdout.splitlines() if line.startswith("-m")]
    ours = [line for line in results("opus").stdout.splitlines() if line.startswith("-m")]
    assert len(ours) == sum("--codec all" in line or "opus@" in line for line in everything) < len(everything)
    assert all(set(re.findall(r"[\w.]+@[\w.]+", line)) <= {"opus@6", "opus@12", "opus@24"} for line in ours)
    assert sum("opus@6,opus@12,opus@24 " in line for line in ours) == sum("--codec all" in line for line in everything)


def test_a_family_that_is_not_here_is_told(results: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = results("opuss")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: no codec of the family 'opuss' runs here")


def test_rows_of_weights_that_no_longer_ship_are_named_and_no_others(tmp_path: Path) -> None:
    def named(results: Path) -> list[str]:
        words = [sys.executable, str(ROOT / "tools/old_rows.py"), "freecodec", str(results)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env={**ALONE, "PYTHONPATH": str(ROOT)})
        return [Path(line).name for line in done.stdout.splitlines()]

    assert named(ROOT / "results") == []
    rows = tmp_path / "vc/embedded/rows"
    rows.mkdir(parents=True)
    for path in (ROOT / "results/vc/embedded/rows").glob("freecodec@*"):
        (rows / path.name).touch()
    old = ["freecodec@v1-nano-deadbeef.parquet", "freecodec@v3-nano-deadbeef-converted.parquet"]
    for name in (*old, "freecodec@v1-path-deadbeef.parquet", "lyra@6-nano-deadbeef.parquet", "freecodec@v1-random-0.parquet"):
        (rows / name).touch()
    assert named(tmp_path) == old
