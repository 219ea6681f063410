"""A codec that decodes at a rate of its own: lengths, delay and records count decoded samples at that rate."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
import soundfile

from bench.coding.codec import Codec, Wave, output_samples, roundtrip
from bench.coding.codes import Codes, Tokens
from bench.engine.clock import Clock
from bench.engine.producers.resynthesis import transcode


class Doubled(Codec):
    """Sends 256 levels at 16 kHz and gives every sample twice, `delay` zeros first: 32 kHz."""

    sample_rate, output_rate, frame, delay = 16000, 32000, 10, 5

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        rows = [np.clip(np.round(wave * 127) + 128, 0, 255).astype(np.int32)[:, None] for wave in waves]
        return [Codes((Tokens("levels", 16000, (256,), row),), len(row), 16000) for row in rows]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        waves = [(message.tokens[0].indices[:, 0] - 128) / np.float32(127) for message in codes]
        return [np.concatenate([np.zeros(10), np.repeat(wave, 2)]).astype(np.float32)[: 2 * len(wave)] for wave in waves]


@pytest.mark.parametrize("length", [1, 7, 995, 4001])
def test_the_decoded_wave_lasts_as_long_as_the_input(length: int) -> None:
    codec, wave = Doubled(), np.sin(np.arange(length, dtype=np.float32) / 7)
    _, decoded = roundtrip(codec, wave)
    assert len(decoded) == output_samples(codec, length) == 2 * length
    np.testing.assert_allclose(decoded, np.repeat(wave, 2), atol=0.005)


def test_a_record_tells_the_output_rate() -> None:
    wave = np.sin(np.arange(3200, dtype=np.float32) / 7)
    [record] = transcode(Doubled(), [wave], Clock("cpu"))
    assert record["rate_hz"] == 32000
    decoded, rate = soundfile.read(io.BytesIO(record["decoded"]), dtype="float32")
    assert rate == 32000 and len(decoded) == 6400
    np.testing.assert_allclose(decoded, np.repeat(wave, 2), atol=0.005)
