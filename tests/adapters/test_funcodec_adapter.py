"""FunCodec and FreqCodec as codecs: rates, level, length, strictness, files. Tiny networks with random weights."""

from __future__ import annotations

import dataclasses
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from bench import adapters, cards
from bench.adapters.funcodec import BadBitrate, FunCodecAdapter, codebooks_for, level_of, quantize_level
from bench.coding.codec import HasCodebooks, HasFeatures, HasNetwork, Streams, decode, encode, roundtrip
from bench.coding.codes import Codes, Tokens
from bench.errors import BadCodes, UnknownName, WeightsInvalid
from bench.fetch import weights
from bench.models.funcodec import FunCodec, FunCodecConfig, Side, from_state_dict, save

SMALL = Side(width=8, kernel_size=3, last_kernel_size=3, lstm_layers=0)
TIME = FunCodecConfig(dim=8, encoder=SMALL, decoder=SMALL, codebooks=4, codebook_size=1024, dropout=())
FREQ = TIME.with_(domain="mag_phase", ratios=((4, 1), (4, 1), (4, 2), (4, 1)))
FLAT = TIME.with_(domain="mag_phase", ratios=(1, 2))


def network(config: FunCodecConfig, seed: int = 0) -> FunCodec:
    torch.manual_seed(seed)
    model = FunCodec(config).eval()
    model.quantizer.load_stacked(torch.randn(config.codebooks, config.codebook_size, config.dim))
    return model


@pytest.fixture(params=[TIME, FREQ, FLAT], ids=["time", "freq", "flat"])
def codec(request: pytest.FixtureRequest) -> FunCodecAdapter:
    return FunCodecAdapter(network(request.param), 2)


def noise(length: int, level: float = 0.1, seed: int = 0) -> NDArray[np.float32]:
    return (level * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


@pytest.mark.parametrize("length", [1, 319, 320, 321, 7351])
def test_length_and_number_of_frames(codec: FunCodecAdapter, length: int) -> None:
    codes, decoded = roundtrip(codec, noise(length))
    assert decoded.shape == (length,)
    tokens = codes.part("codes")
    assert isinstance(tokens, Tokens)
    assert tokens.indices.shape == (ceil(length / 320), 2)
    assert codes.payload_bits == 20 * ceil(length / 320) + 8


def test_decoded_wave_reaches_the_end_of_the_input(codec: FunCodecAdapter) -> None:
    """The published FreqCodec leaves up to 159 samples at the end of the input without output."""
    codes = encode(codec, [noise(6400)])[0]
    [wave] = codec.decode([codes])
    assert len(wave) == 6400
    assert all(np.abs(wave[start : start + 80]).max() > 0 for start in range(0, 6400, 80))


@pytest.mark.parametrize("gain_db", [-60.0, -20.0, 0.0, 6.0])
def test_codes_alone_decode_at_the_right_level(codec: FunCodecAdapter, gain_db: float) -> None:
    wave = noise(8000, 0.2)
    gain = np.float32(10 ** (gain_db / 20))
    [codes], [louder] = encode(codec, [wave]), encode(codec, [wave * gain])
    plain, other = (codec.decode([Codes.from_bytes(each.to_bytes())])[0] for each in (codes, louder))
    np.testing.assert_array_equal(codes.part("codes").indices, louder.part("codes").indices)  # type: ignore[union-attr]
    ratio = np.sqrt(np.mean(other**2) / np.mean(plain**2))
    assert 20 * np.log10(ratio) == pytest.approx(gain_db, abs=0.51)


def test_level_is_quantized_within_a_quarter_of_a_decibel() -> None:
    for decibels in np.linspace(-119, 7, 1000):
        scale = 10 ** (decibels / 20)
        assert abs(20 * np.log10(level_of(quantize_level(scale)) / scale)) <= 0.25 + 1e-9
    assert quantize_level(0.0) == 0
    assert level_of(0) == pytest.approx(1e-6)
    assert quantize_level(1e9) == 255


def test_a_batch_equals_one_by_one(codec: FunCodecAdapter) -> None:
    waves = [noise(length, seed=length) for length in (5000, 321, 16000)]
    together = encode(codec, waves)
    assert [c.sha256 for c in together] == [encode(codec, [wave])[0].sha256 for wave in waves]
    lengths = [len(wave) for wave in waves]
    for batched, codes, length in zip(decode(codec, together, lengths), together, lengths, strict=True):
        np.testing.assert_array_equal(batched, decode(codec, [codes], [length])[0])


def test_fewer_codebooks_are_a_prefix_of_more(codec: FunCodecAdapter) -> None:
    more = FunCodecAdapter(codec.network, 4)
    wave = noise(4800)
    few, many = codec.encode([wave])[0].part("codes"), more.encode([wave])[0].part("codes")
    assert isinstance(few, Tokens) and isinstance(many, Tokens)
    np.testing.assert_array_equal(few.indices, many.indices[:, :2])


@pytest.mark.parametrize(("kbps", "count"), [(0.5, 1), (1.5, 3), (16.0, 32)])
def test_bitrate_gives_codebooks(kbps: float, count: int) -> None:
    assert codebooks_for(kbps, 50.0, 1024, 32) == count


@pytest.mark.parametrize(
    ("kbps", "nearest"),
    [
        (1.3, r"Nearest: 1 kbps \(2 codebooks\) and 1\.5 kbps \(3 codebooks\)"),
        (0.2, r"Nearest: 0\.5 kbps \(1 codebook\)\."),
        (17.0, r"Nearest: 16 kbps \(32 codebooks\)\."),
        (0.0, r"Nearest: 0\.5 kbps"),
    ],
)
def test_other_bitrates_are_refused_with_the_nearest(kbps: float, nearest: str) -> None:
    with pytest.raises(BadBitrate, match=nearest):
        codebooks_for(kbps, 50.0, 1024, 32, "funcodec@x")


@pytest.mark.parametrize("name", ["tiny_encodec_ds320", "tiny_freqcodec_magphase_gr1_ds320"])
@pytest.mark.parametrize("tag", ["a_16000", "b_odd_7351", "c_short_400"])
def test_strict_mode_gives_the_published_codes_and_waves(name: str, tag: str, reference: Path) -> None:
    folder = reference / "funcodec"
    io = load_file(folder / f"{name}.io.safetensors")
    strict = FunCodecAdapter(from_state_dict(load_file(folder / f"{name}.state.safetensors")), 8, strict=True)
    wave = io[f"{tag}.wave"][0].numpy()
    [codes] = encode(strict, [wave])
    tokens = codes.part("codes")
    assert isinstance(tokens, Tokens)
    frames = ceil(len(wave) / 320)
    np.testing.assert_array_equal(tokens.indices, io[f"{tag}.nq8.codes"][:, 0, :frames].T.numpy())
    published = io[f"{tag}.nq8.codes"].shape[-1]
    [decoded] = strict.decode([codes])
    if frames == published:
        expected = io[f"{tag}.decode_from_codes_unscaled"][0, 0].numpy()
        expected = expected * min(1.0, 0.99 / np.abs(expected).max())
        np.testing.assert_allclose(decoded, expected, atol=1e-5)
    assert len(codes.parts) == 1
    assert np.abs(decoded).max() <= 0.99 + 1e-6


def test_optional_powers(codec: FunCodecAdapter) -> None:
    assert isinstance(codec, HasFeatures) and isinstance(codec, HasCodebooks) and isinstance(codec, HasNetwork)
    assert not isinstance(codec, Streams)
    assert codec.features(noise(3200)).shape[1] == 8
    assert [table.shape for table in codec.codebooks()["codes"]] == [(1024, 8)] * 2


def test_codes_of_another_network_are_refused(codec: FunCodecAdapter) -> None:
    level = Tokens("level", 0.0, (256,), np.zeros((1, 1), np.int64))
    with pytest.raises(BadCodes, match="codebooks of 1024"):
        codec.decode([Codes((Tokens("codes", 50.0, (8,), np.zeros((2, 1), np.int64)), level), 640, 16000)])
    with pytest.raises(BadCodes, match="codes use 5 codebooks, this network has 4"):
        codec.decode([Codes((Tokens("codes", 50.0, (1024,) * 5, np.zeros((2, 5), np.int64)), level), 640, 16000)])


@pytest.mark.parametrize("family", ["funcodec", "freqcodec"])
def test_cards_agree_with_the_networks(family: str) -> None:
    from bench.models.funcodec import PRESETS

    for point in cards.load(family).points.values():
        config = PRESETS[point.settings["preset"]]
        codes = point.streams[0]
        assert point.bitrate_kbps is not None
        count = codebooks_for(point.bitrate_kbps, config.frame_rate, 1024, 32, point.name)
        assert codes.sizes == (1024,) * count
        assert codes.rate_hz == config.frame_rate
        assert point.weights["official"]["repo"].startswith("alibaba-damo/")


def test_a_file_written_here_loads_as_a_point(tmp_path: Path) -> None:
    save(network(FLAT), tmp_path / "nano.safetensors")
    point = cards.resolve("freqcodec@1")
    codec = adapters.load(point, weights.resolve(point, path=tmp_path / "nano.safetensors"))
    codes, decoded = roundtrip(codec, noise(3300))
    assert decoded.shape == (3300,)
    assert codes.part("codes").sizes == (1024, 1024)  # type: ignore[union-attr]
    too_much = cards.resolve("freqcodec@8")
    with pytest.raises(BadBitrate, match=r"there are 4\. Nearest: 2 kbps"):
        adapters.load(too_much, weights.resolve(too_much, path=tmp_path / "nano.safetensors"))


def test_wrong_files_and_settings_are_named(tmp_path: Path) -> None:
    point = cards.resolve("funcodec@1")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pth")
    with pytest.raises(WeightsInvalid, match=r"funcodec@1: .*model\.pth: no tensor 'quantizer"):
        adapters.load(point, weights.resolve(point, path=tmp_path / "model.pth"))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "model.pth").read_bytes()[:100])
    with pytest.raises(WeightsInvalid, match=r"cut\.pth is no file of plain tensors"):
        adapters.load(point, weights.resolve(point, path=tmp_path / "cut.pth"))
    (tmp_path / "cut.safetensors").write_bytes(b"12345")
    with pytest.raises(WeightsInvalid, match=r"cut\.safetensors"):
        adapters.load(point, weights.resolve(point, path=tmp_path / "cut.safetensors"))
    odd = dataclasses.replace(point, settings={**point.settings, "stict": True})
    with pytest.raises(UnknownName, match="Did you mean: strict"):
        adapters.load(odd, weights.Weights("random"))


def test_random_weights_follow_the_seed() -> None:
    point = cards.resolve("freqcodec@gr1-1")
    first, again, other = (adapters.load(point, weights.Weights("random", seed=seed)) for seed in (1, 1, 2))
    wave = noise(1600)
    assert encode(first, [wave])[0].sha256 == encode(again, [wave])[0].sha256
    assert encode(first, [wave])[0].sha256 != encode(other, [wave])[0].sha256
