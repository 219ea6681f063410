"""Small sets, codecs and producers for the engine's tests, in a module of its own so that worker processes can import them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import audio
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Tokens
from bench.engine.clock import Clock
from bench.engine.producers import Made, Producer
from bench.engine.records import audio_record
from bench.speech import Dataset, Utterance

if TYPE_CHECKING:
    from bench.engine.keys import Keys


def speechlike(seed: int, seconds: float, rate: int = 16000) -> np.ndarray:
    """Noise under a syllable-like envelope, float32 [T]: enough for STOI to find active frames."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t + rng.uniform(0, 6))
    tones = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) / n for n, f in enumerate((150, 450, 1100, 2300), 1))
    return (0.1 * envelope * (tones + rng.normal(0, 0.5, t.size))).astype(np.float32)


def make_set(folder: Path, count: int = 12, seconds: float = 1.2) -> Dataset:
    """`count` files of about `seconds` by three speakers."""
    folder.mkdir(parents=True, exist_ok=True)
    utterances = []
    for index in range(count):
        path = folder / f"u{index:03d}.wav"
        audio.write(path, speechlike(index, seconds + 0.1 * (index % 3)), 16000)
        utterances.append(Utterance(f"u{index:03d}", path, f"s{index % 3}", text="one two"))
    return Dataset("toy", tuple(utterances))


class Wordless(Exception):
    """An error that fails when it is asked what it says."""

    def __str__(self) -> str:
        raise ValueError("planted")


class Coarse(Codec):
    """16-bit samples less their last bits; `trouble` says what goes wrong, and on how many samples it does."""

    sample_rate = 16000

    def __init__(self, trouble: str = "", on: int = 0) -> None:
        self.trouble, self.on = trouble, on

    def _hit(self, wave: Wave) -> bool:
        return bool(self.trouble) and abs(len(wave) - self.on) < 2

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        if any(map(self._hit, waves)):
            match self.trouble:
                case "dies":
                    os._exit(9)
                case "exits":
                    raise SystemExit(0)
                case "interrupts":
                    raise KeyboardInterrupt
                case "wordless":
                    raise Wordless
                case "hangs":
                    time.sleep(600)
                case "memory":
                    raise MemoryError("planted")
                case "breaks":
                    raise ValueError("planted")
        if self.trouble == "batch" and len(waves) > 2:
            raise MemoryError("planted: three do not fit")
        kept = waves[1:] if self.trouble == "count" else waves
        return [Codes((Tokens("samples", 16000, (4096,), _levels(wave)),), len(wave), 16000) for wave in kept]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [((c.part("samples").indices[:, 0] - 2048) / 2048).astype(np.float32) for c in codes]  # type: ignore[union-attr]


def _levels(wave: Wave) -> np.ndarray:
    return np.clip(np.round(wave * 2048) + 2048, 0, 4095).astype(np.int32)[:, None]


def load(point: Any, weights: Any, device: str) -> Coarse:
    """The adapter's entry."""
    if point.settings["trouble"] == "load":
        raise OSError("planted: the file is not there")
    if point.settings["trouble"] == "load-exits":
        raise SystemExit(0)
    return Coarse(point.settings["trouble"], point.settings["on"])


@dataclass(frozen=True)
class Reader(Producer):
    """Reads a text aloud: one tone a letter. Needs no audio."""

    role: str = "synthesis"
    id: ClassVar[str] = "toy-reader"
    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[str]] = frozenset({"text"})

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [str(item.text)]

    def make(self, items: Sequence[Utterance], codec: Any, clock: Clock) -> list[Made]:
        return [{"": audio_record(self._say(str(item.text)), 16000)} for item in items]

    def _say(self, text: str) -> np.ndarray:
        t = np.arange(1600) / 16000
        tones = [np.sin(2 * np.pi * (100 + 20 * (ord(letter) - 96)) * t) for letter in text if letter.isalpha()]
        return (0.1 * np.concatenate(tones)).astype(np.float32)


@dataclass(frozen=True)
class Splitter(Producer):
    """Takes a sum of two recordings apart, because it knows one of them: two waves, "first" and "second"."""

    role: str = "separation"
    id: ClassVar[str] = "toy-splitter"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[str, ...]] = ("first", "second")

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item), keys.spoken(item, "first")]

    def make(self, items: Sequence[Utterance], codec: Any, clock: Clock) -> list[Made]:
        made: list[Made] = []
        for item in items:
            both, first = item.read(16000)[0], item.read(16000, "first")[0]
            waves = {"first": first, "second": both - first}
            made.append({name: audio_record(wave, 16000) for name, wave in waves.items()})
        return made


def sleep(seconds: float) -> float:
    """A job that takes its time."""
    time.sleep(seconds)
    return seconds


def die(code: int) -> None:
    """A job that ends its worker."""
    os._exit(code)


def refuse(text: str) -> None:
    """A job that raises."""
    raise ValueError(text)


def double(value: int) -> int:
    """A job."""
    return 2 * value


def keys_in(store: Path) -> set[str]:
    """Keys of a store that may be in use, or not be there yet."""
    if not store.is_file():
        return set()
    with contextlib.closing(sqlite3.connect(store, timeout=10)) as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
        return {row[0] for row in db.execute("SELECT key FROM entries")} if "entries" in tables else set()


def entries(store: Path) -> int:
    """How many entries a store holds."""
    return len(keys_in(store))
