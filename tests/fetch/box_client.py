"""What a user's process does, beside a hub in a box: fetches, loads and runs each codec and metric that is named.

`fetch:NAME` only fetches. Writes one JSON object: name -> what came out (digest of the weights, and a digest or scores of
the outputs), or the error.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import cards
from bench.errors import BenchError
from bench.fetch import weights


def fetch(name: str) -> dict[str, Any]:
    name = name.removeprefix("fetch:")
    if name.partition("@")[0] not in cards.paths():
        from bench import metrics

        return {"files": [path.name for path in metrics.find(name).weights()]}
    found = weights.resolve(cards.resolve(name), "official")
    return {"digest": found.digest, "source": found.source}


def codec(name: str) -> dict[str, Any]:
    import numpy as np

    from bench import adapters
    from bench.coding.codec import encode
    from tests.fetch import repositories

    point = repositories.point(name)
    found = weights.resolve(point, "official")
    made = adapters.load(point, found)
    wave = (0.1 * np.random.default_rng(0).standard_normal(made.sample_rate // 2)).astype(np.float32)
    [codes] = encode(made, [wave])
    [out] = made.decode([codes])
    return {"digest": found.digest, "source": found.source, "codes": codes.sha256,
            "wave": hashlib.sha256(np.asarray(out).tobytes()).hexdigest(), "samples": len(out)}  # fmt: skip


def metric(name: str) -> dict[str, Any]:
    import numpy as np

    from bench import metrics

    found = metrics.find(name)
    wave = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    assert found.analyse is not None
    [analysis] = found.analyse([metrics.Signal(wave, 16_000)])
    if isinstance(analysis, metrics.MetricFailure):
        raise BenchError(str(analysis))
    kept = {key: np.asarray(value).tolist() for key, value in analysis.items()}
    return {"analysis": kept, "files": [path.name for path in found.weights()]}


def utmos(url: str) -> Callable[[str], dict[str, Any]]:
    """UTMOS from the box: the URL and layers are the box's; a pinned sha256 stays only where the name says so."""

    def run(name: str) -> dict[str, Any]:
        from bench.metrics import utmos
        from tests.fetch import repositories

        repositories.utmos_layers()
        source = replace(utmos.SOURCE, urls={utmos.FILE: f"{url}/utmos.pt"})
        utmos.SOURCE = source if name == "utmos:pinned" else replace(source, sha256={})
        return metric("utmos")

    return run


def main(url: str, names: list[str]) -> None:
    out: dict[str, Any] = {}
    for name in names:
        if name.startswith("fetch:"):
            run = fetch
        elif name.startswith("utmos"):
            run = utmos(url)
        else:
            run = codec if name.partition("@")[0] in cards.paths() else metric
        try:
            out[name] = run(name)
        except BenchError as error:
            out[name] = {"error": str(error), "kind": type(error).__name__}
    Path(sys.argv[1]).write_text(json.dumps(out))


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3:])
