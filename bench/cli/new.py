"""`bench new codec NAME`: the card, the adapter and the test of a codec, as files that run."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from pathlib import Path

from bench import cards, writing
from bench.errors import BenchError, UnknownName
from bench.tasks import options

CARD = """\
family = "mycodec"
title = "My codec"
adapter = "mycodec"
kind = "neural"
licence = "MIT"
sample_rate = 16000
weights = "none"  # the package carries its own; else [weights.official] says where they come from

[points.1]
bitrate_kbps = 1.0
streams = [{ name = "tokens", rate_hz = 100, sizes = [1024] }]
"""

ADAPTER = '''\
import numpy as np

from bench import Codec, Codes, Tokens

VERSION = "1"  # raise it when what the codec computes changes: it is part of the key of every result


class MyCodec(Codec):
    sample_rate, frame = 16000, 160  # waves of whole frames come in: float32 [T] within [-1, 1]

    def encode(self, waves):
        return [Codes((Tokens("tokens", 100, (1024,), my_encode(w)),), len(w), 16000) for w in waves]

    def decode(self, codes):
        return [my_decode(c.part("tokens").indices) for c in codes]


def load(point, weights, device):
    return MyCodec()


# Put your own model here. This one sends how loud each frame is, and decodes a buzz of that loudness.
BUZZ = np.linspace(1, -1, 160, dtype=np.float32)


def my_encode(wave):
    """float32 [T] -> one token per frame, int [T / 160, 1]."""
    loudness = np.sqrt((wave.reshape(-1, 160) ** 2).mean(axis=1, keepdims=True))
    return np.clip(np.round(loudness * 1023), 0, 1023).astype(np.int64)


def my_decode(indices):
    """int [N, 1] -> float32 [160 N]."""
    return (indices / 1023 * BUZZ).reshape(-1).astype(np.float32)
'''

TEST = """\
from pathlib import Path

import numpy as np

import bench
from bench import Codes, decode, encode

HERE = Path(__file__).parent


def test_what_is_sent_decodes_to_the_length_of_what_came_in():
    codec = bench.load_codec("mycodec@1", plugins=[HERE])
    rng = np.random.default_rng(0)
    waves = [rng.uniform(-0.5, 0.5, length).astype(np.float32) for length in (1, 1600, 16001)]
    sent = [codes.to_bytes() for codes in encode(codec, waves)]
    assert sent == [encode(codec, [wave])[0].to_bytes() for wave in waves]  # a batch equals single waves
    decoded = decode(codec, [Codes.from_bytes(data) for data in sent], [len(wave) for wave in waves])
    assert [len(wave) for wave in decoded] == [1, 1600, 16001]
"""


def files(name: str) -> dict[str, str]:
    """File name -> text, for a codec called `name`. Raises BenchError for a name that no file of Python may have."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name):
        raise BenchError(f"bench new codec {name}: a name begins with a letter and goes on with letters, digits and _")
    if name in cards.paths() or name in cards.adapters():
        raise BenchError(f"bench new codec {name}: there is a codec or adapter of that name already; choose another")
    texts = {f"{name}.toml": CARD, f"{name}.py": ADAPTER, f"test_{name}.py": TEST}
    return {path: text.replace("mycodec", name) for path, text in texts.items()}


def main(argv: Sequence[str]) -> int:
    """Write the files, none over another."""
    made = options.Parser(prog="bench new", description="Write the files of a codec of your own: card, adapter, test.")
    made.add_argument("what", help="codec")
    made.add_argument("name", help="its name, in lower case as a rule")
    made.add_argument("--to", type=Path, default=Path("."), metavar="DIR", help="where to (default: here)")
    parsed = made.parse_args(argv)
    if parsed.what != "codec":
        raise UnknownName("thing to make", parsed.what, ["codec"])
    texts = files(parsed.name)
    if there := [name for name in texts if (parsed.to / name).exists()]:
        raise BenchError(f"{parsed.to / there[0]}: is there already; nothing was written")
    writing.check_folder(parsed.to, "name another folder with --to")
    parsed.to.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (parsed.to / name).write_text(text, encoding="utf-8")
        print(f"wrote {parsed.to / name}")
    print(f"try it: bench run --plugins {parsed.to} --codec {parsed.name}@1 --limit 4")
    return 0
