"""SuperCodec's adapter: state dicts of the published code, codebooks sent, tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from bench import adapters, cards
from bench.coding.codec import encode
from bench.errors import BadCard, WeightsInvalid
from bench.fetch import weights

Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]


def test_a_state_dict_of_the_published_code(reference: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    recorded = load_file(reference / "supercodec" / "supercodec_tiny_s2458_b1.safetensors")
    prefix = "state_dict/"
    state = {key.removeprefix(prefix): value for key, value in recorded.items() if key.startswith(prefix)}
    point = cards.resolve("supercodec@1")
    wave = recorded["wav"][0].numpy()
    for path, found in ((tmp_path / "g_1.pt", {"generator": state}), (tmp_path / "g.safetensors", state)):
        if path.suffix == ".pt":
            torch.save(found, path)
        else:
            save_file(found, path)
        codec: Any = adapters.load(point, weights.resolve(point, path=path))
        [codes] = codec.encode([wave])
        np.testing.assert_array_equal(codes.tokens[0].indices, recorded["codes"][0].numpy())
        np.testing.assert_allclose(codec.decode([codes])[0], recorded["out"][0, 0].numpy(), atol=1e-5)
    four = cards.resolve("supercodec@2")
    with pytest.raises(WeightsInvalid, match="4 codebooks are to be sent, the weights have 2"):
        adapters.load(four, weights.resolve(four, path=path))
    del state["decoder.0.conv.bias"]
    save_file(state, path)
    with pytest.raises(WeightsInvalid, match=r"decoder\.0\.conv\.bias is missing"):
        adapters.load(point, weights.resolve(point, path=path))
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsInvalid, match="no state dict of SuperCodec"):
        adapters.load(point, weights.resolve(point, path=path))


def test_fewer_codebooks_are_a_prefix_and_tables_fit(subject: Get, bursts: Signal) -> None:
    made = subject("supercodec@1")
    one = {**made.point.settings, "config": {**made.config, "books": 2}, "codebooks": 1}
    more = dataclasses.replace(made.point, settings=one)
    wave = bursts(16000, 0.5)
    codec: Any = adapters.load(more, weights.resolve(more, "random"))
    few, all_ = (encode(each, [wave])[0].tokens[0].indices for each in (codec, made.codec))
    np.testing.assert_array_equal(all_[:, :1], few)
    assert [table.shape for table in made.codec.codebooks()["codes"]] == [(1024, 16)] * 2
    assert made.codec.features(wave[:6400]).shape == (20, 16) and len(np.unique(all_)) > 10
    bad = dataclasses.replace(more, settings={**more.settings, "config": {"width": 3}})
    with pytest.raises(BadCard, match="width"):
        adapters.load(bad, weights.resolve(bad, "random"))
