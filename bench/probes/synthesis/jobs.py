"""Jobs of synthesis for an executor: the speaker vectors of some recordings, one training, and the decoder that it left."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench import device, metrics
from bench.errors import BenchError, WeightsMissing
from bench.metrics import MetricFailure, Signal
from bench.probes.division import Division
from bench.probes.jobs import Resumable, ready
from bench.probes.synthesis.settings import Settings

if TYPE_CHECKING:
    from bench.probes.synthesis.network import Decoder
    from bench.speech import Utterance

DEFINITION = "synthesis"
VERSION = "1"
PACKAGES = ("torch", "transformers", "speechbrain")
_KEEP = 3


@dataclass(frozen=True)
class VoiceJob:
    """The vectors of the clean recordings of some utterances, by the embedding of the metric `voice`."""

    voice: str
    utterances: tuple[Utterance, ...]
    device: str = "cpu"


def voices(job: VoiceJob) -> list[NDArray[np.float32]]:
    """One vector [D] for each utterance. Raises BenchError that names the recording without one."""
    rate = metrics.find(job.voice).rate_hz
    found = embed(job.voice, [u.read_reference(rate)[0] for u in job.utterances], device.own(job.device))
    for u, one in zip(job.utterances, found, strict=True):
        if isinstance(one, MetricFailure):
            raise BenchError(f"{u.id}: no speaker vector can be had of its recording ({one}); leave the utterance out")
    return [one for one in found if not isinstance(one, MetricFailure)]


def embed(voice: str, waves: list[NDArray[np.float32]], where: str) -> list[NDArray[np.float32] | MetricFailure]:
    """Vectors [D] of waves [T] at the rate of the metric `voice`, which must have an embedding."""
    metric = metrics.find(voice)
    signals = [Signal(wave, metric.rate_hz) for wave in waves]
    assert metric.analyse is not None
    found = metric.analyse(signals) if device.is_cpu(where) else metric.analyse_on(where, signals)
    return [one if isinstance(one, MetricFailure) else np.asarray(one["embedding"], np.float32) for one in found]


@dataclass(frozen=True)
class Job(Resumable):
    """A decoder for the tokens and the speaker vectors in two files. `folder` is also where the finished decoder goes."""

    inputs: Path
    voices: Path
    division: Division
    settings: Settings
    seed: int
    folder: Path
    key: str
    device: str = "cpu"

    @property
    def weights(self) -> Path:
        """Where the finished decoder lies."""
        return self.folder / f"{self.key}.decoder"


def run(job: Job) -> dict[str, Any]:
    """Train, or go on with a training that was killed; the decoder is left in `job.weights`, its sha256 is in the result.

    The checkpoint stays until the driver has stored the result (`Resumable.finished`).
    """
    from bench.probes.examples import Example
    from bench.probes.fitting import save
    from bench.probes.inputs import Inputs
    from bench.probes.synthesis.training import Trainer

    inputs, spoken = Inputs.load(job.inputs), Inputs.load(job.voices)
    train, valid = ([Example(u, job.division.targets[u]) for u in part] for part in (job.division.train, job.division.valid))
    trainer = Trainer(inputs, spoken, job.settings, job.seed, ready(job.device))
    trained = trainer.fit(train, valid, job.checkpoint)
    state = {name: value.cpu() for name, value in trainer.network.state_dict().items()}
    shape = {
        "sizes": list(inputs.sizes), "voice_width": spoken.feature_dim,
        "table_widths": [0 if table is None else table.shape[1] for table in inputs.tables],
    }  # fmt: skip
    save(job.weights, {"state": state, "shape": shape})
    return {"weights_sha256": sha256(job.weights), "state_sha256": _digest(state), **asdict(trained)}


def sha256(path: Path) -> str:
    """Digest of a file; "" where there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_loaded: OrderedDict[tuple[str, str], Decoder] = OrderedDict()


def load(path: Path, settings: Settings, where: str) -> Decoder:
    """The decoder in a file, on a device; the last few stay loaded. Raises WeightsMissing."""
    import torch

    from bench.probes.inputs import Inputs
    from bench.probes.synthesis.network import Decoder

    key = str(path), where
    if key not in _loaded:
        if not path.is_file():
            raise WeightsMissing(f"{path} is gone: run the same command again, which trains the decoder anew")
        held = torch.load(path, weights_only=True, map_location="cpu")
        shape = held["shape"]
        sizes = tuple(shape["sizes"])
        tables = tuple(
            np.zeros((size, width), np.float32) if width else None
            for size, width in zip(sizes, shape["table_widths"], strict=True)
        )
        decoder = Decoder(Inputs("", 0.0, sizes=sizes, tables=tables), shape["voice_width"], settings)
        decoder.load_state_dict(held["state"])
        while len(_loaded) >= _KEEP:
            _loaded.popitem(last=False)
        _loaded[key] = decoder.to(where).eval()
    _loaded.move_to_end(key)
    return _loaded[key]


def _digest(state: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
