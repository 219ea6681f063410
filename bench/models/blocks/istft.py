"""Inverse short-time Fourier transform with "same" framing, as in Vocos (Siuzdak 2023, arXiv 2306.00814)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .lengths import length_mask


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """frames [B, T, W] -> [B, (T - 1) * hop + W], each frame ``hop`` samples after the one before."""
    batch, count, width = frames.shape
    steps = -(-width // hop)
    # Frames become `steps` blocks of `hop` samples, so that adding them is `steps` shifted sums and no scatter.
    blocks = F.pad(frames, (0, steps * hop - width)).view(batch, count, steps, hop)
    out = frames.new_zeros(batch, count + steps - 1, hop)
    for step in range(steps):
        out[:, step : step + count] += blocks[:, :, step]
    return out.flatten(1)[:, : (count - 1) * hop + width]


def istft_same(spectrum: Tensor, n_fft: int, hop: int, lengths: Tensor | None = None) -> Tensor:
    """Complex spectrum [B, T, n_fft / 2 + 1] -> wave [B, T * hop].

    Periodic Hann synthesis window; the sum is divided by the overlap-added squared window; (n_fft - hop) / 2
    samples are cut from both ends. With ``lengths`` [B] (frames) the frames beyond are silent and leave the
    envelope too, so that the first lengths * hop samples equal those of the signal alone.
    """
    window = torch.hann_window(n_fft, periodic=True, device=spectrum.device, dtype=spectrum.real.dtype)
    frames = torch.fft.irfft(spectrum, n=n_fft, dim=-1, norm="backward") * window
    count = spectrum.shape[1]
    squared = window.square().expand(1, count, n_fft)
    if lengths is not None:
        mask = length_mask(lengths, count)[..., None]
        frames, squared = frames * mask, squared * mask
    cut = (n_fft - hop) // 2
    wave = overlap_add(frames, hop)[:, cut : cut + count * hop]
    envelope = overlap_add(squared, hop)[:, cut : cut + count * hop]
    if lengths is not None:
        envelope = envelope.masked_fill(envelope == 0, 1)
    return wave / envelope
