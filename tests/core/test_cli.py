"""The command line: light, and exact about what it does not know."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from bench.cli import doctor

LIGHT = """
import sys
from bench.cli import main
main({argv!r})
heavy = {{"torch", "pandas", "scipy"}} & set(sys.modules)
sys.exit(repr(heavy) if heavy else 0)
"""


@pytest.mark.parametrize("line", ["--help", "list", "list tasks", "list metrics", "list data", "show g722"])
def test_listing_imports_nothing_heavy(line: str) -> None:
    script = LIGHT.format(argv=line.split())
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(
    ("argv", "near"),
    [
        (["lsit"], "list"),
        (["show", "focalcodec@51"], "focalcodec@50"),
        (["run", "--codec", "opsu@6"], "opus"),
        (["run", "--task", "resynthesys"], "resynthesis"),
        (["run", "--codec", "opus@6", "--metrics", "stoy", "--limit", "1"], "stoi"),
        (["run", "--codec", "opus@6", "--data", "librispech"], "librispeech"),
        (["run", "--codec", "opus@6", "--profile", "embeded"], "embedded"),
        (["list", "codec"], "codecs"),
    ],
)
def test_unknown_names_exit_2_with_the_nearest(argv: list[str], near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    assert near in capsys.readouterr().err


def test_an_unknown_flag_exits_2_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "--codecs", "opus@6"])
    assert stopped.value.code == 2 and "--codec" in capsys.readouterr().err


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--codec", "opus@6", "--data", "folder:/nowhere/at/all"]) == 1
    err = capsys.readouterr().err.strip()
    assert err.startswith("error:") and "/nowhere/at/all" in err and "Traceback" not in err


@pytest.mark.parametrize("name", ["torch", "torchaudio", "transformers", "speechbrain", "pesq", "pystoi", "pandas",
                                  "matplotlib", "jiwer", "resemblyzer"])  # fmt: skip
def test_declared_packages_import_together(name: str) -> None:
    importlib.import_module(name)


def test_doctor_finds_this_environment_sound(capsys: pytest.CaptureFixture[str]) -> None:
    findings = list(doctor.environment())
    assert not [finding for finding in findings if finding.state == "bad"]


def test_show_prints_what_a_user_decides_by(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "opus@6"]) == 0
    out = capsys.readouterr().out
    for word in ("6 kbps", "BSD", "RFC 6716", "ms algorithmic"):
        assert word in out
    assert Path(cli.__file__).is_file()
