"""Lyra v2: SoundStream in three TensorFlow Lite models, run with ai-edge-litert (google/lyra, Apache-2.0).

Every 20 ms the encoder turns 320 samples into 64 features, a residual vector quantizer of 46 stages of 16 entries
turns these into 4 bit indices, and the decoder makes 320 samples of them. 16, 30 and 46 stages are 3.2, 6 and
9.2 kbit/s. Encoder and decoder keep their state in variables that a reset does not restore, so each message has
fresh ones (9 ms). The C++ program's extras (comfort noise, packet loss, discontinuous transmission) play no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.adapters import check_settings
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Tokens
from bench.errors import BadCard, WeightsMissing
from bench.fetch.weights import Weights

VERSION = "1"
ENCODER, QUANTIZER, DECODER = "soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite"
STAGES, ENTRIES, FRAME, RATE_HZ = 46, 16, 320, 16000


class _Model:
    """A TensorFlow Lite model with one input and one output tensor."""

    def __init__(self, content: bytes) -> None:
        self.interpreter = _interpreter(content)
        self.interpreter.allocate_tensors()
        self._input = self.interpreter.get_input_details()[0]["index"]
        self._output = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        self.interpreter.set_tensor(self._input, values)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self._output)


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content, num_threads=1)


class Lyra(Codec):
    """Tokens of 16 entries, `stages` codebooks, 50 Hz."""

    sample_rate, frame = RATE_HZ, FRAME

    def __init__(self, files: Mapping[str, Path], stages: int) -> None:
        missing = [name for name in (ENCODER, QUANTIZER, DECODER) if name not in files]
        if missing:
            raise WeightsMissing(f"lyra: {', '.join(missing)} not among {sorted(files) or 'no files'}")
        if not 1 <= stages <= STAGES:
            raise BadCard(f"lyra: stages is {stages}, must be 1 to {STAGES}")
        self.stages = stages
        self._content = {name: files[name].read_bytes() for name in (ENCODER, QUANTIZER, DECODER)}

    @cached_property
    def _quantizer(self) -> Any:
        return _interpreter(self._content[QUANTIZER])

    @cached_property
    def _quantize(self) -> Any:
        return self._quantizer.get_signature_runner("encode")

    @cached_property
    def _dequantize(self) -> Any:
        return self._quantizer.get_signature_runner("decode")

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

    def _encode(self, wave: Wave) -> Codes:
        encoder = _Model(self._content[ENCODER])
        frames = wave.reshape(-1, 1, FRAME)
        indices = np.zeros((len(frames), self.stages), np.int32)
        stages = np.int32(self.stages)
        for row, frame in zip(indices, frames, strict=True):
            chosen = self._quantize(input_frames=encoder(frame), num_quantizers=stages)["output_0"]
            row[:] = chosen[: self.stages, 0, 0]
        tokens = Tokens("features", RATE_HZ / FRAME, (ENTRIES,) * self.stages, indices)
        return Codes((tokens,), len(wave), RATE_HZ)

    def _decode(self, codes: Codes) -> Wave:
        part = codes.part("features")
        assert isinstance(part, Tokens)
        decoder = _Model(self._content[DECODER])
        # -1 marks the stages that were not sent.
        indices = np.full((STAGES, 1, 1), -1, np.int32)
        wave = np.zeros((len(part.indices), FRAME), np.float32)
        for row, frame in zip(part.indices, wave, strict=True):
            indices[: len(row), 0, 0] = row
            frame[:] = decoder(self._dequantize(encoding_indices=indices)["output_0"])[0]
        return wave.reshape(-1)


def load(point: Point, weights: Weights, device: str) -> Codec:
    """Settings: `stages` of the quantizer. There are no random weights: the models are compiled graphs."""
    check_settings(point, ["stages"])
    if weights.kind == "random":
        raise WeightsMissing(f"{point.name}: Lyra's models are compiled graphs and cannot be made with random weights")
    return Lyra(weights.files, int(point.settings["stages"]))
