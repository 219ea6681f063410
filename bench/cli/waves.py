"""`bench compare --waves A B`: do two adapters, environments, weights or devices of one codec give the same."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np

    from bench.coding.codec import Codec
    from bench.engine.systems import System

VOICES = 4
"""Voices of the data that are heard, each with its utterances one after the other."""


def flags(made: ArgumentParser) -> None:
    """The flags of `bench compare` that belong to --waves."""
    group = made.add_argument_group("two systems that should be one codec: equal codes, and the SNR between their decoders")
    group.add_argument("--waves", action="store_true", help="compare what they compute, on speech, instead of their rows")
    group.add_argument("--weights", nargs="+", metavar="W", help="of both, or of A and of B: a kind, a path or random:SEED")
    group.add_argument("--device", nargs="+", metavar="D", help="of both, or of A and of B: cpu, cuda")
    group.add_argument("--data", default="embedded", help="speech (default: embedded)")
    group.add_argument("--seconds", nargs="+", metavar="S", help="lengths (default: 1 2 4 8)")


def run(parsed: Namespace) -> int:
    """Print the agreement of `parsed.a` and `parsed.b`."""
    from bench.report import waves

    seconds = _seconds(parsed.seconds)
    made = [_made(name, parsed, side) for side, name in enumerate((parsed.a, parsed.b))]
    (first, a), (second, b) = made
    heard = speech(parsed.data, a.sample_rate, max(seconds))
    print(waves.terminal(first, second, waves.compare(a, b, heard, seconds)))
    return 0


def speech(source: str, rate_hz: int, longest_s: float) -> list[np.ndarray]:
    """Float [T] of the first voices of `source`: their utterances joined, up to `longest_s`."""
    import numpy as np

    from bench import data

    voices: dict[str, list[np.ndarray]] = {}
    for utterance in data.load(source).utterances:
        voice = voices.setdefault(utterance.speaker, []) if len(voices) < VOICES else voices.get(utterance.speaker)
        if voice is not None and sum(map(len, voice)) < longest_s * rate_hz:
            voice.append(utterance.read(rate_hz)[0])
    return [np.concatenate(voice) for voice in voices.values()]


def _made(name: str, parsed: Namespace, side: int) -> tuple[str, Codec]:
    """(what it is called, the codec) of one side. Weights: one for both, or one for each."""
    from dataclasses import replace

    from bench import adapters
    from bench.engine import systems
    from bench.fetch import weights
    from bench.tasks import options

    want = _side(parsed.weights, side, "--weights")
    kind, _, seed = (want or "").partition(":")
    device = options.device(_side(parsed.device, side, "--device") or "cpu")
    if kind == "random" and seed:
        if not seed.isdecimal():
            raise BenchError(f"--weights {want}: write random:SEED with a whole number")
        made: System = systems.system(name, want="random", device=device)
        if made.point.needs_weights:
            made = replace(made, weights=weights.resolve(made.point, "random", seed=int(seed)))
    else:
        made = systems.system(name, want=want, device=device)
    label = made.label + (f", seed {seed}" if seed else "") + (f" on {device}" if device != "cpu" else "")
    return label, adapters.load(made.point, made.weights, device)


def _side(given: Sequence[str] | None, side: int, flag: str) -> str | None:
    if not given:
        return None
    if len(given) > 2:
        raise BenchError(f"{flag} takes one value for both sides, or two: one for A and one for B")
    return given[min(side, len(given) - 1)]


def _seconds(given: Iterable[str] | None) -> tuple[float, ...]:
    from bench.report import waves

    if not given:
        return waves.SECONDS
    try:
        wanted = tuple(float(one) for one in islice(given, 100))
    except ValueError:
        wanted = ()
    if not wanted or not all(0 < one < 3600 for one in wanted):
        raise BenchError(f"--seconds {' '.join(given)}: write lengths in seconds, such as 1 2 4 8")
    return wanted
