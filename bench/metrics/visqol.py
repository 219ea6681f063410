"""ViSQOL v3 in speech and in audio mode: similarity of spectrograms of aligned patches, mapped to an opinion score.

Definition. Gammatone spectrograms (80 ms windows, 25 % hop; 21 bands in speech mode, 32 in audio mode), global alignment
by cross-correlation, patches of the reference matched within a search window, neurogram similarity (NSIM) per band, mapped
to 1..5 by a lattice network (speech) or a support vector regression (audio).
Reference: Chinen et al., "ViSQOL v3", QoMEX 2020; package visqol-python 3.8.0 (Apache-2.0). Audio mode is within 0.003 of
the C++ program's conformance values; speech mode on 16 kHz signals differs from them by up to 0.12.
Column visqol: speech mode at 16 kHz. Column visqol_audio: audio mode on the 16 kHz signal as it is, which is what
FunCodec's recipe runs. Upsampling to 48 kHz first gives other numbers (1.99 against 3.66 for one band-limited clip): do not
compare.
Range: 1 to 4.64 (speech), 1 to 4.73 (audio), higher is better. Rate: 16 kHz. Level: matched to the reference.
Length: lengths may differ; at least 0.5 s. Failures: too_short, silence (the package scores a silent reference 4.7),
tool, not_finite. Version 1.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column, MetricFailure
from bench.metrics._common import check_pair, package_file
from bench.metrics.shapes import of_pair

MIN_S = 0.5
MAPS = {
    "speech": "lattice_tcditugenmeetpackhref_ls2_nl60_lr12_bs2048_learn.005_ep2400_train1_7_raw.tflite",
    "audio": "libsvm_nu_svr_model.txt",
}


def visqol(ref: NDArray[Any], deg: NDArray[Any], mode: Literal["speech", "audio"] = "speech", rate_hz: int = 16_000) -> float:
    """ViSQOL of `deg` [T'] against `ref` [T]. Speech mode is defined at 16 kHz. Raises MetricFailure."""
    result = measure(ref, deg, mode, rate_hz)
    if not np.isfinite(result.moslqo):
        raise MetricFailure("not_finite", "ViSQOL returned NaN")
    return float(result.moslqo)


def measure(ref: NDArray[Any], deg: NDArray[Any], mode: Literal["speech", "audio"], rate_hz: int) -> Any:
    """The package's whole result: `moslqo`, `vnsim` and more. Raises MetricFailure."""
    ref, deg = check_pair(ref, deg, rate_hz=rate_hz, min_s=MIN_S, equal=False)
    try:
        return _api(mode).measure_from_arrays(ref.astype(np.float64), deg.astype(np.float64), rate_hz)
    except (IndexError, ValueError) as error:
        raise MetricFailure("tool", f"{type(error).__name__}: {error}") from error


def map_file(mode: str) -> Path:
    """The map from similarities to opinion scores that `mode` reads. Raises WeightsMissing."""
    return package_file("visqol", "model", MAPS[mode])


@cache
def _api(mode: str) -> Any:
    import logging

    from visqol import VisqolApi

    # It warns about every signal at 16 kHz in audio mode; that use is stated above.
    logging.getLogger("visqol").setLevel(logging.ERROR)
    api = VisqolApi()
    # Asked for by name: the package would fall back to another map, and other scores, with a warning only.
    api.create(mode=mode, use_lattice_model=True if mode == "speech" else None)
    return api


METRICS = (
    of_pair(
        "visqol",
        (Column("visqol", "ViSQOL", "", "higher", 1.0, 4.64, margin=0.03),),
        partial(visqol, mode="speech"),
        packages=("visqol-python", "ai-edge-litert"),
        weights=lambda: [map_file("speech")],
    ),
    of_pair(
        "visqol_audio",
        (Column("visqol_audio", "ViSQOL (audio mode)", "", "higher", 1.0, 4.74, margin=0.03),),
        partial(visqol, mode="audio"),
        packages=("visqol-python", "libsvm-official"),
        weights=lambda: [map_file("audio")],
    ),
)
