"""Workers of foreign packages, each against a stand-in of its package: what they ask of it and what they send back.

The packages themselves are large and pin what fights with ours; a stand-in has the few calls that a worker makes, under the
same names and shapes. Where a package's environment is here, its own tests say more.
"""

from __future__ import annotations

import dataclasses
import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import adapters, cards, environments
from bench.adapters.process import ChildFailed
from bench.coding.codec import Converts, HasCodebooks, HasFeatures, decode, encode
from bench.engine.producers.conversion import SWAP, convert
from bench.errors import BenchError
from bench.fetch.weights import Weights

# Each codes the mean of a frame: the first codebook its sign and size, the others what is given with the codes.
COMMON = """
import torch
def means(sound, hop):
    return sound[..., : sound.shape[-1] // hop * hop].unflatten(-1, (-1, hop)).mean(-1)
def codes(sound, hop, count, size):
    first = ((means(sound, hop) + 1) * (size - 1) / 2).round().long()
    return torch.stack([(first + k) % size for k in range(count)], 1)
def wave(first, hop, size):
    return (first.float() * 2 / (size - 1) - 1).repeat_interleave(hop, -1)
"""
DAC = """
import torch
from standin import codes, wave
class Stage(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.codebook = torch.nn.Embedding(1024, 8)
class Quantizer(torch.nn.Module):
    def __init__(self, count):
        super().__init__()
        self.quantizers = torch.nn.ModuleList(Stage() for _ in range(count))
    def from_codes(self, indices):
        return indices[:, 0], None, indices
class DAC(torch.nn.Module):
    def __init__(self, encoder_rates, decoder_rates, n_codebooks, sample_rate):
        super().__init__()
        assert (encoder_rates, sample_rate) == ([2, 4, 5, 8], 16000)
        self.quantizer, self.encoder = Quantizer(n_codebooks), torch.nn.Conv1d(1, 4, 320, 320)
    def encode(self, sound, n_quantizers):
        assert sound.shape[:2] == (1, 1)
        return None, codes(sound[:, 0], 320, n_quantizers, 1024), None, 0, 0
    def decode(self, z):
        return wave(z, 320, 1024)[:, None]
"""
DUALCODEC = """
from standin import codes, wave
def get_model(model, folder):
    assert model == "12hz_v1", model
    open(folder + "/dualcodec_12hz_16384_4096.safetensors").close()
    return object()
class Inference:
    def __init__(self, dualcodec_model, dualcodec_path, w2v_path, device, autocast):
        self.device = device
    def encode(self, sound, n_quantizers):
        found = codes(sound[:, 0], 1920, n_quantizers, 4096)
        return found[:, :1], found[:, 1:]
    def decode(self, semantic, acoustic):
        assert semantic.shape[1] == 1 and acoustic.shape[1] == 7
        return wave(semantic, 1920, 4096)
"""
NEMO = """
import torch
from types import SimpleNamespace as Space
from standin import codes, wave
class AudioCodecModel(torch.nn.Module):
    sample_rate, samples_per_frame, num_codebooks, codebook_size = 22050, 1764, 4, 4032
    audio_encoder = Space(post_conv=Space(conv=Space(padding=(0,), padding_mode="zeros")))
    @classmethod
    def restore_from(cls, restore_path, map_location=None, return_config=False, override_config_path=None):
        open(restore_path).close()
        if return_config:
            return {"discriminator": "large", "use_scl_loss": True}
        assert override_config_path == {"discriminator": None, "use_scl_loss": None, "use_slm_loss": None}
        return cls()
    def encode(self, audio, audio_len):
        return codes(audio, 1764, 4, 4032), audio_len // 1764
    def decode(self, tokens, tokens_len):
        return wave(tokens[:, 0], 1764, 4032), tokens_len * 1764
"""
SEMANTICODEC = """
import os, torch, soundfile
from standin import codes, wave
class SemantiCodec(torch.nn.Module):
    def __init__(self, token_rate, semantic_vocab_size, checkpoint_path):
        super().__init__()
        self.device = torch.device("cpu")
        for name in ("encoder.ckpt", "decoder.ckpt", "codebook_idx/combine_256_audioset_dominate/codebook_4096_0.npy"):
            open(os.path.join(checkpoint_path, name)).close()
    def encode(self, path):
        sound = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        return codes(torch.nn.functional.pad(sound, (0, 2560))[None], 640, 2, 8192).transpose(1, 2)
    def decode(self, tokens):
        noise = 1e-6 * torch.randn(tokens.shape[1] * 640)
        return (wave(tokens[..., 0], 640, 8192) + noise)[None].numpy()
"""
YOURTTS = """
import json, numpy, soundfile
class Synthesizer:
    def tts(self, speaker_wav, source_wav, speaker_name):
        source, voices = soundfile.read(source_wav)[0], [soundfile.read(path)[0] for path in speaker_wav]
        return (source * len(voices))[:-10]
class TTS:
    synthesizer = Synthesizer()
    def __init__(self, model_path, config_path, progress_bar):
        config = json.load(open(config_path))  # the paths of a release are led to the files beside it
        assert config == {"vector_file": [model_path], "rate": 1}, config
    def to(self, device):
        return self
"""
PLACES = {
    "descript-audio-codec": {"dac/__init__.py": "", "dac/model.py": DAC},
    "dualcodec": {"dualcodec/__init__.py": DUALCODEC},
    "nemo-toolkit": {f"nemo/{name}__init__.py": text for name, text in (
        ("", ""), ("collections/", ""), ("collections/tts/", ""), ("collections/tts/models/", NEMO))}
        | {"omegaconf.py": "from contextlib import nullcontext as open_dict"},
    "semanticodec": {"semanticodec/__init__.py": SEMANTICODEC},
    "coqui-tts": {"TTS/__init__.py": "", "TTS/api.py": YOURTTS},
}  # fmt: skip
FILES = {
    "dualcodec@12.5-8": ("dualcodec_12hz_16384_4096.safetensors", "w2vbert2_mean_var_stats_emilia.pt"),
    "nanocodec@0.6": ("nemo-nano-codec-22khz-0.6kbps-12.5fps.nemo",),
    "semanticodec@0.65": ("encoder.ckpt", "decoder.ckpt", "codebook_4096_0.npy"),
    "yourtts": ("model.pth", "config.json"),
}

Load = Callable[..., Any]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Make the codec of a card in this Python with its package's stand-in."""
    made: list[Any] = []

    def make(name: str, package: str, files: tuple[str, ...] | None = None) -> Any:
        for place, text in ({"standin.py": COMMON} | PLACES[package]).items():
            (tmp_path / "site" / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "site" / place).write_text(text)
        told = tmp_path / "site" / f"{package.replace('-', '_')}-9.9.dist-info"
        told.mkdir(exist_ok=True)
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 9.9\n")
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}/site" exec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        for file in FILES.get(name, ()) if files is None else files:
            (tmp_path / file).write_bytes(content(file))
        held = {file: tmp_path / file for file in (FILES.get(name, ()) if files is None else files)}
        point = dataclasses.replace(cards.resolve(name), requirements=(), interpreter=str(python))
        weights = Weights("path", held, dict.fromkeys(held, "0" * 64), str(tmp_path)) if held else Weights("random", seed=3)
        made.append(adapters.load(point, weights))
        return made[-1]

    yield make
    for codec in made:
        codec.close()


def content(file: str) -> bytes:
    """Bytes of a file of weights, as far as a worker itself reads them."""
    if file == "config.json":
        return b'{"vector_file": ["/elsewhere/model.pth"], "rate": 1}'
    if not file.endswith(".nemo"):
        return b"x"
    import torch

    torch.save({}, state := io.BytesIO())
    with tarfile.open(fileobj=(made := io.BytesIO()), mode="w") as archive:
        member = tarfile.TarInfo("model_weights.ckpt")
        member.size = len(state.getvalue())
        archive.addfile(member, io.BytesIO(state.getvalue()))
    return made.getvalue()


def steps(frame: int, count: int = 9) -> np.ndarray:
    """A level for each frame."""
    return np.repeat(np.linspace(-0.8, 0.7, count), frame).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "package"),
    [("dac-package@1", "descript-audio-codec"), ("dualcodec@12.5-8", "dualcodec"), ("nanocodec@0.6", "nemo-toolkit"),
     ("semanticodec@0.65", "semanticodec")],
)  # fmt: skip
def test_codes_and_waves_go_there_and_back(load: Load, name: str, package: str) -> None:
    codec = load(name, package)
    point = cards.resolve(name)
    assert (codec.sample_rate, codec.report["versions"][package]) == (point.sample_rate, "9.9")
    wave = steps(codec.frame)
    [codes] = encode(codec, [wave])
    assert [part.name for part in codes.parts] == [stream.name for stream in point.streams]
    assert codes.tokens[0].sizes == point.streams[0].sizes and len(codes.tokens[0].indices) == 9
    assert codes.tokens[0].rate_hz == pytest.approx(point.streams[0].rate_hz)
    np.testing.assert_array_equal(codes.tokens[0].indices[:, 1], codes.tokens[0].indices[:, 0] + 1)
    first, again = decode(codec, [codes, codes], [len(wave)] * 2)
    np.testing.assert_allclose(first, wave, atol=2e-3)
    np.testing.assert_array_equal(first, again)  # also where its decoder draws noise
    converted, method = convert(codec, wave, [wave[::-1].copy()])
    assert method == SWAP and converted.shape == wave.shape
    assert codec.resources["cpu_s"] > 0 and codec.resources["peak_bytes"] > 1 << 20
    if name.startswith("dac"):
        assert isinstance(codec, HasFeatures) and isinstance(codec, HasCodebooks)
        assert codec.features(wave).shape == (9, 4) and [table.shape for table in codec.codebooks()["codes"]] == [(1024, 8)] * 2


def test_yourtts_converts_and_is_no_codec(load: Load) -> None:
    codec = load("yourtts", "coqui-tts")
    assert isinstance(codec, Converts) and codec.sample_rate == 16000
    wave = steps(100) / 4
    converted = codec.convert(wave, [wave, wave, wave])
    np.testing.assert_allclose(converted[:-10], 3 * wave[:-10], atol=1e-6)
    assert converted.shape == wave.shape and not converted[-10:].any()
    with pytest.raises(ChildFailed, match=r"yourtts: TypeError: .* run it by TASK=vc"):
        encode(codec, [wave])


@pytest.mark.parametrize(
    ("name", "package", "files", "said"),
    [
        ("dualcodec@12.5-8", "dualcodec", (), "no random weights"),
        ("nanocodec@0.6", "nemo-toolkit", (), "no random weights"),
        (
            "nanocodec@1.89",
            "nemo-toolkit",
            ("other.nemo",),
            r"other\.nemo has 4 codebooks of 4032 codes, the card says 8 of 2016",
        ),
        ("semanticodec@0.65", "semanticodec", ("encoder.ckpt", "decoder.ckpt"), "codebook_4096_0.npy is not among the weights"),
        (
            "yourtts",
            "coqui-tts",
            ("model.pth",),
            "the weights need config.json and model.pth or model_file.pth; there are model.pth",
        ),
    ],
)
def test_wrong_weights_are_one_line(load: Load, name: str, package: str, files: tuple[str, ...], said: str) -> None:
    with pytest.raises(ChildFailed, match=said) as told:
        encode(load(name, package, files), [steps(1024)])
    assert "\n" not in str(told.value)


def test_a_package_that_git_fetches_comes_from_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SemantiCodec is in no index. A clone of it by path makes its environment (without an index here) and runs; another state
    of the clone is another identity. What is no clone is one line."""
    monkeypatch.chdir(tmp_path)
    wanted = cards.resolve("semanticodec@0.65")
    assert "not on PyPI" in wanted.card.summary
    clone = tmp_path / "clone"
    (clone / "semanticodec").mkdir(parents=True)
    with pytest.raises(
        BenchError, match=r"no folder with a pyproject\.toml or setup\.py; clone https://github\.com/haoheliu"
    ) as told:
        environments.make(wanted, checkout=clone)
    assert "\n" not in str(told.value)
    with pytest.raises(BenchError, match="all of its requirements have an index"):
        environments.make(cards.resolve("dac-package@1"), checkout=clone)
    (clone / "setup.py").write_text(
        "import setuptools\n"
        "setuptools.setup(name='semanticodec', version='1.0', packages=['semanticodec'], py_modules=['standin'])\n"
    )
    (clone / "standin.py").write_text(COMMON)

    def install(base: str, place: Path, requirements: list[str]) -> None:
        run = environments._run
        run([base, "-m", "venv", "--without-pip", str(place)], "cannot be made")
        [site] = place.glob("lib/python*/site-packages")
        (site / "ours.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
        assert requirements[0] == str(clone) and "timm" in requirements
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
        run([*pip, "--target", str(site), requirements[0]], "cannot be filled")

    monkeypatch.setattr(environments, "_install", install)
    identities = set()
    for text in (SEMANTICODEC, SEMANTICODEC + "# more\n"):
        (clone / "semanticodec" / "__init__.py").write_text(text)
        environments.make(wanted, lambda line: None, again=True, checkout=clone)
        identities.add(environments.identity(wanted))
    assert len(identities) == 2
    held = {file: tmp_path / file for file in FILES["semanticodec@0.65"]}
    for path in held.values():
        path.write_bytes(b"x")
    codec: Any = adapters.load(wanted, Weights("path", held, dict.fromkeys(held, "0" * 64), str(tmp_path)))
    wave = steps(codec.frame)
    [codes] = encode(codec, [wave])
    np.testing.assert_allclose(decode(codec, [codes], [len(wave)])[0], wave, atol=2e-3)
    codec.close()


def test_a_package_that_git_cannot_fetch_tells_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(base: str, place: Path, requirements: list[str]) -> None:
        script = "import sys; sys.exit('error: subprocess-exited-with-error\\n  fatal: could not resolve host')"
        environments._run([sys.executable, "-c", script], "cannot be filled")

    monkeypatch.setattr(environments, "_install", fail)
    said = r"fatal: could not resolve host .*in no package index.*bench env make semanticodec --checkout FOLDER"
    with pytest.raises(BenchError, match=said) as told:
        environments.make(cards.resolve("semanticodec@0.65"), lambda line: None)
    assert "\n" not in str(told.value)
