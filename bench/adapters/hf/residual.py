"""Codecs of `transformers` with residual codebooks: EnCodec, DAC, Mimi, X-Codec, Higgs audio tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.adapters.hf.base import HubCodec

if TYPE_CHECKING:
    import torch


class Encodec(HubCodec):
    """24 kHz EnCodec; models that normalise the level send the scale as side information."""

    model_class, config_class = "EncodecModel", "EncodecConfig"

    def hop(self) -> int:
        return int(np.prod(self.config.upsampling_ratios))

    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        out = self.network.encode(wave, bandwidth=self.bandwidth())
        return out.audio_codes[0][:, : self.codebooks_sent], out.audio_scales[0]

    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        return self.network.decode(indices[None], [scale]).audio_values

    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        return self.network.encoder(wave)

    def tables(self) -> list[torch.Tensor]:
        return [layer.codebook.embed for layer in self.network.quantizer.layers]


class Dac(HubCodec):
    """16 kHz DAC. Its decoder's odd stride loses up to 8 samples at the very end, which stay zero."""

    together = "equal"
    model_class, config_class = "DacModel", "DacConfig"
    official: ClassVar[Mapping[str, Any]] = {
        "downsampling_ratios": [2, 4, 5, 8], "upsampling_ratios": [8, 5, 4, 2], "n_codebooks": 12, "hop_length": 320,
    }  # fmt: skip

    def hop(self) -> int:
        # The published 16 kHz configuration says hop_length 512; its ratios, which the network obeys, say 320.
        return int(np.prod(self.config.downsampling_ratios))

    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.network.encode(wave, n_quantizers=self.codebooks_sent).audio_codes, None

    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        return self.network.decode(audio_codes=indices).audio_values

    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        return self.network.encoder(wave)

    def tables(self) -> list[torch.Tensor]:
        return [stage.codebook.weight for stage in self.network.quantizer.quantizers]


class Mimi(HubCodec):
    """24 kHz Mimi: one semantic and up to 31 acoustic codebooks at 12.5 Hz."""

    together = "equal"
    model_class, config_class = "MimiModel", "MimiConfig"

    def hop(self) -> int:
        return round(self.config.sampling_rate / self.config.frame_rate)

    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.network.encode(wave, num_quantizers=self.codebooks_sent).audio_codes, None

    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        return self.network.decode(indices).audio_values

    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        return self.network.encoder(wave).latents

    def tables(self) -> list[torch.Tensor]:
        quantizer = self.network.quantizer
        stages = (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer)
        return [layer.codebook.embed for stage in stages for layer in stage.layers]


class Xcodec(HubCodec):
    """16 kHz X-Codec: acoustic features beside HuBERT's, up to eight codebooks at 50 Hz."""

    model_class, config_class = "XcodecModel", "XcodecConfig"

    def input_rate(self) -> int:
        return int(self.config.sample_rate)

    def hop(self) -> int:
        return int(self.config.hop_length)

    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        codes = self.network.encode(wave, bandwidth=self.bandwidth()).audio_codes
        return codes[:, : self.codebooks_sent], None

    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        return self.network.decode(indices).audio_values

    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        """What enters the quantizer, [1, H, N]; the classes do not hand it out."""
        kept: list[torch.Tensor] = []
        hook = self.network.fc.register_forward_hook(lambda module, inputs, output: kept.append(output))
        try:
            self.network.encode(wave, bandwidth=self.bandwidth())
        finally:
            hook.remove()
        return kept[0].transpose(1, 2)

    def tables(self) -> list[torch.Tensor]:
        return [stage.codebook.embed for stage in self.network.quantizer.quantizers]


class Higgs(Xcodec):
    """24 kHz Higgs audio tokenizer: the design of X-Codec at 25 Hz, with projected codebooks."""

    model_class, config_class = "HiggsAudioV2TokenizerModel", "HiggsAudioV2TokenizerConfig"
    official: ClassVar[Mapping[str, Any]] = {
        # The defaults of the class do not fit one another: their strides give 75 frames a second to the acoustic half and 50
        # to the semantic one. With these both give 25.
        "acoustic_model_config": {"downsampling_ratios": [8, 5, 4, 2, 3], "upsampling_ratios": [8, 5, 4, 2, 3]},
        "target_bandwidths": [2],
    }
