"""A codec in a Python of its own: `bench env make CODEC` makes it, a child process there runs the card's worker file.

The two speak length-prefixed frames: float32 samples go in, the bytes of Codes come out. The child reports its versions, its
code's digest, what it can do, its CPU seconds and its peak memory, none of which can be seen from here. A child that dies,
hangs, writes anything else to its standard output or answers wrongly has failed; the end of its standard error is in the
reason, and the next request gets a new child. Settings: `worker` (see `bench.foreign.serve`), `limit_s` (for one request);
the rest goes to the worker.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bench import environments
from bench.cards import PACKAGE, Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes
from bench.errors import BadCodes, BenchError
from bench.fetch.weights import Weights
from bench.foreign import cpu, frames

VERSION = "1"

LIMIT_S = 600.0
SHOWN = 300
# Only this package is made known, not what is installed beside it: the codec's Python has packages of its own.
_START = (
    "import sys, importlib.util as u; spec = u.spec_from_file_location('bench', {package!r} + '/__init__.py', "
    "submodule_search_locations=[{package!r}]); sys.modules['bench'] = made = u.module_from_spec(spec); "
    "spec.loader.exec_module(made); from bench.foreign.serve import main; sys.exit(main())"
)


class ChildFailed(BenchError):
    """The codec's process did not answer as it should."""

    kind = "codec_error"


class Child:
    """One process and its streams. `ask` sends a frame and gives the answer, or ends the process and raises ChildFailed."""

    def __init__(self, interpreter: str, name: str, limit_s: float) -> None:
        self.name, self.limit_s = name, limit_s
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        command = [interpreter, "-u", "-c", _START.format(package=str(PACKAGE))]
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=kept)
        except OSError as error:
            raise ChildFailed(f"{name}: {interpreter} cannot be started ({error})") from error
        assert self.process.stdin is not None and self.process.stdout is not None
        for stream in (self.process.stdin, self.process.stdout):
            os.set_blocking(stream.fileno(), False)
        self._close = weakref.finalize(self, _end, self.process, self.errors)

    def ask(self, header: Mapping[str, Any], payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Send a question and wait for its answer: (header, payload). Raises BenchError with what the codec's Python said."""
        try:
            text, data = self._exchange(frames.pack(dict(header), payload))
            answer = frames.parse(text)
        except frames.BadFrame as error:
            raise self._failed(f"it wrote to its standard output what is no answer: {error}") from error
        if "error" in answer:
            raise ChildFailed(f"{self.name}: {answer['error']}")
        return answer, data

    def _exchange(self, message: bytes) -> tuple[bytes, bytes]:
        """Write all of `message` and read one frame, whichever goes, until the limit."""
        assert self.process.stdin is not None and self.process.stdout is not None
        ends, left, got, needed = time.monotonic() + self.limit_s, memoryview(message), bytearray(), frames.HEAD_BYTES
        sizes: tuple[int, int] | None = None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdin, selectors.EVENT_WRITE)
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            while len(got) < needed or left:
                ready = waiting.select(max(0.0, ends - time.monotonic()))
                if not ready and time.monotonic() >= ends:
                    raise self._failed(f"it gave no answer within {self.limit_s:g} s")
                for key, _ in ready:
                    if key.fileobj is self.process.stdin:
                        try:
                            left = left[os.write(key.fd, left[: 1 << 16]) :]
                        except BrokenPipeError:
                            left = left[:0]
                        if not left:
                            waiting.unregister(self.process.stdin)
                        continue
                    block = os.read(key.fd, 1 << 20)
                    if not block:
                        raise self._failed("")
                    got += block
                    if sizes is None and len(got) >= frames.HEAD_BYTES:
                        sizes = frames.sizes(bytes(got[: frames.HEAD_BYTES]))
                        needed = frames.HEAD_BYTES + sum(sizes)
        assert sizes is not None
        if len(got) > needed:
            raise frames.BadFrame(f"{bytes(got[needed : needed + 40])!r} follows an answer")
        middle = frames.HEAD_BYTES + sizes[0]
        return bytes(got[frames.HEAD_BYTES : middle]), bytes(got[middle:])

    def _failed(self, what: str) -> ChildFailed:
        """End the process; the error that says what it did and what it last complained about."""
        code = None
        if not what:
            try:
                code = self.process.wait(5)
            except subprocess.TimeoutExpired:
                what = "it closed its standard output"
        self.process.kill()
        self.process.wait()
        if not what:
            what = f"it was killed by signal {-code}" if code is not None and code < 0 else f"it ended with code {code}"
        self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, self.errors.tell() - 4096))
        said = " | ".join(self.errors.read().decode(errors="replace").strip().splitlines()[-3:])[-SHOWN:]
        self.close()
        return ChildFailed(f"{self.name}: the codec's process failed: {what}. Its standard error ends: {said or '(nothing)'}")

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._close.alive and self.process.poll() is None

    def close(self) -> None:
        """End the process. Safe to call twice."""
        self._close()


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, errors):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                pass


class ForeignCodec(Codec):
    """A codec that runs elsewhere. `report` is what its process told of itself, `resources` the sums of what it spent."""

    def __init__(self, point: Point, weights: Weights, device: str) -> None:
        self.point, self.weights, self.device = point, weights, device
        self.resources = {"cpu_s": 0.0, "peak_bytes": 0}
        self._child: Child | None = None
        self.report = self._load()
        self.sample_rate, self.frame = int(self.report["sample_rate"]), int(self.report["frame"])
        self.min_samples, self.delay = int(self.report["min_samples"]), int(self.report["delay"])
        if self.report["feature_rate_hz"]:
            self.feature_rate_hz = float(self.report["feature_rate_hz"])

    @property
    def output_rate(self) -> int:
        """Hz of the decoded waves, as the worker says."""
        return int(self.report["output_rate"])

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        if not waves:
            return []
        answer, data = self._ask({"do": "encode"}, waves)
        pieces = self._cut(answer, data, len(waves), 1)
        try:
            out = [Codes.from_bytes(piece) for piece in pieces]
        except BadCodes as error:
            raise ChildFailed(f"{self.point.name}: the codec's process answered with codes that are none: {error}") from error
        for codes, wave in zip(out, waves, strict=True):
            if (codes.num_samples, codes.sample_rate) != (len(wave), self.sample_rate):
                raise ChildFailed(
                    f"{self.point.name}: the codec's process answered with codes of {codes.num_samples} samples at "
                    f"{codes.sample_rate} Hz for {len(wave)} at {self.sample_rate}"
                )
        return out

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        sent = [message.to_bytes() for message in codes]
        answer, data = self._ask({"do": "decode", "lengths": [len(one) for one in sent]}, (), b"".join(sent))
        return [np.frombuffer(piece, "<f4").copy() for piece in self._cut(answer, data, len(codes), 4)]

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.close()
        self._child = None

    def _load(self) -> dict[str, Any]:
        point = self.point
        settings = {key: value for key, value in point.settings.items() if key not in ("worker", "limit_s")}
        limit = float(point.settings.get("limit_s", LIMIT_S))
        self._child = Child(str(environments.python(point)), point.name, limit)
        files = {name: str(path.absolute()) for name, path in self.weights.files.items()}
        answer, _ = self._child.ask(
            {"do": "load", "worker": str(environments.worker(point).absolute()), "settings": _plain(settings), "files": files,
             "seed": self.weights.seed, "device": self.device}
        )  # fmt: skip
        self._count(answer)
        return answer

    def _ask(self, header: dict[str, Any], waves: Sequence[Wave], payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
        if self._child is None or not self._child.alive:
            told = self._load()
            if told["code_sha256"] != self.report["code_sha256"]:
                raise ChildFailed(f"{self.point.name}: the codec's code changed while it ran; start again")
        assert self._child is not None
        if waves:
            header["lengths"] = [len(wave) for wave in waves]
            payload = b"".join(np.ascontiguousarray(wave, "<f4").tobytes() for wave in waves)
        answer, data = self._child.ask(header, payload)
        self._count(answer)
        return answer, data

    def _count(self, answer: Mapping[str, Any]) -> None:
        self.resources["cpu_s"] += float(answer["cpu_s"])
        cpu.add(float(answer["cpu_s"]))
        self.resources["peak_bytes"] = max(int(self.resources["peak_bytes"]), int(answer["peak_bytes"]))

    def _cut(self, answer: Mapping[str, Any], data: bytes, wanted: int, width: int) -> list[bytes]:
        lengths = answer.get("lengths")
        if not isinstance(lengths, list) or len(lengths) != wanted or sum(lengths) * width != len(data):
            told = f"{len(data)} bytes in pieces of {lengths}"
            raise ChildFailed(f"{self.point.name}: the codec's process answered {told} for {wanted} utterances")
        ends = np.cumsum([0, *lengths]) * width
        return [data[a:b] for a, b in pairwise(ends)]


class _Converts(ForeignCodec):
    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """What `source` [T] says in the voice of `enrolment`, by the codec's own means."""
        answer, data = self._ask({"do": "convert"}, [source, *enrolment])
        return np.frombuffer(self._cut(answer, data, 1, 4)[0], "<f4").copy()


class _HasFeatures(ForeignCodec):
    def features(self, wave: Wave) -> NDArray[np.float32]:
        """Continuous features before quantization, [N, H]."""
        return _tables(*self._ask({"do": "features"}, [wave]))["features"][0]


class _HasCodebooks(ForeignCodec):
    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """Part name -> one table [V, H] per codebook."""
        return _tables(*self._ask({"do": "codebooks"}, ()))


_POWERS: Mapping[str, type[ForeignCodec]] = {"convert": _Converts, "features": _HasFeatures, "codebooks": _HasCodebooks}


def _tables(answer: Mapping[str, Any], data: bytes) -> dict[str, list[NDArray[np.float32]]]:
    values, at = np.frombuffer(data, "<f4"), 0
    out: dict[str, list[NDArray[np.float32]]] = {}
    for name, shapes in answer["shapes"].items():
        for shape in shapes:
            size = int(np.prod(shape))
            out.setdefault(name, []).append(values[at : at + size].reshape(shape).copy())
            at += size
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. BenchError: its environment is not here; ChildFailed: its worker cannot load it."""
    codec = ForeignCodec(point, weights, device)
    powers = tuple(_POWERS[name] for name in codec.report["powers"] if name in _POWERS)
    if powers:
        codec.__class__ = type("ForeignCodec", powers, {})
    return codec
