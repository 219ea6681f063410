"""How the tokens of several codebooks become one sequence, and back.

flatten: one token a step, frame by frame and codebook by codebook (FocalCodec's recipe). delay: one frame a step, codebook
k being k steps late (MusicGen, arXiv 2306.05284), so that a step costs one step however many codebooks there are. With one
codebook both are the same. The end is a token of the first codebook, where its next frame would be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.errors import UnknownName

ABSENT = -1
FLATTEN, DELAY = "flatten", "delay"
PATTERNS = (FLATTEN, DELAY)
Ints = NDArray[np.int64]


def check(pattern: str) -> str:
    """`pattern`, or UnknownName with the nearest ones."""
    if pattern not in PATTERNS:
        raise UnknownName("pattern of codebooks", pattern, PATTERNS)
    return pattern


def step_of(pattern: str, frame: int, book: int, books: int) -> int:
    """The step at which a token is written."""
    return frame * books + book if pattern == FLATTEN else frame + book


def frame_of(pattern: str, step: int, book: int, books: int) -> int | None:
    """The frame whose token of `book` is written at `step`; None where it writes none."""
    if pattern == FLATTEN:
        return step // books if step % books == book else None
    return step - book if step >= book else None


def steps(pattern: str, frames: int, books: int) -> int:
    """Steps of an utterance of `frames`, its end included."""
    return step_of(pattern, frames, 0, books) + 1 if pattern == FLATTEN else max(frames + 1, frames + books - 1)


def lay(pattern: str, tokens: NDArray[np.int32], end: int) -> Ints:
    """tokens [N, K] -> what each step writes, [P, K] with ABSENT where it writes nothing; `end`: the end's token."""
    frames, books = tokens.shape
    laid = np.full((steps(pattern, frames, books), books), ABSENT, np.int64)
    for book in range(books):
        at = [step_of(pattern, frame, book, books) for frame in range(frames)]
        laid[at, book] = tokens[:, book]
    laid[step_of(pattern, frames, 0, books), 0] = end
    return laid


def lift(pattern: str, laid: Ints, frames: int) -> NDArray[np.int32]:
    """The first `frames` frames [N, K] of what was written [P, K]."""
    books = laid.shape[1]
    out = np.empty((frames, books), np.int32)
    for book in range(books):
        out[:, book] = laid[[step_of(pattern, frame, book, books) for frame in range(frames)], book]
    return out
