"""Workers with the packages that they are for, where `bench env make` has made the environments: random weights, true classes.

The weights are made by the package's own classes in its own Python (foreign_weights.py), under the names of the published files,
and are loaded as a user's are: WEIGHTS=FOLDER.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import adapters, cards, environments
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
