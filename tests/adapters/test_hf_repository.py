"""`hf:FOLDER` and `hf:REPO`: an audio tokenizer without a card runs by what its config.json says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import adapters
from bench.coding.codec import encode, roundtrip
from bench.engine.systems import system
from bench.errors import BenchError

Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]


@pytest.mark.parametrize("name", ["encodec@1.5", "dac@1", "mimi@0.69", "xcodec@1", "higgs@0.5", "xcodec2", "neucodec"])
def test_a_folder_runs_without_a_card(name: str, subject: Get, bursts: Signal, tmp_path: Path) -> None:
    made = subject(name)
    made.codec.networks()["model"].save_pretrained(tmp_path / "mine")
    found = system(f"hf:{tmp_path / 'mine'}")
    assert (found.point.name, found.weights.kind) == ("hf@mine", "official")
    codec = adapters.load(found.point, found.weights)
    wave = bursts(codec.sample_rate, 0.5)
    codes, decoded = roundtrip(codec, wave)
    assert np.isfinite(decoded).all()
    few = encode(made.codec, [wave])[0].tokens[0].indices
    np.testing.assert_array_equal(codes.tokens[0].indices[:, : few.shape[1]], few)
    [stream] = found.point.streams
    assert (codes.tokens[0].sizes, codes.tokens[0].rate_hz) == (stream.sizes, stream.rate_hz)


def test_what_is_no_audio_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"config\.json is not there"):
        system(f"hf:{tmp_path}")
    config = tmp_path / "config.json"
    for text, said in (("{", "does not say which model"), ("{}", "model_type"), ('{"model_type": "bert"}', "no adapter")):
        config.write_text(text)
        with pytest.raises(BenchError, match=said):
            system(f"hf:{tmp_path}")
    config.write_text(json.dumps({"model_type": "dac", "downsampling_ratios": "no"}))
    with pytest.raises(BenchError, match="makes no DacModel"):
        system(f"hf:{tmp_path}")
    with pytest.raises(BenchError, match="write hf:user/name"):
        system("hf:nobody")
