"""The tool that makes training speech: its voices are none of the embedded set's, and it goes on where it stopped."""

from __future__ import annotations

import csv
import hashlib
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bench import data

ROOT = Path(__file__).resolve().parents[2]
VOICES = ("af_heart", "bm_lewis", "am_santa", "em_santa", "ef_dora", "hf_alpha", "jf_nezumi", "em_alex", "hm_psi", "zm_yunxi",
          "ff_siwis", "if_sara", "zf_xiaoni", "im_nicola", "jm_kumo", "zm_yunyang")  # fmt: skip


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import make_training_speech
    import mixed_voices

    yield make_training_speech, mixed_voices
    for name in ("make_training_speech", "mixed_voices", "kokoro_speech", "sentences"):
        sys.modules.pop(name, None)


def test_no_mixture_holds_a_voice_of_the_embedded_speech(tools) -> None:  # type: ignore[no-untyped-def]
    _, mixed = tools
    embedded = {path.name for path in (ROOT / "bench" / "data" / "embedded").iterdir() if path.is_dir()}
    used = []
    for held_out in (False, True):
        voices = [mixed.mixed_voice(number, VOICES, held_out) for number in range(60)]
        used.append({name for voice in voices for name, _ in (*voice.timbre, *voice.prosody)})
    assert not (used[0] | used[1]) & (embedded | set(mixed.RELATIVES))
    assert not used[0] & used[1] and used[1] == set(mixed.HELD_OUT)


def test_a_mixture_is_a_weighted_mean_of_one_gender(tools) -> None:  # type: ignore[no-untyped-def]
    _, mixed = tools
    rng = np.random.default_rng(0)
    styles = {name: rng.normal(size=(5, 1, 256)).astype(np.float32) for name in VOICES}
    for number in range(40):
        voice = mixed.mixed_voice(number, VOICES)
        assert {name[1] for name, _ in (*voice.timbre, *voice.prosody)} == {voice.gender[0]}
        wanted = [sum(share * styles[name] for name, share in shares) for shares in (voice.timbre, voice.prosody)]
        assert sum(share for _, share in voice.timbre) == pytest.approx(1) == sum(share for _, share in voice.prosody)
        assert all(share >= 0.1 for _, share in voice.timbre)
        made = voice.style(styles)
        np.testing.assert_allclose(made[..., :128], wanted[0][..., :128], atol=1e-5)
        np.testing.assert_allclose(made[..., 128:], wanted[1][..., 128:], atol=1e-5)
    assert len({str(mixed.mixed_voice(number, VOICES)) for number in range(400)}) == 400


def test_takes_depend_on_the_seed_alone_and_say_no_embedded_sentence(tools) -> None:  # type: ignore[no-untyped-def]
    make, _ = tools
    takes = list(islice(make.plan(VOICES, 7, seed=3), 50))
    assert takes == list(islice(make.plan(VOICES, 7, seed=3), 50)) != list(islice(make.plan(VOICES, 7, seed=4), 50))
    assert len({take.text for take in takes}) == 50 and len({take.voice.name for take in takes}) == 7
    assert not {take.text.lower() for take in takes} & make.embedded()
    assert {bool(take.rt60_s) for take in takes} == {bool(take.snr_db) for take in takes} == {True, False}


class Synthesizer:
    """Says noise instead of words."""

    def __init__(self, package: Path) -> None:
        self.voices = VOICES
        self.styles = {name: np.full((5, 1, 256), place, np.float32) for place, name in enumerate(VOICES)}

    def say(self, text: str, voice: np.ndarray, speed: float, accent: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(text.encode() + voice.tobytes()).digest()[:4], "little")
        return (0.1 * np.random.default_rng(seed).standard_normal(int(16000 / speed))).astype(np.float32)


def test_it_goes_on_where_it_stopped(tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    make, _ = tools
    monkeypatch.setattr(make, "Speaker", Synthesizer)

    def run(out: Path, minutes: float) -> dict[str, bytes]:
        monkeypatch.setattr(sys, "argv", ["", "package", str(out), "--minutes", str(minutes), "--voices", "5"])
        make.main()
        return {path.name: path.read_bytes() for path in sorted(out.iterdir())}

    whole = run(tmp_path / "whole", 0.2)
    run(tmp_path / "parts", 0.08)
    manifest = tmp_path / "parts" / "manifest.tsv"
    manifest.write_text(manifest.read_text(encoding="utf-8")[:-30], encoding="utf-8")  # killed in the middle of a line
    assert run(tmp_path / "parts", 0.2) == whole

    found = data.load(f"folder:{tmp_path / 'whole'}")
    with (tmp_path / "whole" / "manifest.tsv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert [u.text for u in found] == [row["text"] for row in sorted(rows, key=lambda row: row["file"])]
    for utterance in found:
        row = next(row for row in rows if row["file"] == utterance.path.name)
        wave, rate = utterance.read()
        assert rate == 16000 and np.abs(wave).max() < 1
        assert 20 * np.log10(np.sqrt(np.mean(wave.astype(np.float64) ** 2))) == pytest.approx(float(row["level_db"]), abs=0.3)
