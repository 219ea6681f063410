"""The command line: light, and exact about what it does not know."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cards, cli
from bench.cli import doctor
from bench.errors import UnknownName
from bench.tasks import cards as task_cards
from bench.tasks import options, papers

ROOT = Path(__file__).resolve().parents[2]

LIGHT = """
import sys
from bench.cli import main
main({argv!r})
heavy = {{"torch", "pandas", "scipy"}} & set(sys.modules)
sys.exit(repr(heavy) if heavy else 0)
"""


@pytest.mark.parametrize("line", ["--help", "list", "list tasks", "list metrics", "list data", "show focalcodec", "show stoi"])
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


def run(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m bench LINE` through a shell, with `more` environment."""
    command = f"set -o pipefail; {sys.executable} -m bench {line}"
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env={**os.environ, **more}, cwd=ROOT
    )


def test_a_reader_that_stops_early_is_no_error() -> None:
    done = run("list all | true")
    assert done.returncode == 128 + 13 and done.stderr == ""


def test_a_full_disk_is_one_line() -> None:
    done = run("list > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device") and done.stderr.count("\n") == 1


def test_a_bad_card_is_listed_as_broken_beside_the_others(tmp_path: Path) -> None:
    good = (cards.CODECS / "mulaw.toml").read_text()
    (tmp_path / "mulaw.toml").write_text(good)
    (tmp_path / "mulow.toml").write_text(good.replace("mulaw", "mulow", 1).replace("16000", "'fast'", 1))
    done = run("list", BENCH_CODECS=str(tmp_path))
    assert done.returncode == 1 and "mulaw@128" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("broken: ")]
    assert "mulow.toml: key 'sample_rate' is 'fast'; it must be a whole number" in line


def test_an_installation_without_cards_says_so(tmp_path: Path) -> None:
    done = run("list", BENCH_CODECS=str(tmp_path))
    assert done.returncode == 1 and "no cards" in done.stderr


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["run", "--data", "/my/speech"], "folder:/my/speech"),
        (["run", "--data", "folder:/a,b"], r"'b' is no data set; a comma that belongs to a path is written '\,'"),
        (["run", "--limit", "0"], "--limit 0: must be at least 1"),
        (["run", "--seeds", "1"], "--seeds is no flag of the task resynthesis"),
        (["run", "--task", "asr", "--metrics", "stoi"], "--metrics is no flag of the task asr"),
        (["run", "--task", "gate"], "bench gate"),
        (["run", "--codec", "paper:funcodec"], "names no codecs"),
        (["run", "--codec", "published:"], "published: names no folder; write published:/their/outputs"),
        (["run", "--codec", "hf:"], "hf:: neither a folder nor a repository; write hf:user/name"),
    ],
)
def test_what_would_be_dropped_is_refused_before_anything_runs(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 1
    captured = capsys.readouterr()
    assert told in captured.err and captured.out == ""


@pytest.mark.parametrize("text", ["x", "1.5", "-1", "0,1,two", "0;1"])
def test_seeds_are_whole_numbers(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--task", "synthesis", f"--seeds={text}"])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and f"--seeds: '{text}' holds something else than whole numbers" in told and "lambda" not in told
    assert options.seeds("0, 2,0") == (0, 2)


def test_names_may_hold_commas_and_spaces() -> None:
    assert options.names(r"a, b c,,d") == ("a", "b", "c", "d")
    assert options.names(r"published:/my\ clips,x\,y") == ("published:/my clips", "x,y")
    assert options.sources(r"embedded,folder:/my clips\, more") == ("embedded", "folder:/my clips, more")


def test_a_papers_codecs_are_known_or_have_no_card_yet(capsys: pytest.CaptureFixture[str]) -> None:
    """A family that has a card has the point that the paper compares, under the name that its list gives."""
    for paper in ("paper:focalcodec", "paper:freecodec"):
        listed = task_cards.profile(paper).codecs
        unknown = {name for name in listed if name.partition("@")[0] in cards.paths() and not _known(name)}
        assert not unknown
        found = papers.compared([paper])
        told = capsys.readouterr().err
        assert found and set(found) < set(listed)
        assert all(name in told for name in set(listed) - set(found))


def _known(name: str) -> bool:
    try:
        return bool(cards.resolve(name))
    except UnknownName:
        return False


def test_doctor_is_quick_and_says_each_thing_once() -> None:
    done = run("doctor")
    assert done.returncode == 0 and done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(set(lines)) < 20


def test_doctor_exits_1_on_a_fault(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("family = 3")
    done = run("doctor", BENCH_CODECS=str(tmp_path))
    assert done.returncode == 1 and "[bad ]" in done.stdout and "bad.toml" in done.stdout


def test_doctor_finds_packages_that_are_not_as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    from packaging.requirements import Requirement

    wanted = [Requirement("torch<2"), Requirement("no-such-package>=1"), Requirement("numpy>=2")]
    monkeypatch.setattr(doctor, "_required", lambda: wanted)
    monkeypatch.setattr(doctor, "COMPILED", ("broken_module",))
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    found = [finding.what for finding in doctor.packages() if finding.state == "bad"]
    assert len(found) == 3 and "torch" in found[0] and "no-such-package" in found[1] and "broken_module" in found[2]


def test_every_environment_variable_is_documented() -> None:
    text = "\n".join(path.read_text() for folder in ("bench", "codecs") for path in (ROOT / folder).rglob("*.toml"))
    text += "\n".join(path.read_text() for path in (ROOT / "bench").rglob("*.py"))
    read = set(re.findall(r"(?<![A-Z_])BENCH_[A-Z_]+", text)) - {"BENCH_WORKER_DEVICE"}
    assert read and {name for name in read if f"`{name}`" not in (ROOT / "README.md").read_text()} == set()


def test_show_has_our_scores_beside_the_papers_without_loading_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    quick = "import sys; from bench.cli.main import main; main(['show', 'focalcodec@50']); print('torch' in sys.modules)"
    own = {**os.environ, "BENCH_RESULTS": str(ROOT / "results")}  # not what somebody ran in this checkout
    done = subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True, check=True, cwd=ROOT, env=own)
    assert done.stdout.endswith("False\n")
    heading = "ours: resynthesis, embedded [nano] (same synthesizer, in other voices"
    table = done.stdout.partition(heading)[2].partition("ours:")[0]
    page = (ROOT / "results/resynthesis/embedded/leaderboard.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if "`focalcodec@50 [nano]`" in line and "3." in line)
    mos = next(line for line in table.splitlines() if line.startswith("DistillMOS"))
    value, half = mos.split()[2:4]
    assert value in line and half in line
    assert "3.16 (arXiv 2502.04465v1, Table 3, VoiceBank test)" in done.stdout
    assert "parameters nano           18 M" in done.stdout
