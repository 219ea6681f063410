"""Greedy Whisper from a folder in the hub's layout, by transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.metrics.networks import Batch
from bench.metrics.whisper import WINDOW

N_FFT, HOP = 400, 160
SMALL = {
    "d_model": 768, "encoder_layers": 12, "decoder_layers": 12, "encoder_attention_heads": 12, "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072, "num_mel_bins": 80, "vocab_size": 51865,
}  # fmt: skip
"""Of the published small model."""
DRAWN_TOKENS = 8


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
        return log_mel(waves, self.bank, self.window)


def log_mel(waves: Tensor, bank: Tensor, window: Tensor) -> Tensor:
    """waves [B, T], T <= 480,000, filters [bands, bins], window [N_FFT] -> [B, bands, 3000]."""
    waves = nn.functional.pad(waves, (0, WINDOW - waves.shape[1]))
    spectrum = torch.stft(waves, N_FFT, HOP, window=window, return_complex=True)
    mel = bank @ (spectrum[..., :-1].abs() ** 2).contiguous()
    logarithm = mel.clamp(min=1e-10).log10()
    return (torch.maximum(logarithm, logarithm.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0


class Drawn(nn.Module):
    """Whisper with random weights, in the place of a Recogniser where devices are compared. It has no tokenizer: its texts are
    the first greedy ids of tokens."""

    bank: Tensor
    window: Tensor

    def __init__(self, shapes: dict[str, int]) -> None:
        from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

        super().__init__()
        self.network: Any = WhisperForConditionalGeneration(WhisperConfig.from_dict(shapes)).eval()
        filters = WhisperFeatureExtractor(feature_size=shapes["num_mel_bins"]).mel_filters
        self.register_buffer("bank", torch.as_tensor(filters, dtype=torch.float32).T.contiguous())
        self.register_buffer("window", torch.hann_window(N_FFT))

    @torch.inference_mode()
    def encoded(self, waves: Tensor) -> Tensor:
        """What the encoder makes of waves [B, T]: [B, 1500, d_model]."""
        return self.network.model.encoder(log_mel(waves, self.bank, self.window)).last_hidden_state

    @torch.inference_mode()
    def forward(self, batch: Batch) -> list[str]:
        """As a Recogniser; ids in the place of words."""
        states = self.encoded(batch.rows)
        ids = torch.full((len(states), 1), self.network.config.decoder_start_token_id, device=states.device)
        for _ in range(DRAWN_TOKENS):
            found = self.network(encoder_outputs=(states,), decoder_input_ids=ids).logits[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat([ids, found], dim=1)
        return [" ".join(map(str, row)) for row in ids.cpu().tolist()]
