"""`paper:NAME` among names of codecs: those that the paper's table compares and that can run here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench import cards as codec_cards
from bench.errors import BadCard, BenchError, UnknownName
from bench.presence import ENVIRONMENT, PACKAGE, WEIGHTS, presence
from bench.tasks import cards


def compared(given: Sequence[str]) -> tuple[str, ...]:
    """`paper:NAME` among names of codecs -> the codecs that this paper's table compares, less those that cannot run.

    What is left out is told on stderr. Raises UnknownName, BenchError when nothing is left.
    """
    found: list[str] = []
    for name in given:
        found += _of_paper(name) if name.startswith("paper:") else [name]
    return tuple(dict.fromkeys(found))


def _of_paper(paper: str) -> list[str]:
    listed = cards.profile(paper).codecs
    if not listed:
        raise BenchError(f"CODEC={paper}: its profile names no codecs; name some: CODEC=opus@6,codec2@1200")
    run, lost = [], []
    for name in listed:
        try:
            point = codec_cards.runnable(name)
        except UnknownName:
            lost.append(f"{name} (no card yet)")
        except BadCard as fault:
            lost.append(f"{name} (broken card: {fault})")
        except BenchError:
            lost.append(f"{name} (reported numbers only)")
        else:
            state = presence(point)
            if state.state in (ENVIRONMENT, PACKAGE, WEIGHTS):
                lost.append(f"{name} ({state})")
            else:
                run.append(name)
    if lost:
        print(f"{paper}: {len(lost)} of its {len(listed)} codecs cannot run here: {'; '.join(lost)}", file=sys.stderr)
    if not run:
        raise BenchError(f"CODEC={paper}: none of its codecs can run here")
    return run
