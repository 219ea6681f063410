"""FreeCodec as a codec: exact bits, independent streams, conversion, bad codes, files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bench import cards
from bench.adapters import freecodec
from bench.coding.codec import Converts, HasCodebooks, HasFeatures, HasNetwork, encode, roundtrip
from bench.coding.codes import Codes, Tokens, Vector
from bench.errors import BadAudio, BadCard, BadCodes, UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch.weights import Weights, resolve
from bench.models.freecodec import NANO, FreeCodec, random_model, save, version

TINY = dataclasses.replace(
    NANO,
    spectral_dim=16,
    spectral_encoder_blocks=1,
    spectral_decoder_blocks=1,
    dim=16,
    prosody_hidden=8,
    speaker_codes=1024,
    transformer_layers=1,
    transformer_heads=2,
    transformer_hidden=16,
    convnext_blocks=1,
    convnext_hidden=16,
    teacher_dim=4,
)


@pytest.fixture(scope="module", autouse=True)
def small() -> object:
    """Random weights of all versions come in a size that takes no time."""
    patch = pytest.MonkeyPatch()
    patch.setitem(freecodec._SIZES, "nano", TINY)
    yield
    patch.undo()


@pytest.fixture(scope="module", params=["v1", "v2", "v3"])
def codec(request: pytest.FixtureRequest) -> freecodec.FreeCodecAdapter:
    return build(request.param)


def build(name: str) -> freecodec.FreeCodecAdapter:
    point = cards.resolve(f"freecodec@{name}")
    made = freecodec.load(point, resolve(point, "random", seed=1), "cpu")
    assert isinstance(made, freecodec.FreeCodecAdapter)
    return made


def speech(seconds: float, seed: int = 0, pitch: float = 120.0) -> np.ndarray:
    """A buzz with moving formants: enough for a voice detector and a speaker encoder to tell two of them apart."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(16000 * seconds)) / 16000
    harmonics = np.arange(1, 40)[:, None] * pitch
    formants = 500 * (1 + 0.4 * np.sin(2 * np.pi * 3 * at)) * np.array([1.0, 2.9, 5.1])[:, None]
    gains = sum(1.0 / (1 + ((harmonics - formant) / 120) ** 2) for formant in formants)
    wave = (gains * np.sin(2 * np.pi * harmonics * at)).sum(0) + 0.01 * rng.standard_normal(len(at))
    return (0.1 * wave / np.abs(wave).max()).astype(np.float32)


def test_powers(codec: freecodec.FreeCodecAdapter) -> None:
    for power in (Converts, HasFeatures, HasCodebooks, HasNetwork):
        assert isinstance(codec, power)


@pytest.mark.parametrize("samples", [1, 319, 2239, 2240, 2241, 16000, 16001, 33333])
def test_bits_are_exact_for_every_length(codec: freecodec.FreeCodecAdapter, samples: int) -> None:
    wave = speech(3)[:samples]
    codes, decoded = roundtrip(codec, wave)
    frames = max(7, -(-samples // 320))
    speaker = 80 if codec.network.config.speaker_groups else 16 * 256
    assert codes.payload_bits == 8 * frames + 8 * -(-frames // 8) + speaker
    assert codes.num_samples == 320 * frames
    assert decoded.shape == (samples,) and np.isfinite(decoded).all()


def test_a_message_survives_as_bytes(codec: freecodec.FreeCodecAdapter) -> None:
    [codes] = encode(codec, [speech(1.0)])
    [here] = codec.decode([codes])
    [there] = codec.decode([Codes.from_bytes(codes.to_bytes())])
    assert np.array_equal(here, there)


def test_long_run_rate_is_450_bits_a_second() -> None:
    [codes] = encode(build("v2"), [speech(8.0)])
    assert codes.payload_bits == 450 * 8 + 80


def test_streams_match_the_card(codec: freecodec.FreeCodecAdapter) -> None:
    [codes] = encode(codec, [speech(1.0)])
    name = next(n for n in ("v1", "v2", "v3") if version(codec.network.config, n) == codec.network.config)
    for declared in cards.resolve(f"freecodec@{name}").streams:
        part = codes.part(declared.name)
        if isinstance(part, Tokens):
            assert (part.rate_hz, part.sizes) == (declared.rate_hz, declared.sizes)
        else:
            assert part.bits == declared.bits


def test_batch_equals_one_by_one(codec: freecodec.FreeCodecAdapter) -> None:
    waves = [speech(1.0), speech(1.5, 1, 200.0), speech(0.7, 2, 90.0)]
    together = encode(codec, waves)
    alone = [encode(codec, [wave])[0] for wave in waves]
    assert [codes.sha256 for codes in together] == [codes.sha256 for codes in alone]
    for codes, wave in zip(alone, codec.decode(together), strict=True):
        assert np.array_equal(codec.decode([codes])[0], wave)


def test_conversion_changes_the_speaker_and_nothing_else(codec: freecodec.FreeCodecAdapter) -> None:
    source, target = speech(1.2, pitch=110.0), speech(2.0, 1, 230.0)
    converted = codec.convert(source, [target])
    assert converted.shape == source.shape
    [own] = encode(codec, [source])
    [other] = encode(codec, [target])
    swapped = Codes((own.part("content"), own.part("prosody"), other.part("speaker")), own.num_samples, 16000)
    [expected] = codec.decode([swapped])
    assert np.array_equal(converted, expected[: len(source)])
    assert not np.array_equal(converted, codec.decode([own])[0][: len(source)])
    # the same clip as its own target: plain resynthesis
    aligned = source[: len(source) // 320 * 320]
    assert np.array_equal(codec.convert(aligned, [aligned]), roundtrip(codec, aligned)[1])


def test_several_enrolment_waves_are_one_speaker() -> None:
    codec, source = build("v1"), speech(1.0)
    one = speech(2.0, 1, 230.0)
    np.testing.assert_allclose(codec.convert(source, [one, one]), codec.convert(source, [one]), atol=1e-4)
    assert codec.convert(source[:500], [one[:900]]).shape == (500,)
    with pytest.raises(BadAudio, match="at least one enrolment"):
        codec.convert(source, [])


def test_codebooks_and_features(codec: freecodec.FreeCodecAdapter) -> None:
    tables = codec.codebooks()
    assert [table.shape for table in tables["content"]] == [(256, 16)]
    assert [table.shape for table in tables["prosody"]] == [(256, 16)]
    if codec.network.config.speaker_groups:
        assert [table.shape for table in tables["speaker"]] == [(1024, 32)] * 8
    wave = speech(1.0)
    features = codec.features(wave)
    assert features.shape == (50, 16) and codec.feature_rate_hz == 50.0
    # the content tokens are the nearest rows
    distance = ((features[:, None] - tables["content"][0][None]) ** 2).sum(-1)
    [codes] = encode(codec, [wave])
    tokens = codes.part("content")
    assert isinstance(tokens, Tokens)
    assert np.mean(distance.argmin(1) == tokens.indices[:, 0]) > 0.95


def test_digital_silence_passes(codec: freecodec.FreeCodecAdapter) -> None:
    codes, decoded = roundtrip(codec, np.zeros(8000, np.float32))
    assert np.isfinite(decoded).all()
    part = codes.part("speaker")
    assert not isinstance(part, Vector) or not part.values.any()


def test_codes_of_something_else_are_refused() -> None:
    codec = build("v1")
    [codes] = encode(codec, [speech(1.0)])
    content, prosody, speaker = codes.part("content"), codes.part("prosody"), codes.part("speaker")
    assert isinstance(content, Tokens) and isinstance(prosody, Tokens)

    def decode(*parts: object) -> None:
        codec.decode([Codes(parts, 16000, 16000)])  # type: ignore[arg-type]

    with pytest.raises(BadCodes, match="50 content tokens go with 7 prosody tokens, not 6"):
        decode(content, dataclasses.replace(prosody, indices=prosody.indices[:6]), speaker)
    with pytest.raises(BadCodes, match="FreeCodec decodes 7 or more"):
        decode(dataclasses.replace(content, indices=content.indices[:6]), prosody, speaker)
    with pytest.raises(BadCodes, match="does not fit codebooks of"):
        decode(dataclasses.replace(content, sizes=(512,)), prosody, speaker)
    with pytest.raises(BadCodes, match="no part 'speaker'"):
        decode(content, prosody)
    with pytest.raises(BadCodes, match="speaker vector of 256 values"):
        decode(content, prosody, Vector("speaker", np.zeros(192, np.float16)))
    with pytest.raises(BadCodes, match="speaker vector of 256 values"):
        decode(content, prosody, Tokens("speaker", 0.0, (1024,) * 8, np.zeros((1, 8), int)))


def given(path: Path) -> Weights:
    return resolve(cards.resolve("freecodec@v1"), path=path)


def test_weights_from_a_file(tmp_path: Path) -> None:
    point = cards.resolve("freecodec@v1")
    path = tmp_path / "v1.safetensors"
    save(random_model(version(TINY, "v1"), seed=1), path, half=False)
    wave = speech(1.0)
    fresh, loaded = build("v1"), freecodec.load(point, given(path), "cpu")
    assert encode(fresh, [wave])[0].sha256 == encode(loaded, [wave])[0].sha256
    with pytest.raises(WeightsInvalid, match="another version of FreeCodec than v2"):
        freecodec.load(cards.resolve("freecodec@v2"), given(path), "cpu")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsInvalid, match=r"freecodec@v1.*cut short"):
        freecodec.load(point, given(path), "cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsInvalid, match=r"need one \.safetensors file"):
        freecodec.load(point, given(tmp_path / "empty"), "cpu")


def test_v1_is_v2_without_its_speaker_books(tmp_path: Path) -> None:
    point = cards.resolve("freecodec@v1")
    path = tmp_path / "v2.safetensors"
    network = random_model(version(TINY, "v2"), seed=1)
    save(network, path, half=False)
    save(freecodec.without_speaker_books(network), tmp_path / "v1.safetensors", half=False)
    wave = speech(1.0)
    one, other = (freecodec.load(point, given(file), "cpu") for file in (path, tmp_path / "v1.safetensors"))
    [codes] = encode(one, [wave])
    assert codes.sha256 == encode(other, [wave])[0].sha256
    assert codes.part("speaker").bits == 16 * TINY.speaker_dim


def test_ecapa_comes_beside_the_network_or_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    point = cards.resolve("freecodec@v1")
    config = dataclasses.replace(version(TINY, "v1"), speaker_encoder="ecapa", speaker_dim=192)
    save(random_model(config, seed=1), tmp_path / "net.safetensors")
    small = (8, 8, 8, 8, 24)
    monkeypatch.setattr(freecodec.EcapaSpeaker.__init__, "__defaults__", (None, 192, small))
    torch.save(freecodec.EcapaSpeaker().network.state_dict(), tmp_path / "embedding_model.ckpt")
    codec = freecodec.load(point, given(tmp_path), "cpu")
    [codes] = encode(codec, [speech(1.0)])
    assert codes.part("speaker").bits == 3072
    torch.save({"x": torch.zeros(1)}, tmp_path / "embedding_model.ckpt")
    with pytest.raises(WeightsInvalid, match="192-d ECAPA-TDNN"):
        freecodec.load(point, given(tmp_path), "cpu")
    (tmp_path / "embedding_model.ckpt").unlink()
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with pytest.raises(WeightsMissing, match=r"speaker encoder's weights are not here .*spkrec-ecapa-voxceleb"):
        freecodec.load(point, given(tmp_path), "cpu")


@pytest.mark.parametrize(("key", "value"), [("version", "v4"), ("size", "huge"), ("sise", "nano")])
def test_wrong_settings_are_named(key: str, value: str) -> None:
    point = cards.resolve("freecodec@v1")
    wrong = dataclasses.replace(point, settings={**point.settings, key: value})
    with pytest.raises(BadCard if key == "sise" else UnknownName, match="sise" if key == "sise" else value):
        freecodec.load(wrong, resolve(point, "random"), "cpu")


def test_card_counts_both_ways() -> None:
    for name, extra in (("v1", 4096), ("v2", 80), ("v3", 4096)):
        point = cards.resolve(f"freecodec@{name}")
        assert point.bitrate_kbps == point.facts["rate_by_the_paper_kbps"] == 0.45
        assert point.facts["rate_as_sent_5s_kbps"] == pytest.approx((450 * 5 + extra) / 5 / 1000)
    assert all(entry.source for entry in cards.load("freecodec").reported)


def test_network_refuses_a_foreign_speaker_encoder() -> None:
    network = FreeCodec(dataclasses.replace(TINY, speaker_dim=192))
    with pytest.raises(WeightsInvalid, match="takes 192 speaker values, the encoder has 256"):
        freecodec.FreeCodecAdapter(network, freecodec.ResemblyzerSpeaker())
