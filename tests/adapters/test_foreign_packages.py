"""Workers with the packages that they are for, where `bench env make` has made the environments: random weights, true classes.

The weights are made by the package's own classes in its own Python (foreign_weights.py), under the names of the published files,
and are loaded as a user's are: WEIGHTS=FOLDER.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import adapters, cards, environments
from bench.adapters.process import ChildFailed
from bench.coding.codec import Converts, decode, encode
from bench.fetch import weights
from tests.adapters.conftest import voiced_bursts

MAKER = Path(__file__).parent / "foreign_weights.py"


def load(name: str, folder: Path) -> Any:
    """The codec of `name` with random weights made in `folder`; skips by name where its environment is not here."""
    point = cards.resolve(name)
    if not environments.here(point):
        pytest.skip(f"needs: bench env make {point.family}")
    python = environments.python(point)
    done = subprocess.run([python, MAKER, point.family, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return adapters.load(point, weights.resolve(point, path=folder))


@pytest.mark.parametrize("name", ["dualcodec@12.5-8"])
def test_a_package_codes_and_decodes(name: str, tmp_path: Path) -> None:
    """Codes of the card's form, the same each time, and waves of them; more than one code comes up."""
    codec = load(name, tmp_path / "weights")
    point = cards.resolve(name)
    waves = [voiced_bursts(codec.sample_rate, seconds, seed) for seconds, seed in ((1.0, 1), (2.3, 2))]
    codes = encode(codec, waves)
    [stream] = point.streams
    for wave, message in zip(waves, codes, strict=True):
        [tokens] = message.tokens
        assert (tokens.name, tokens.rate_hz, tuple(tokens.sizes)) == (stream.name, stream.rate_hz, tuple(stream.sizes))
        assert abs(len(tokens.indices) - len(wave) / codec.sample_rate * stream.rate_hz) <= 1.5
        assert len(np.unique(tokens.indices)) > 10
    assert encode(codec, waves[1:])[0].sha256 == codes[1].sha256
    for wave, decoded in zip(waves, decode(codec, codes, [len(wave) for wave in waves]), strict=True):
        assert decoded.shape == wave.shape and np.isfinite(decoded).all() and np.abs(decoded).max() > 1e-4
    codec.close()


def test_nanocodec_equals_its_own_class(tmp_path: Path) -> None:
    """Codes and waves through the process are those of NeMo's class, called by itself on the network of the same .nemo file."""
    waves = [voiced_bursts(22050, seconds, seed) for seconds, seed in ((1.0, 1), (2.3, 2), (0.25, 3))]
    np.savez(tmp_path / "waves.npz", **{str(place): wave for place, wave in enumerate(waves)})
    codec = load("nanocodec@1.78", tmp_path / "weights")
    [stream] = cards.resolve("nanocodec@1.78").streams
    codes = encode(codec, waves)
    decoded = decode(codec, codes, [len(wave) for wave in waves])
    with np.load(tmp_path / "answers.npz") as answers:
        for place, (message, wave) in enumerate(zip(codes, decoded, strict=True)):
            [tokens] = message.tokens
            assert (tokens.rate_hz, tuple(tokens.sizes)) == (pytest.approx(stream.rate_hz), tuple(stream.sizes))
            np.testing.assert_array_equal(tokens.indices, answers[f"codes_{place}"])
            np.testing.assert_array_equal(wave, answers[f"wave_{place}"][: len(wave)])
            assert wave.shape == waves[place].shape and np.isfinite(wave).all()
    assert len(np.unique(codes[1].tokens[0].indices)) > 10
    [short] = encode(codec, [waves[0][:500]])
    assert codec.min_samples == 3 * 1764 + 1 and len(short.tokens[0].indices) == 4
    codec.close()
    lacking = lacks_tensors(next((tmp_path / "weights").iterdir()), tmp_path / "lacking.nemo")
    with pytest.raises(ChildFailed, match=r"lacks 1 of the network's tensors, first audio_decoder\.pre_conv"):
        adapters.load(cards.resolve("nanocodec@1.78"), weights.resolve(cards.resolve("nanocodec@1.78"), path=lacking))
    with pytest.raises(ChildFailed, match="13 codebooks of 2016 codes, the card says 4 of 4032"):
        other = cards.resolve("nanocodec@0.6")
        adapters.load(other, weights.resolve(other, path=next((tmp_path / "weights").iterdir())))


def lacks_tensors(nemo: Path, path: Path) -> Path:
    """A .nemo file without one of its decoder's tensors; NeMo itself would leave that tensor as it was made."""
    import io

    import torch

    with tarfile.open(nemo) as source, tarfile.open(path, "w") as made:
        for member in source.getmembers():
            file = source.extractfile(member)
            if file is None:
                continue
            data = file.read()
            if member.name.endswith(".ckpt"):
                state = torch.load(io.BytesIO(data), weights_only=True)
                del state[next(name for name in state if name.startswith("audio_decoder.pre_conv"))]
                torch.save(state, buffer := io.BytesIO())
                data = buffer.getvalue()
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return path


def test_yourtts_converts(tmp_path: Path) -> None:
    """The same each time, another wave for another voice; the release's paths of another machine are led to the files here."""
    codec = load("yourtts", tmp_path / "weights")
    assert isinstance(codec, Converts)
    source, *voices = (voiced_bursts(16000, seconds, seed) for seconds, seed in ((1.5, 1), (1.0, 2), (1.2, 3)))
    one, again, other = (codec.convert(source, [voice]) for voice in (voices[0], voices[0], voices[1]))
    assert one.shape == source.shape and np.isfinite(one).all() and np.abs(one).max() > 1e-4
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    codec.close()
