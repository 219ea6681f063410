"""Metrics whose weights come from a hub or URL: key mapping, loading, batches and clear errors, on random weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bench.errors import WeightsInvalid, WeightsMissing
from bench.fetch import sources
from bench.metrics import MetricFailure, Ratio, Signal, find, networks, sim_ecapa, sim_wavlm, utmos, whisper
from bench.metrics.networks import Batch
from bench.metrics.networks import ecapa as ecapa_network
from bench.metrics.networks import utmos as utmos_network
from bench.metrics.networks import wavlm as wavlm_network

NAMES = ("utmos", "sim", "sim_ecapa", "dwer_whisper_small", "dwer_whisper_large")


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    """No cache, no network: what a fresh machine without access sees."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_METRIC_WEIGHTS", raising=False)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    networks.forget()
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_missing_weights_say_what_to_fetch_and_where_to_put_it(name, nothing_here, voice):
    metric = find(name)
    with pytest.raises(WeightsMissing) as caught:
        metric.analyse([Signal(voice, 16_000)])
    message = str(caught.value)
    assert "download" in message and str(nothing_here / "cache") in message and "BENCH_METRIC_WEIGHTS" in message
    assert ("https://huggingface.co/" in message) or ("https://github.com/" in message)


def test_wrong_bytes_are_refused(nothing_here, monkeypatch, voice):
    folder = nothing_here / "own" / "utmos"
    folder.mkdir(parents=True)
    (folder / utmos.FILE).write_bytes(b"not a checkpoint")
    monkeypatch.setenv("BENCH_METRIC_WEIGHTS", str(nothing_here / "own"))
    with pytest.raises(WeightsInvalid, match="sha256"):
        find("utmos").analyse([Signal(voice, 16_000)])


def test_download_is_checked_and_kept(nothing_here, monkeypatch):
    import hashlib

    (nothing_here / "w.bin").write_bytes(b"good")
    monkeypatch.delenv("BENCH_OFFLINE")

    def source(data: bytes) -> sources.Source:
        digest = hashlib.sha256(data).hexdigest()
        return sources.for_metric("thing", ["w.bin"], urls={"w.bin": f"file://{nothing_here}/w.bin"}, sha256={"w.bin": digest})

    with pytest.raises(WeightsInvalid, match="another file than expected"):
        sources.locate(source(b"other"))
    assert not [path for path in (nothing_here / "cache").rglob("*w.bin*") if path.suffix != ".lock"]
    assert sources.locate(source(b"good")).files["w.bin"].read_bytes() == b"good"
    (nothing_here / "w.bin").unlink()
    assert sources.locate(source(b"good")).folder.name == "thing"


def test_utmos_keys_and_shapes(reference):
    listed = json.loads((reference / "metrics" / "utmos22_strong_keys.json").read_text())
    with torch.device("meta"):
        wanted = {key: list(tensor.shape) for key, tensor in utmos_network.Utmos().state_dict().items()}
    assert {utmos_network.rename(key): shape for key, shape in listed.items()} == wanted
    assert len(wanted) == 225 and sum(int(np.prod(shape)) for shape in wanted.values()) == 102_772_865


@pytest.fixture(scope="module")
def random_utmos():
    torch.manual_seed(0)
    return utmos_network.Utmos().eval()


def _with(monkeypatch, network, model):
    """`network` as if `model` were its pretrained one."""
    monkeypatch.setitem(networks._loaded, (network.name, "cpu"), model)


def _score(monkeypatch, model, wave):
    _with(monkeypatch, utmos.NETWORK, model)
    return utmos.utmos(wave)


def test_utmos_hears_padding(monkeypatch, random_utmos, voice):
    alone = _score(monkeypatch, random_utmos, voice[:4000])
    assert abs(_score(monkeypatch, random_utmos, np.pad(voice[:4000], (0, 16_000))) - alone) > 1e-4  # why batches are masked


def test_utmos_round_trip_through_the_checkpoint_names(monkeypatch, random_utmos, reference, voice):
    listed = json.loads((reference / "metrics" / "utmos22_strong_keys.json").read_text())
    state = random_utmos.state_dict()
    named = {key: state[utmos_network.rename(key)] for key in listed}
    again = utmos_network.from_state(dict(named), "memory")
    assert _score(monkeypatch, again, voice[:4000]) == _score(monkeypatch, random_utmos, voice[:4000])
    with pytest.raises(WeightsInvalid, match="blstm"):
        utmos_network.from_state({key: named[key] for key in listed if not key.startswith("blstm")}, "cut.pt")


def _fairseq_forward(state, wave):
    """The released network from its own tensor names, layer by layer: wave [1, T] -> score, without any model class."""
    from torch.nn import functional as F

    def get(name):
        return state[f"wav2vec2.{name}"]

    x = wave[:, None]
    for i, stride in enumerate((5, 2, 2, 2, 2, 2, 2)):
        x = F.conv1d(x, get(f"feature_extractor.conv_layers.{i}.0.weight"), stride=stride)
        if i == 0:
            norm = "feature_extractor.conv_layers.0.2"
            x = F.group_norm(x, 512, get(f"{norm}.weight"), get(f"{norm}.bias"))
        x = F.gelu(x)
    x = F.layer_norm(x.transpose(1, 2), (512,), get("layer_norm.weight"), get("layer_norm.bias"))
    x = F.linear(x, get("post_extract_proj.weight"), get("post_extract_proj.bias"))
    g, v = get("encoder.pos_conv.0.weight_g"), get("encoder.pos_conv.0.weight_v")
    kernel = v * g / v.norm(dim=(0, 1), keepdim=True)
    position = F.conv1d(x.transpose(1, 2), kernel, get("encoder.pos_conv.0.bias"), padding=64, groups=16)[..., :-1]
    x = F.layer_norm(
        x + F.gelu(position).transpose(1, 2), (768,), get("encoder.layer_norm.weight"), get("encoder.layer_norm.bias")
    )
    for i in range(12):

        def linear(y, name, layer=f"encoder.layers.{i}"):
            return F.linear(y, get(f"{layer}.{name}.weight"), get(f"{layer}.{name}.bias"))

        def norm(y, name, layer=f"encoder.layers.{i}"):
            return F.layer_norm(y, (768,), get(f"{layer}.{name}.weight"), get(f"{layer}.{name}.bias"))

        q, k, v = (linear(x, f"self_attn.{n}_proj").view(1, -1, 12, 64).transpose(1, 2) for n in ("q", "k", "v"))
        heard = (torch.softmax(q @ k.transpose(2, 3) / 8.0, dim=-1) @ v).transpose(1, 2).reshape(x.shape)
        x = norm(x + linear(heard, "self_attn.out_proj"), "self_attn_layer_norm")
        x = norm(x + linear(F.gelu(linear(x, "fc1")), "fc2"), "final_layer_norm")
    x = torch.cat([x, *(state[f"{n}_emb"].expand(1, x.shape[1], -1) for n in ("domain", "judge"))], dim=-1)
    lstm = torch.nn.LSTM(1024, 512, batch_first=True, bidirectional=True)
    lstm.load_state_dict({key.removeprefix("blstm."): t for key, t in state.items() if key.startswith("blstm.")})
    x = F.relu(F.linear(lstm(x)[0], state["projection.0.weight"], state["projection.0.bias"]))
    x = F.linear(x, state["projection.2.weight"], state["projection.2.bias"])
    return float(x.mean()) * 2.0 + 3.0


def test_utmos_is_the_released_network(monkeypatch, reference, clip):
    """Every tensor drawn apart, so that a swapped or unused one shows in the score."""
    listed = json.loads((reference / "metrics" / "utmos22_strong_keys.json").read_text())
    generator = torch.Generator().manual_seed(1234)
    state = {}
    for key in sorted(listed):
        drawn = torch.randn(listed[key], generator=generator)
        fan = max(1, int(np.prod(listed[key][1:])))
        state[key] = drawn * fan**-0.5 if drawn.ndim > 1 else 0.1 * drawn + ("norm" in key and key.endswith("weight"))
    network = utmos_network.from_state(dict(state), "memory")
    wave = clip("ls84_09_short0p2s")
    with torch.inference_mode():
        wanted = _fairseq_forward(state, torch.from_numpy(wave)[None])
    assert _score(monkeypatch, network, wave) == pytest.approx(wanted, abs=1e-4)


def test_utmos_failures(monkeypatch, random_utmos, voice):
    _with(monkeypatch, utmos.NETWORK, random_utmos)
    found = find("utmos").analyse([Signal(voice[:100], 16_000), Signal(voice[:4000], 16_000), Signal(0 * voice, 16_000)])
    assert [getattr(f, "kind", None) for f in found] == ["too_short", None, "silence"]


def test_wavlm_sv(tmp_path, monkeypatch, voice):
    from transformers import WavLMConfig, WavLMForXVector

    shape = {"use_weighted_layer_sum": True, "xvector_output_dim": 512, "num_labels": 1251}
    with torch.device("meta"):
        assert sum(p.numel() for p in WavLMForXVector(WavLMConfig(**shape)).parameters()) > 95_000_000
    torch.manual_seed(0)
    # One layer of the true width: the loading path is the same and the file stays small.
    WavLMForXVector(WavLMConfig(num_hidden_layers=1, **shape)).save_pretrained(tmp_path)
    network = wavlm_network.from_folder(str(tmp_path))
    wave = torch.from_numpy(voice[:8000])[None]
    with torch.inference_mode():
        assert torch.equal(wavlm_network.xvectors(network, Batch(wave, (8000,))), network(wave).embeddings)
    _with(monkeypatch, sim_wavlm.NETWORK, network)
    found = find("sim").analyse([Signal(voice[:1000], 16_000), Signal(voice[:5200], 16_000), Signal(0 * voice, 16_000)])
    assert [getattr(f, "kind", None) for f in found] == ["too_short", None, "silence"]
    assert found[1]["embedding"].shape == (512,)


def test_ecapa(tmp_path, monkeypatch, voice):
    torch.manual_seed(0)
    network = ecapa_network.Ecapa().eval()
    torch.save(network.network.state_dict(), tmp_path / sim_ecapa.FILE)
    _with(monkeypatch, sim_ecapa.NETWORK, ecapa_network.from_file(tmp_path / sim_ecapa.FILE))
    vector = sim_ecapa.NETWORK.of(voice[:8000])["embedding"]
    assert vector.shape == (192,)
    _with(monkeypatch, sim_ecapa.NETWORK, network)
    assert np.array_equal(sim_ecapa.NETWORK.of(voice[:8000])["embedding"], vector)
    torch.save({"x": torch.zeros(1)}, tmp_path / "bad.ckpt")
    with pytest.raises(WeightsInvalid, match="ECAPA"):
        ecapa_network.from_file(tmp_path / "bad.ckpt")
    with pytest.raises(MetricFailure, match="silence"):
        sim_ecapa.NETWORK.of(0 * voice)


def test_whisper(monkeypatch, tiny_whisper, voice):
    network = whisper.NETWORKS["small"]
    _with(monkeypatch, network, tiny_whisper)
    short, long = (str(network.of(wave)["transcript"]).split() for wave in (voice, np.tile(voice, 16)))
    assert len(long) > len(short)  # 32 s are two windows
    metric = find("dwer_whisper_small")
    signals = [Signal(voice, 16_000), Signal(voice, 16_000, language="de"), Signal(voice, 16_000, language="tlh")]
    found = metric.analyse(signals)
    assert [getattr(f, "kind", None) for f in found] == [None, None, "language"]
    scored = metric.score(signals[0], signals[0])
    assert scored["dwer_whisper_small"].num == 0 and isinstance(scored["dcer_whisper_small"], Ratio)
    assert scored["wer_whisper_small"].kind == scored["cer_whisper_small"].kind == "no_text"
    spoken = Signal(voice, 16_000, "One word, and more.")
    assert metric.score(spoken, spoken)["wer_whisper_small"].den == 4


def test_whisper_features_are_the_extractors(tiny_whisper, voice):
    waves = [voice, np.tile(voice, 15)]
    wanted = tiny_whisper.processor.feature_extractor(waves, sampling_rate=16_000, return_tensors="pt").input_features
    for row, wave in enumerate(waves):
        assert torch.equal(tiny_whisper.log_mel(torch.from_numpy(wave)[None])[0], wanted[row])


def test_true_shapes_of_whisper():
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    small = WhisperConfig(
        d_model=768, encoder_layers=12, decoder_layers=12, encoder_attention_heads=12, decoder_attention_heads=12,
        encoder_ffn_dim=3072, decoder_ffn_dim=3072,
    )  # fmt: skip
    with torch.device("meta"):
        network = WhisperForConditionalGeneration(small)
    assert sum(p.numel() for p in network.parameters()) == 241_734_912
