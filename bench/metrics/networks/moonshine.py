"""English speech recognition with Moonshine base (weights inside the package moonshine_cpp, MIT), without its leaks.

The encoder runs in onnxruntime; the decoder is a transcription of the package's decoder graph to torch, with weights
dequantized once (the runtime dequantizes them for every token) and several utterances decoded side by side. Greedy,
so deterministic; the texts equal those of the package. Utterances of one batch touch only through rounding (1e-6 in
logits).
Reference: Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.metrics._common import Wave, check_sha256, package_file
from bench.metrics.networks import inference, onnx, ort_weights

if TYPE_CHECKING:
    import torch

RATE_HZ = 16_000
MIN_SAMPLES = 1_024
"""Shorter waves are zero-padded to this: the convolutions of the encoder yield no frame below 895 samples."""
START, END = 1, 2
TOKENS_PER_S = 13.0
"""The package's limit against endless repetition."""
LAYERS, HEADS, WIDTH, ROTARY = 8, 8, 416, 32
BATCH = 16
WHOLE_S = 45.0
WINDOW_S = (20.0, 30.0)
"""Attention takes memory by the square of the length: 45 s are read whole, a longer wave in windows of 20 to 30 s."""
SHA256 = {
    "encoder_model.ort": "9d1a19e044cbf89a207723d1adb667de89a5671a1e3e611b8ebe721b2c31219c",
    "decoder_model_merged.ort": "370e0c1f161d68dc1c2264c1a82024fb123380da3b73f47f05531d1e8d3308c3",
    "tokenizer.bin": "04670d78994d030185c3dd843c60591788fed0a56cc6750747bd326825f13ca9",
}


def transcribe(waves: Sequence[Wave]) -> list[str]:
    """Texts of `waves`, float32 [T] each at 16 kHz. Order of the input is kept.

    Waves beyond WHOLE_S are read in `windows`, so that memory does not grow with their length; the texts are joined.
    """
    cut = [windows(wave) for wave in waves]
    pieces = [piece for some in cut for piece in some]
    order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
    texts = [""] * len(pieces)
    for start in range(0, len(order), BATCH):
        members = order[start : start + BATCH]
        for index, tokens in zip(members, _decode([pieces[i] for i in members]), strict=True):
            texts[index] = _text(tokens)
    found = iter(texts)
    return [" ".join(text for _ in some if (text := next(found))) for some in cut]


def windows(wave: Wave) -> list[Wave]:
    """`wave` whole up to WHOLE_S; a longer one cut where it is quietest, 20 to 30 s after the cut before."""
    if len(wave) <= WHOLE_S * RATE_HZ:
        return [wave]
    hop = RATE_HZ // 50
    power = np.square(wave[: len(wave) // hop * hop].astype(np.float64)).reshape(-1, hop).mean(axis=1)
    around = np.convolve(power, np.ones(5), mode="same")  # 100 ms
    least, most = (round(seconds * RATE_HZ / hop) for seconds in WINDOW_S)
    cuts = [0]
    while len(wave) - cuts[-1] * hop > WINDOW_S[1] * RATE_HZ:
        first = cuts[-1] + least
        cuts.append(first + int(np.argmin(around[first : cuts[-1] + most])))
    ends = [*(cut * hop for cut in cuts[1:]), len(wave)]
    return [wave[cut * hop : end] for cut, end in zip(cuts, ends, strict=True)]


@dataclass(frozen=True)
class _Layer:
    """Weights of one decoder layer; matrices are [in, out] as in the graph."""

    norms: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    qkv: torch.Tensor
    out: torch.Tensor
    cross_q: torch.Tensor
    cross_kv: torch.Tensor
    cross_out: torch.Tensor
    up: tuple[torch.Tensor, torch.Tensor]
    down: tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class _Model:
    encoder: Any
    embedding: torch.Tensor
    head: torch.Tensor
    final_norm: torch.Tensor
    layers: tuple[_Layer, ...]
    pieces: tuple[bytes, ...]


def weights() -> list[Path]:
    """The model's files inside the package. Raises WeightsMissing."""
    return [package_file("moonshine_cpp", "models", "base-en", name) for name in SHA256]


def _file(name: str) -> Path:
    return check_sha256(package_file("moonshine_cpp", "models", "base-en", name), SHA256[name])


@cache
def _model() -> _Model:
    import torch

    state = {k: torch.from_numpy(v) for k, v in ort_weights.read(_file("decoder_model_merged.ort")).items()}

    def layer(index: int) -> _Layer:
        def get(name: str) -> torch.Tensor:
            return state[f"model.decoder.layers.{index}.{name}"]

        return _Layer(
            norms=tuple(get(f"{n}_layernorm.weight") for n in ("input", "post_attention", "final")),  # type: ignore[arg-type]
            qkv=torch.cat([get(f"self_attn.{n}_proj.weight") for n in "qkv"], dim=1),
            out=get("self_attn.dense.weight"),
            cross_q=get("encoder_attn.q_proj.weight"),
            cross_kv=torch.cat([get(f"encoder_attn.{n}_proj.weight") for n in "kv"], dim=1),
            cross_out=get("encoder_attn.dense.weight"),
            up=(get("mlp.up_proj.bias"), get("mlp.up_proj.weight")),
            down=(get("mlp.down_proj.bias"), get("mlp.down_proj.weight")),
        )

    embedding = state["model.decoder.embed_tokens.weight"]
    return _Model(
        encoder=onnx.session(_file("encoder_model.ort"), arena=False),
        embedding=embedding,
        head=embedding.T.contiguous(),
        final_norm=state["model.decoder.norm.weight"],
        layers=tuple(layer(index) for index in range(LAYERS)),
        pieces=_pieces(_file("tokenizer.bin").read_bytes()),
    )


def _pieces(data: bytes) -> tuple[bytes, ...]:
    """Vocabulary: every piece is preceded by its length, one byte, or two (low 7 bits first) from 128 on."""
    pieces, at = [], 0
    while at < len(data):
        size, at = data[at], at + 1
        if size >= 128:
            size, at = size - 128 + 128 * data[at], at + 1
        pieces.append(data[at : at + size])
        at += size
    return tuple(pieces)


def _text(tokens: Sequence[int]) -> str:
    joined = b"".join(_model().pieces[token] for token in tokens if token > END)
    return joined.decode("utf-8", errors="replace").replace("\u2581", " ").strip()


def _decode(waves: Sequence[Wave]) -> list[list[int]]:
    """Greedy tokens of up to BATCH waves, without start and end."""
    import torch

    model = _model()
    padded = [np.pad(np.asarray(w, np.float32), (0, max(0, MIN_SAMPLES - len(w)))) for w in waves]
    states = [torch.from_numpy(model.encoder.run(None, {"input_values": wave[None]})[0][0]) for wave in padded]
    limits = [math.ceil(len(wave) / RATE_HZ * TOKENS_PER_S) for wave in waves]
    out: list[list[int]] = [[] for _ in waves]
    with inference():
        state = _State(model, states, max(limits))
        rows = list(range(len(waves)))
        tokens = torch.full((len(waves),), START)
        for step in range(max(limits)):
            chosen = state.step(tokens, step).tolist()
            alive = []
            for position, (row, token) in enumerate(zip(rows, chosen, strict=True)):
                if token != END and step < limits[row]:
                    out[row].append(token)
                    alive.append(position)
            if not alive:
                break
            if len(alive) < len(rows):
                state.keep(alive)
                rows = [rows[position] for position in alive]
            tokens = torch.tensor([out[row][-1] for row in rows])
    return out


class _State:
    """Key and value caches of a batch that is being decoded."""

    def __init__(self, model: _Model, states: Sequence[torch.Tensor], steps: int) -> None:
        import torch

        self.model = model
        longest = max(state.shape[0] for state in states)
        batch = len(states)
        memory = torch.zeros(batch, longest, WIDTH)
        self.mask = torch.full((batch, 1, 1, longest), float("-inf"))
        for row, state in enumerate(states):
            memory[row, : state.shape[0]] = state
            self.mask[row, ..., : state.shape[0]] = 0.0
        size = WIDTH // HEADS
        self.cross = [
            (memory @ layer.cross_kv).view(batch, longest, 2, HEADS, size).permute(2, 0, 3, 1, 4).contiguous()
            for layer in model.layers
        ]
        self.own = torch.zeros(LAYERS, 2, batch, HEADS, steps, size)
        turns = 1.0 / 10_000.0 ** (torch.arange(0, ROTARY, 2) / ROTARY)
        angles = torch.arange(steps)[:, None] * turns.repeat_interleave(2)
        self.cos, self.sin = angles.cos(), angles.sin()

    def keep(self, rows: list[int]) -> None:
        """Drop the rows that have ended."""
        self.cross = [cross[:, rows] for cross in self.cross]
        self.own = self.own[:, :, rows]
        self.mask = self.mask[rows]

    def step(self, tokens: torch.Tensor, at: int) -> torch.Tensor:
        """Next tokens [B] after `tokens` [B], which stand at position `at`."""
        import torch
        from torch.nn.functional import layer_norm, scaled_dot_product_attention, silu

        def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return layer_norm(x, (WIDTH,), weight, eps=1e-5)

        x = self.model.embedding[tokens]
        batch, size = x.shape[0], WIDTH // HEADS
        for index, layer in enumerate(self.model.layers):
            q, k, v = (norm(x, layer.norms[0]) @ layer.qkv).view(batch, 3, HEADS, 1, size).unbind(1)
            self.own[index, 0, :, :, at : at + 1] = self._rotate(k, at)
            self.own[index, 1, :, :, at : at + 1] = v
            keys, values = self.own[index, :, :, :, : at + 1]
            heard = scaled_dot_product_attention(self._rotate(q, at), keys, values)
            x = x + heard.reshape(batch, WIDTH) @ layer.out
            q = (norm(x, layer.norms[1]) @ layer.cross_q).view(batch, HEADS, 1, size)
            keys, values = self.cross[index]
            heard = scaled_dot_product_attention(q, keys, values, attn_mask=self.mask)
            x = x + heard.reshape(batch, WIDTH) @ layer.cross_out
            inner, gate = torch.addmm(layer.up[0], norm(x, layer.norms[2]), layer.up[1]).chunk(2, dim=-1)
            x = x + torch.addmm(layer.down[0], silu(gate) * inner, layer.down[1])
        return (norm(x, self.model.final_norm) @ self.model.head).argmax(dim=-1)

    def _rotate(self, x: torch.Tensor, at: int) -> torch.Tensor:
        """Rotary position on the first ROTARY channels of each head, neighbouring channels paired; x [B, H, 1, D]."""
        import torch

        turned, rest = x[..., :ROTARY], x[..., ROTARY:]
        crossed = torch.stack([-turned[..., 1::2], turned[..., ::2]], dim=-1).flatten(-2)
        return torch.cat([turned * self.cos[at] + crossed * self.sin[at], rest], dim=-1)
