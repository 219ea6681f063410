"""Greedy Whisper from a folder in the hub's layout, by transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.metrics.networks import Batch
from bench.metrics.whisper import WINDOW

N_FFT, HOP = 400, 160


class Recogniser:
    """Texts of windows of up to 30 s at 16 kHz: language and task given, no timestamps, temperature 0."""

    def __init__(self, folder: str, device: str = "cpu") -> None:
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        network = WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True)
        self.network: Any = network.eval().to(device)
        self.processor: Any = WhisperProcessor.from_pretrained(folder, local_files_only=True)
        bank = torch.as_tensor(self.processor.feature_extractor.mel_filters, dtype=torch.float32)
        self.bank, self.window = bank.T.to(device), torch.hann_window(N_FFT, device=device)

    def __call__(self, batch: Batch) -> list[str]:
        """One text a row of `batch`, all in its language `batch.kind` (ISO 639-1)."""
        tokens = self.network.generate(
            self.log_mel(batch.rows),
            language=batch.kind,
            task="transcribe",
            do_sample=False,
            num_beams=1,
            return_timestamps=False,
        )
        return [text.strip() for text in self.processor.batch_decode(tokens, skip_special_tokens=True)]

    def log_mel(self, waves: Tensor) -> Tensor:
        """The extractor's features [B, bands, 3000] of waves [B, T], T <= 480,000, computed where the waves are."""
        waves = torch.nn.functional.pad(waves, (0, WINDOW - waves.shape[1]))
        spectrum = torch.stft(waves, N_FFT, HOP, window=self.window, return_complex=True)
        mel = self.bank @ (spectrum[..., :-1].abs() ** 2).contiguous()
        logarithm = mel.clamp(min=1e-10).log10()
        return (torch.maximum(logarithm, logarithm.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0
