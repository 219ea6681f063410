"""torch.compile over encode and decode gives what the plain network gives, with packed layers too."""

from __future__ import annotations

import shutil

import pytest
import torch

from bench.models.blocks import fast_linear
from bench.models.focalcodec import FocalCodec
from bench.models.focalcodec.presets import scaled

pytestmark = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")


def test_encode_and_decode_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    config = scaled(
        "50hz", conv_dim=8, dim=32, ffn_dim=64, num_heads=2, num_layers=1, hidden_dims=(32, 16, 16), decoder_dim=32,
        decoder_ffn_dim=48, decoder_layers=1, conv_pos=16, conv_pos_groups=2,
    )  # fmt: skip
    codec = FocalCodec.from_config(config, seed=3).requires_grad_(False)
    monkeypatch.setattr(fast_linear, "SMALLEST", 0)
    monkeypatch.setattr(fast_linear, "PACKING", fast_linear.ONEDNN)
    fast_linear.pack(codec)
    sig = 0.1 * torch.randn(1, 6400, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        toks = codec.sig_to_toks(sig)
        wave = codec.toks_to_sig(toks)
        lats = torch.compile(codec.sig_to_lats)(sig)
        torch.testing.assert_close(lats, codec.sig_to_lats(sig), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(torch.compile(codec.toks_to_sig)(toks), wave, rtol=1e-3, atol=1e-4)
