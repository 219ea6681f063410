"""The child: loads a worker file, answers frames on its standard streams until they close.

A worker file says what it runs with and makes the codec:

    PACKAGES = ("encodec", "torch")                       # distributions whose versions are reported

    def load(settings, files, seed, device):              # the card's settings; name -> path of weights, {} for random ones
        return Codec()                                    # sample_rate, perhaps frame, min_samples, delay, output_rate
                                                          # encode(wave) -> parts of bench.coding.codes; decode(Codes) -> wave
                                                          # perhaps convert(source, enrolment), features(wave), codebooks()

What the package prints goes to standard error: the standard output carries frames and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bench.coding.codes import Codes
from bench.foreign import frames

POWERS = ("convert", "features", "codebooks")


def main() -> int:
    """Serve until standard input ends."""
    source = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    server = Server()
    while (frame := frames.read(source)) is not None:
        answers.write(server.answer(*frame))
        answers.flush()
    return 0


class Server:
    """Answers requests, the first of which is `load`."""

    def __init__(self) -> None:
        self.codec: Any = None

    def answer(self, header: dict[str, Any], payload: bytes) -> bytes:
        """The frame that answers a question; a codec's exception becomes an answer too."""
        started = time.process_time()
        try:
            said, data = getattr(self, f"do_{header['do']}")(header, payload)
        except Exception as error:
            said, data = {"error": f"{type(error).__name__}: {error}"[:2000]}, b""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return frames.pack({**said, "cpu_s": time.process_time() - started, "peak_bytes": peak}, data)

    def do_load(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Load the worker's codec; answer with its rates."""
        path = Path(header["worker"])
        spec = importlib.util.spec_from_file_location("bench_worker", path)
        assert spec is not None and spec.loader is not None
        worker = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(worker)
        files = {name: Path(file) for name, file in header["files"].items()}
        self.codec = codec = worker.load(header["settings"], files, header["seed"], header["device"])
        names = getattr(worker, "PACKAGES", ())
        digest = hashlib.sha256(path.read_bytes())
        for name in names:
            digest.update((metadata.distribution(name).read_text("RECORD") or name).encode())
        return {
            "sample_rate": codec.sample_rate,
            **{name: getattr(codec, name, usual) for name, usual in (("frame", 1), ("min_samples", 1), ("delay", 0))},
            "output_rate": getattr(codec, "output_rate", codec.sample_rate),
            "feature_rate_hz": getattr(codec, "feature_rate_hz", None),
            "powers": [name for name in POWERS if hasattr(codec, name)],
            "versions": {name: metadata.version(name) for name in names} | {"python": platform.python_version()},
            "code_sha256": digest.hexdigest(),
        }, b""

    def do_encode(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Waves -> bytes of their codes."""
        out = [
            Codes(tuple(self.codec.encode(wave)), len(wave), self.codec.sample_rate).to_bytes()
            for wave in _waves(payload, header["lengths"])
        ]
        return {"lengths": [len(data) for data in out]}, b"".join(out)

    def do_decode(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Bytes of codes -> waves."""
        out, at = [], 0
        for length in header["lengths"]:
            out.append(self.codec.decode(Codes.from_bytes(payload[at : at + length])))
            at += length
        return _sent(out)

    def do_convert(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """A source and recordings of a voice -> the source in that voice."""
        source, *enrolment = _waves(payload, header["lengths"])
        return _sent([self.codec.convert(source, enrolment)])

    def do_features(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """A wave -> continuous features [frames, dim]."""
        [wave] = _waves(payload, header["lengths"])
        return _tables({"features": [self.codec.features(wave)]})

    def do_codebooks(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """The codec's tables by the name of their stream."""
        return _tables(self.codec.codebooks())


def _waves(payload: bytes, lengths: list[int]) -> list[np.ndarray]:
    samples = np.frombuffer(payload, "<f4")
    return np.split(samples, np.cumsum(lengths)[:-1]) if lengths else []


def _sent(waves: list[np.ndarray]) -> tuple[dict[str, Any], bytes]:
    flat = [np.ascontiguousarray(wave, "<f4").reshape(-1) for wave in waves]
    return {"lengths": [len(wave) for wave in flat]}, b"".join(wave.tobytes() for wave in flat)


def _tables(tables: Any) -> tuple[dict[str, Any], bytes]:
    flat = {name: [np.ascontiguousarray(table, "<f4") for table in some] for name, some in tables.items()}
    shapes = {name: [list(table.shape) for table in some] for name, some in flat.items()}
    return {"shapes": shapes}, b"".join(table.tobytes() for some in flat.values() for table in some)
