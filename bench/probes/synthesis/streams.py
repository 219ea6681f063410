"""Which tokens of a codec's message a decoder writes, and the message that is made of them.

Token streams run in time and are written, those of lower rates held up to the fastest. What is sent once (FreeCodec's
voice, an utterance's gain) tells of the speaker: it is taken from the message of the enrolment recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.coding.codes import Codes, Part, Tokens
from bench.errors import BenchError
from bench.probes import inputs as reading
from bench.probes.inputs import Inputs

FASTEST_HZ = 200.0
MOST_BOOKS = 32


class NoTokens(BenchError):
    """A codec whose messages hold no tokens that a decoder could write."""

    kind = "no_tokens"


def written(codes: Codes) -> tuple[Tokens, ...]:
    """The streams that a decoder writes."""
    return tuple(part for part in codes.tokens if part.rate_hz > 0)


def check(name: str, codes: Codes) -> None:
    """Raises NoTokens in one line where synthesis over such messages makes no sense."""
    streams = written(codes)
    kinds = ", ".join(f"{type(part).__name__.lower()} '{part.name}'" for part in codes.parts) or "nothing"
    if not streams or any(not isinstance(part, Tokens) and getattr(part, "rate_hz", 0.0) > 0 for part in codes.parts):
        raise NoTokens(f"{name}: a decoder cannot write what it sends ({kinds}); name a codec with tokens, such as focalcodec@50")
    fastest, books = max(stream.rate_hz for stream in streams), sum(len(stream.sizes) for stream in streams)
    if fastest > FASTEST_HZ or books > MOST_BOOKS:
        told = f"{books} codebooks at up to {fastest:g} Hz; {MOST_BOOKS} at {FASTEST_HZ:g} Hz are the most that synthesis writes"
        raise NoTokens(f"{name}: {told}; name a codec with fewer tokens, such as focalcodec@50")


def inputs(name: str, codes: Mapping[str, Codes], tables: Mapping[str, Sequence[NDArray[np.float32]]] | None) -> Inputs:
    """The written tokens of utterances, with the codec's own tables to start from. Raises NoTokens, BadCodes."""
    check(name, next(iter(codes.values())))
    alone = {utterance: Codes(written(one), one.num_samples, one.sample_rate) for utterance, one in codes.items()}
    return reading.from_codes(name, alone, tables)


def message(template: Codes, tokens: NDArray[np.int32]) -> Codes:
    """A message with the tokens [N, K] of all streams at the fastest rate; what is sent once is the template's."""
    streams = written(template)
    fastest, frames, at = max(stream.rate_hz for stream in streams), len(tokens), 0
    made: dict[str, Part] = {}
    for stream in streams:
        columns = tokens[:, at : at + len(stream.sizes)]
        at += len(stream.sizes)
        count = max(1, round(frames * stream.rate_hz / fastest))
        # Of the frames that held a token of a slower stream, the first one tells it.
        rows = np.ceil(np.arange(count) * frames / count).astype(int)
        made[stream.name] = Tokens(stream.name, stream.rate_hz, stream.sizes, columns[rows])
    parts = tuple(made.get(part.name, part) for part in template.parts)
    return Codes(parts, round(frames / fastest * template.sample_rate), template.sample_rate)
