"""Whoever changes what a definition computes is told, by name; whoever changes only how it is written is free.

Each change is made in a copy of the package, whose certificates and golden outputs are of the code as it stands.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import definitions
from bench.certify.certificates import Certificates, write

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("audio", "lengths", "usage", "mixing", "producer:conversion", "metric:dnsmos_p808", "adapter:codec2")


class Copy:
    """A copy of the package in which code may be edited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def edit(self, old: str, new: str) -> None:
        """Replace a text that is in exactly one place of the package."""
        found = [path for path in (self.folder / "bench").rglob("*.py") if old in path.read_text()]
        assert len(found) == 1, f"{old!r} is in {len(found)} files"
        text = found[0].read_text()
        assert text.count(old) == 1
        found[0].write_text(text.replace(old, new))

    def certify(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "bench", "certify", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)

    def check(self) -> list[str]:
        """Definitions whose code has no certificate."""
        done = self.certify("--check")
        assert done.returncode == (1 if "no certificate" in done.stdout else 0), done.stderr
        return [line.split(" ")[0] for line in done.stdout.splitlines() if "no certificate" in line]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    shutil.copytree(ROOT / "bench", folder / "bench", ignore=shutil.ignore_patterns("__pycache__", "*_0*.flac"))
    for name in ("codecs", "tasks"):
        (folder / name).symlink_to(ROOT / name)
    known = {one.id: {one.version: {one.code: {"commit": "", "cpu": "", "shown": ""}}} for one in definitions.own()}
    write(folder / "results" / "certificates.json", known)
    done = Copy(folder).certify("--record", str(folder / "results" / "golden"), *SHOWN)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Copy:
    shutil.copytree(original, tmp_path / "copy", symlinks=True)
    return Copy(tmp_path / "copy")


FREE = {
    "a renamed local": [
        ("missing = frames - len(indices)\n    if missing <= 0:", "lack = frames - len(indices)\n    if lack <= 0:"),
        ("np.arange(-(missing // 2), frames - missing // 2)", "np.arange(-(lack // 2), frames - lack // 2)"),
    ],
    "a docstring": [('"""Samples after resampling, at least one."""', '"""How many there are afterwards."""')],
    "a comment": [("    common = gcd(from_hz, to_hz)", "    # lowest terms\n    common = gcd(from_hz, to_hz)")],
    "an unused function": [("def token_counts(", "def _nobody_calls() -> int:\n    return 3\n\n\ndef token_counts(")],
}  # fmt: skip


@pytest.mark.parametrize("change", FREE)
def test_free(copy: Copy, change: str) -> None:
    for old, new in FREE[change]:
        copy.edit(old, new)
    assert copy.check() == []


def test_a_function_that_moves_to_another_module_is_free(copy: Copy) -> None:
    path = next(path for path in (copy.folder / "bench").rglob("*.py") if "def token_counts(" in path.read_text())
    text = path.read_text()
    start = text.index("def token_counts(")
    end = text.index("\n\n\n", start)
    head = "from __future__ import annotations\n\nimport numpy as np\n\nfrom bench.coding.codes import Tokens\n\n\n"
    moved = head + text[start:end] + "\n"
    (copy.folder / "bench" / "counting.py").write_text(moved)
    imports = "from bench.coding.codes import Codes, Tokens\n"
    assert imports in text
    path.write_text((text[:start] + text[end + 3 :]).replace(imports, imports + "from bench.counting import token_counts\n"))
    # It is no longer a public name of the definition's module, so its code is shown again, and found equal.
    if copy.check():
        assert copy.check() == ["usage"]
        done = copy.certify("usage")
        assert done.returncode == 0, done.stdout + done.stderr
        assert copy.check() == []


def test_what_is_written_otherwise_is_shown_equal_and_then_known(copy: Copy) -> None:
    copy.edit(
        "return max(1, round(samples * (to_hz // common) / (from_hz // common)))",
        "up, down = to_hz // common, from_hz // common\n    return max(1, round(samples * up / down))",
    )
    assert "audio" in copy.check()
    done = copy.certify("audio", "lengths")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "audio: equal in" in done.stdout
    assert not {"audio", "lengths"} & set(copy.check())


NOTICED = {
    "conversion": ("np.arange(-(missing // 2), frames - missing // 2)",
                   "np.arange(1 - (missing // 2), 1 + frames - missing // 2)", "producer:conversion"),
    "the length rule": ('np.pad(there, (0, missing), mode="edge")', 'np.pad(there, (0, missing), mode="reflect")', "lengths"),
    "the resampler": ('from_hz, to_hz, quality="VHQ"', 'from_hz, to_hz, quality="MQ"', "audio"),
    "noise mixing": ("np.sqrt(speech_power / noise_power / 10 ** (self.snr_db / 10))",
                     "np.sqrt(speech_power / noise_power / 10 ** (self.snr_db / 20))", "mixing"),
    "code usage": ("entropy = max(0.0, float(-(present * np.log2(present)).sum()))",
                   "entropy = max(0.0, float(-(present * np.log(present)).sum()))", "usage"),
    "a metric's network": ("return ((np.maximum(decibels, -80.0) + 40.0) / 40.0)",
                           "return ((np.maximum(decibels, -80.0) + 40.1) / 40.0)", "metric:dnsmos_p808"),
}  # fmt: skip


@pytest.mark.parametrize("change", NOTICED)
def test_noticed(copy: Copy, change: str) -> None:
    old, new, name = NOTICED[change]
    copy.edit(old, new)
    assert name in copy.check()
    before = json.loads((copy.folder / "results" / "certificates.json").read_text())
    done = copy.certify(name)
    assert done.returncode == 1
    told = next(line for line in done.stdout.splitlines() if line.startswith(f"{name}: "))
    assert "case " in told, "the first difference is named"
    assert "raise its version" in done.stdout
    assert json.loads((copy.folder / "results" / "certificates.json").read_text()) == before


def test_the_codec_that_random_codes_decodes_with(copy: Copy) -> None:
    """The floor's own code is as it was; the decoder's is not, and a new version of it is in the floor's key too."""
    path = copy.folder / "bench" / "adapters" / "codec2.py"
    copy.edit("pcm.reshape(-1).astype(np.float32) / np.float32(32768)", "pcm.reshape(-1).astype(np.float32) / np.float32(32767)")
    assert "adapter:codec2" in copy.check()
    done = copy.certify("adapter:codec2")
    assert done.returncode == 1 and "adapter:codec2: case" in done.stdout
    show = [sys.executable, "-c", "from bench.engine.systems import system; print(system('random-codes').key)"]
    before = subprocess.run(show, cwd=copy.folder, capture_output=True, text=True).stdout
    path.write_text(path.read_text().replace('VERSION = "1"', 'VERSION = "2"'))
    after = subprocess.run(show, cwd=copy.folder, capture_output=True, text=True).stdout
    assert before and after and before != after
    # A new version has nothing to be equal to: its golden outputs are recorded.
    done = copy.certify("adapter:codec2")
    assert done.returncode == 0 and "version 2 is new" in done.stdout
    assert "adapter:codec2" not in copy.check()


def test_a_damaged_file_is_one_line_with_its_cure(copy: Copy) -> None:
    (copy.folder / "results" / "certificates.json").write_text("{")
    done = copy.certify("--check")
    assert done.returncode != 0 and "git checkout" in done.stderr and "Traceback" not in done.stderr


def test_unknown_names_are_refused_and_trust_needs_a_name(copy: Copy) -> None:
    assert copy.certify("metric:stoy").returncode == 2
    copy.edit('from_hz, to_hz, quality="VHQ"', 'from_hz, to_hz, quality="MQ"')
    assert copy.certify("--trust", "because").returncode == 1
    assert copy.certify("audio", "--trust", "because").returncode == 0
    assert "audio" not in copy.check()


def test_the_commit_of_the_newest_certificate_comes_last(tmp_path: Path) -> None:
    one = next(iter(definitions.own()))
    dates = {"aa11111": "2026-02-03", "bb22222": "2026-01-02", "cc33333": "2026-01-31"}
    table = {f"code {commit}": {"commit": commit, "cpu": "", "date": date, "shown": ""} for commit, date in dates.items()}
    write(tmp_path / "certificates.json", {one.id: {one.version: table}})
    assert Certificates(tmp_path / "certificates.json").commits(one) == ["bb22222", "cc33333", "aa11111"]
