"""A run to be killed: `victim.py FOLDER STORE [EXECUTOR]`. Kept apart from the test so that worker processes can import it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from bench.engine import systems as planning
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.speech import Dataset, Utterance
from bench.store import Store


def main(folder: Path, store: Path, executor: str = "processes") -> None:
    paths = sorted(folder.glob("*.wav"))
    utterances = tuple(Utterance(p.stem, p, f"s{i % 3}", text="one two") for i, p in enumerate(paths))
    systems = tuple(planning.systems(("mulaw", "identity")))
    plan = Plan("resynthesis", systems, Dataset("toy", utterances), ("stoi", "si_sdr"), workers=2, executor=executor)
    with Store(store) as opened:
        Runner(plan, opened).run()


if __name__ == "__main__":
    # A shell starts what it runs in the background with interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
