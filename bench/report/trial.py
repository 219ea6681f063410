"""Listening tests that give answers: MUSHRA (ITU-R BS.1534-3), ABX and AB, in one HTML file that needs no network.

MUSHRA: the reference, and under hidden names the reference again, an anchor (its speech below 3.5 kHz) and every system, rated
0 to 100. ABX: which of the reference A and a system B is X. AB: which of two systems is better. All clips of an utterance
have one level; orders are drawn anew for each listener. The answers are saved as a file, which `bench ratings` reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from bench import audio
from bench.errors import BenchError
from bench.report.listening import Clip, Item, Wave, data_uri, levelled

KINDS = ("mushra", "abx", "ab", "webmushra")
FORMAT = "speech-codec-bench listening test 1"
REFERENCE, ANCHOR = "original", "anchor"
ANCHOR_HZ = 3500.0


def anchor(wave: Wave, rate_hz: int) -> Wave:
    """The wave [T] below 3.5 kHz (linear phase, 50 dB down at 4 kHz), as BS.1534-3 asks of the low anchor.

    Raises BenchError where the recording holds nothing above.
    """
    from scipy import signal

    if rate_hz < 3 * ANCHOR_HZ:
        raise BenchError(f"an anchor of {ANCHOR_HZ / 1000:g} kHz needs speech of a higher rate than {rate_hz} Hz")
    taps = signal.firwin(2 * int(0.01 * rate_hz) + 1, (ANCHOR_HZ + 250) / (rate_hz / 2), window=("kaiser", 5.0))
    return np.asarray(signal.fftconvolve(wave, taps, mode="same"), np.float32)


def stimuli(item: Item, with_anchor: bool = True) -> list[Clip]:
    """Reference, anchor and systems of one utterance at one level and rate. Raises BenchError where one is missing."""
    lost = [clip.system for clip in item.clips if clip.wave is None]
    if lost:
        raise BenchError(f"{item.utterance}: no audio of {', '.join(lost)}; a test needs every clip: leave these systems out")
    reference = item.clips[0]
    assert reference.wave is not None
    rate = max(clip.rate_hz for clip in item.clips)
    clips = [Clip(REFERENCE, audio.resample(reference.wave, reference.rate_hz, rate), rate)]
    if with_anchor:
        clips.append(Clip(ANCHOR, anchor(reference.wave, reference.rate_hz), reference.rate_hz))
    clips += [clip for clip in item.clips[1:] if clip.system != "input"]
    waves = [audio.resample(clip.wave, clip.rate_hz, rate) for clip in clips if clip.wave is not None]
    return [Clip(clip.system, wave, rate) for clip, wave in zip(clips, levelled(waves)[0], strict=True)]


def write(folder: Path, kind: str, title: str, items: Sequence[Item], rows: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write the test below `folder` -> its page, or webMUSHRA's configuration. rows: system -> fields of its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "webmushra":
        return _webmushra(folder, title, items)
    trials = [trial for item in items for trial in _trials(kind, item)]
    if not trials:
        raise BenchError(f"a test of kind {kind} needs {'two systems' if kind == 'ab' else 'a system'} and an utterance")
    test = {"format": FORMAT, "kind": kind, "title": title, "trials": trials, "rows": rows,
            "speakers": {item.utterance: item.speaker for item in items}}  # fmt: skip
    data = json.dumps(test, ensure_ascii=False).replace("</", "<\\/")
    path = folder / f"{kind}.html"
    page = Path(__file__).with_name("templates") / "trial.html"
    path.write_text(page.read_text(encoding="utf-8").replace("@@data@@", data), encoding="utf-8")
    return path


def _trials(kind: str, item: Item) -> Iterator[dict[str, Any]]:
    clips = stimuli(item, kind == "mushra")
    told = [
        {"system": clip.system, "src": data_uri("audio/flac", audio.to_flac(clip.wave, clip.rate_hz))}
        for clip in clips
        if clip.wave is not None
    ]
    first = clips[0].wave
    base = {"utterance": item.utterance, "seconds": 0.0 if first is None else len(first) / clips[0].rate_hz}
    if kind == "mushra":
        yield base | {"reference": told[0]["src"], "stimuli": told}
    elif kind == "abx":
        for one in told[1:]:
            yield base | {"stimuli": [told[0], one]}
    else:
        for pair in combinations(told[1:], 2):
            yield base | {"reference": told[0]["src"], "stimuli": list(pair)}


def _webmushra(folder: Path, title: str, items: Sequence[Item]) -> Path:
    """Sounds as WAV and a configuration of webMUSHRA, which makes its own anchor of 3.5 kHz."""
    import soundfile

    pages: list[Any] = [{"type": "generic", "id": "start", "name": "Start", "content": "Please use headphones."}]
    for number, item in enumerate(items):
        places = {}
        for k, clip in enumerate(stimuli(item, with_anchor=False)):
            name = f"stimuli/{number:03d}-{k:02d}.wav"
            (folder / name).parent.mkdir(exist_ok=True)
            soundfile.write(folder / name, clip.wave, clip.rate_hz, subtype="PCM_16")
            places[clip.system] = name
        reference = places.pop(REFERENCE)
        pages.append({"type": "mushra", "id": f"trial-{number}", "name": item.utterance, "content": item.text,
                      "showWaveform": True, "enableLooping": True, "reference": reference, "createAnchor35": True,
                      "createAnchor70": False, "stimuli": places})  # fmt: skip
    pages.append({"type": "finish", "name": "Thank you", "content": "", "showResults": False, "writeResults": True,
                  "questionnaire": []})  # fmt: skip
    config = {"testname": title, "testId": "speech-codec-bench", "bufferSize": 2048, "stopOnErrors": True,
              "showButtonPreviousPage": True, "remoteService": "service/write.php", "pages": pages}  # fmt: skip
    path = folder / "webmushra.yaml"
    path.write_text(json.dumps(config, ensure_ascii=False, indent=1), encoding="utf-8")  # JSON is YAML
    return path


def answers(path: Path) -> dict[str, Any]:
    """A file of answers. Raises BenchError naming the file where it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: not readable as answers of a listening test ({error})") from error
    wanted = {"format", "kind", "listener", "answers", "rows", "speakers"}
    if not isinstance(found, dict) or found.get("format") != FORMAT or wanted - set(found):
        raise BenchError(f"{path}: these are no answers of a listening test; save them at its end (bench listen --test mushra)")
    return found
