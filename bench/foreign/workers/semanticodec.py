"""SemantiCodec's own program, 16 kHz. Settings: `token_rate` (25, 50 or 100 tokens a second, in pairs) and `semantic_codes`.

The weights are encoder.ckpt, decoder.ckpt and the centroids codebook_N_0.npy, N half the semantic codes; pickles, which its own
program loads. Its decoder starts from noise, which is seeded here with the codes' digest, so that equal codes give equal waves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from semanticodec import SemantiCodec as Official

from bench.coding.codes import Codes, Part, Tokens

PACKAGES = ("semanticodec", "torch")
ACOUSTIC_CODES = 8192
WINDOW_TOKENS = {25: 128, 50: 256, 100: 512}


class SemantiCodec:
    sample_rate = 16000

    def __init__(self, network: Any, token_rate: int, semantic_codes: int) -> None:
        self.network, self.rate_hz = network.eval(), token_rate / 2
        self.frame, self.sizes = round(self.sample_rate / self.rate_hz), (semantic_codes, ACOUSTIC_CODES)

    @torch.no_grad()
    def encode(self, wave: np.ndarray) -> tuple[Part, ...]:
        # It reads files alone, and appends up to 0.16 s to what it reads, whose tokens stand for nothing.
        with tempfile.NamedTemporaryFile(suffix=".wav") as place:
            soundfile.write(place.name, wave, self.sample_rate, subtype="FLOAT")
            indices = self.network.encode(place.name)[0, : -(-len(wave) // self.frame)]
        return (Tokens("codes", self.rate_hz, self.sizes, indices.cpu().numpy()),)

    @torch.no_grad()
    def decode(self, codes: Codes) -> np.ndarray:
        torch.manual_seed(int(codes.sha256[:8], 16))
        indices = torch.from_numpy(codes.tokens[0].indices.astype(np.int64))[None].to(self.network.device)
        return np.asarray(self.network.decode(indices), np.float32).reshape(-1)


def load(settings: Mapping[str, Any], files: Mapping[str, Path], seed: int, device: str) -> SemantiCodec:
    if not files:
        raise ValueError("SemantiCodec has no random weights: its centroids are files; give WEIGHTS=FOLDER")
    rate, codes = int(settings["token_rate"]), int(settings["semantic_codes"])
    centroids = f"codebook_idx/combine_{WINDOW_TOKENS[rate]}_audioset_dominate/codebook_{codes // 2}_0.npy"
    by_name = {path.name: path for path in files.values()}
    with tempfile.TemporaryDirectory() as place:  # laid out as its program looks for them; it fetches what it does not find
        for wanted in ("encoder.ckpt", "decoder.ckpt", centroids):
            link = Path(place) / wanted
            if link.name not in by_name:
                raise ValueError(f"{link.name} is not among the weights {sorted(by_name)}")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(by_name[link.name])
        network = Official(token_rate=rate, semantic_vocab_size=codes, checkpoint_path=place)
    return SemantiCodec(network, rate, codes)
