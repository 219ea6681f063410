"""FocalCodec behind the codec interface: every operating point's card, and small random models through it all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import cards
from bench.adapters import focalcodec as adapter
from bench.audio import resample
from bench.coding.codec import Converts, HasCodebooks, HasFeatures, HasNetwork, Streams, encode, roundtrip
from bench.coding.codes import Codes
from bench.errors import BadAudio, BadCodes, UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch.weights import resolve
from bench.models.focalcodec import PRESETS, FocalCodec, preset, scaled
from bench.models.focalcodec.checkpoint import save

POINTS = {
    "50": "50hz",
    "25": "25hz",
    "12.5": "12_5hz",
    "stream-65k": "50hz_65k_causal",
    "stream-4k": "50hz_4k_causal",
    "stream-2k": "50hz_2k_causal",
}


def small(name: str) -> FocalCodec:
    config = scaled(
        name,
        conv_dim=8,
        dim=32,
        ffn_dim=48,
        num_heads=4,
        num_layers=2,
        hidden_dims=(24, 16, 12),
        decoder_dim=16,
        decoder_ffn_dim=24,
        decoder_layers=2,
        conv_pos=16,
        conv_pos_groups=4,
    )
    return FocalCodec.from_config(config, seed=3)


def offline(name: str = "50hz", **options: float) -> adapter.FocalCodecAdapter:
    return adapter.FocalCodecAdapter(small(name), **options)


def causal() -> adapter.CausalFocalCodecAdapter:
    return adapter.CausalFocalCodecAdapter(small("50hz_4k_causal"))


def noise(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [rng.normal(0, 0.1, size).astype(np.float32) for size in sizes]


@pytest.mark.parametrize("point", POINTS)
def test_card_agrees_with_the_model(point: str) -> None:
    card = cards.load("focalcodec")
    assert set(card.points) == set(POINTS)
    entry = card.points[point]
    config = preset(POINTS[point])
    with torch.device("meta"):
        codec = FocalCodec.from_config(config)
    assert entry.settings["model"] == POINTS[point]
    assert entry.params_m == sum(p.numel() for p in codec.parameters()) / 1e6
    assert entry.latency_ms == codec.latency
    [stream] = entry.streams
    assert (stream.rate_hz, stream.sizes) == (codec.token_rate, (config.quantizer.codebook_size,))
    assert math.isclose(entry.bitrate_kbps, codec.token_rate * config.bits / 1000)
    assert entry.weights_table("official")["repo"] == f"lucadellalib/focalcodec_{POINTS[point]}"
    assert any(reported.point == point for reported in card.reported)


def test_every_power_is_declared() -> None:
    codec = offline()
    for power in (Converts, HasFeatures, HasCodebooks, HasNetwork):
        assert isinstance(codec, power)
    assert not isinstance(codec, Streams)
    assert isinstance(causal(), Streams)


@pytest.mark.parametrize("name", ["50hz", "25hz", "12_5hz", "50hz_4k_causal"])
def test_round_trip_keeps_length_and_survives_bytes(name: str) -> None:
    codec = offline(name)
    for size in (1, 401, 8000):
        [wave] = noise(size)
        codes, decoded = roundtrip(codec, wave)
        assert decoded.shape == wave.shape
        assert np.isfinite(decoded).all()
        assert codes.part("tokens").indices.shape == (codec.network.token_count(size), 1)
        assert codes.payload_bits == codec.network.config.bits * codec.network.token_count(size)
        [again] = codec.decode([Codes.from_bytes(codes.to_bytes())])
        np.testing.assert_array_equal(again, codec.decode([codes])[0])


def test_offline_output_is_the_network_s_own() -> None:
    codec = offline()
    [wave] = noise(5000)
    with torch.inference_mode():
        toks, _, expected = codec.network(torch.from_numpy(wave)[None])
    codes, decoded = roundtrip(codec, wave)
    np.testing.assert_array_equal(codes.part("tokens").indices[:, 0], toks[0].numpy())
    np.testing.assert_allclose(decoded, expected[0].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "batch_seconds"), [("50hz", 0.1), ("50hz", 60.0), ("12_5hz", 1.0), ("50hz_4k_causal", 60.0)])
def test_batches_equal_one_by_one(name: str, batch_seconds: float) -> None:
    codec = offline(name, batch_seconds=batch_seconds)
    waves = noise(8000, 700, 1, 8000, 4321, 399)
    together = encode(codec, waves)
    decoded = codec.decode(together)
    for wave, codes, out in zip(waves, together, decoded, strict=True):
        [alone] = encode(codec, [wave])
        np.testing.assert_array_equal(codes.part("tokens").indices, alone.part("tokens").indices)
        np.testing.assert_allclose(out, codec.decode([alone])[0], rtol=0, atol=1e-5)


def test_streams_equal_the_whole() -> None:
    codec = causal()
    [wave] = noise(16000 + 123)
    [codes] = encode(codec, [wave])
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    tokens = [encoder.push(chunk) for chunk in np.split(wave, [100, 1500, 9000, 9001])]
    tokens.append(encoder.flush())
    stream = np.concatenate(tokens)
    np.testing.assert_array_equal(stream, codes.part("tokens").indices)
    waves = [decoder.push(chunk) for chunk in np.split(stream, [1, 6, 30])]
    waves.append(decoder.flush())
    with torch.inference_mode():
        whole = codec.network.toks_to_sig(torch.from_numpy(stream.T.astype(np.int64)))[0].numpy()
    np.testing.assert_allclose(np.concatenate(waves), resample(whole, 24000, 16000), rtol=0, atol=1e-4)


def test_conversion_uses_the_target_s_features() -> None:
    codec = offline()
    source, one, two = noise(8000, 3000, 5000)
    converted = codec.convert(source, [one, two])
    assert converted.shape == source.shape
    features = np.concatenate([codec.features(one), codec.features(two)])
    with torch.inference_mode():
        query = codec.network.sig_to_qfeats(torch.from_numpy(source)[None])[0].numpy()
        similarity = query @ features.T / np.linalg.norm(query, axis=1)[:, None] / np.linalg.norm(features, axis=1)
        nearest = np.argsort(-similarity, axis=1)[:, :4]
        expected = codec.network.feats_to_sig(torch.from_numpy(features[nearest].mean(axis=1))[None])[0].numpy()
    np.testing.assert_allclose(converted[: len(expected)], expected, rtol=0, atol=1e-4)
    with pytest.raises(BadAudio, match="enrolment"):
        codec.convert(source, [])


def test_codebook_rows_are_the_codes_of_their_tokens() -> None:
    codec = offline()
    [table] = codec.codebooks()["tokens"]
    assert table.shape == (8192, 13)
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, atol=1e-6)
    assert (table[1] > 0).tolist() == [False] * 12 + [True]


def test_counted_multiply_adds_know_the_fast_products(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from bench.models.blocks import fast_linear
    from bench.models.blocks.fast_linear import plain

    monkeypatch.setattr(fast_linear, "SMALLEST", 0)
    codec = offline()
    counts = []
    for context in (plain, torch.inference_mode):
        with context(), torch.inference_mode(), FlopCounterMode(display=False) as counter:
            codec.network(torch.from_numpy(noise(8000)[0])[None])
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_bad_input_is_named() -> None:
    codec = offline()
    [wave] = noise(1000)
    for bad, message in (
        (wave[:0], "empty"),
        (np.stack([wave, wave]), "mono"),
        (np.where(np.arange(1000) == 5, np.nan, wave), "NaN"),
    ):
        with pytest.raises(BadAudio, match=message):
            encode(codec, [bad])
        with pytest.raises(BadAudio, match=message):
            codec.encode([bad])
    [codes] = encode(causal(), [wave])
    with pytest.raises(BadCodes, match="8192"):
        codec.decode([codes])


def test_too_long_is_refused_with_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MOST_BYTES", 600 * 2**20)
    codec = offline()
    needed = codec.memory_estimate(16000 * 3600)
    assert needed > adapter.MOST_BYTES
    with pytest.raises(BadAudio, match=r"3600 s .* GiB .* cut it into pieces"):
        codec.encode([np.zeros(16000 * 3600, np.float32)])


def test_ten_minutes_fit_the_estimate_of_the_published_model() -> None:
    with torch.device("meta"):
        network = FocalCodec.from_config("50hz")
    codec = adapter.FocalCodecAdapter.__new__(adapter.FocalCodecAdapter)
    codec.network = network
    assert codec.memory_estimate(16000 * 600) < adapter.MOST_BYTES / 2


def point(name: str = "focalcodec@50") -> cards.Point:
    return cards.resolve(name)


def test_load_from_a_file(tmp_path: Path) -> None:
    save(small("50hz"), tmp_path / "small.safetensors", dtype=torch.float16)
    weights = resolve(point(), path=tmp_path / "small.safetensors")
    codec = adapter.load(point(), weights, "cpu")
    assert codec.network.config.encoder.dim == 32
    assert roundtrip(codec, noise(4000)[0])[1].shape == (4000,)
    with pytest.raises(WeightsInvalid, match="this operating point is the model 25hz"):
        adapter.load(point("focalcodec@25"), weights, "cpu")
    with pytest.raises(WeightsInvalid, match=r"cannot be read|one .safetensors"):
        (tmp_path / "other.safetensors").write_bytes(b"nonsense")
        adapter.load(point(), resolve(point(), path=tmp_path / "other.safetensors"), "cpu")


def test_missing_weights_say_where_and_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with pytest.raises(WeightsMissing, match=r"lucadellalib/focalcodec_50hz.*Cure"):
        resolve(point(), "official")


def test_settings_are_checked() -> None:
    import dataclasses

    weights = resolve(point(), "random")
    for settings in ({"model": "50hz", "topkk": 3}, {"model": "75hz"}):
        with pytest.raises(UnknownName):
            adapter.load(dataclasses.replace(point(), settings=settings), weights, "cpu")
    assert set(PRESETS) == set(POINTS.values())
