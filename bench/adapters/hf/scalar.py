"""Codecs of `transformers` with one codebook of scalar quantization: X-Codec 2 and NeuCodec.

Both look at a wave and at its mel filter bank, which the model's feature extractor makes. Latents, tables and conversion
are those of the scalars (8 of 4 levels), which a linear layer takes to the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.adapters.hf.base import HubCodec
from bench.coding.codec import Wave, check_wave, output_samples, pad
from bench.errors import BadAudio

if TYPE_CHECKING:
    import torch

NEIGHBOURS = 4


class Xcodec2(HubCodec):
    """16 kHz X-Codec 2: 65536 codes at 50 Hz. The extractor adds a sample, so that whole frames become one more."""

    model_class, config_class = "Xcodec2Model", "Xcodec2Config"
    extractor_class: ClassVar[str] = "Xcodec2FeatureExtractor"

    def __init__(self, network: torch.nn.Module, codebooks: int, device: str) -> None:
        import transformers

        super().__init__(network, codebooks, device)
        self.extractor: Any = getattr(transformers, self.extractor_class)(
            sampling_rate=self.sample_rate, hop_length=self.encoder_hop()
        )

    def encoder_hop(self) -> int:
        """Samples of a frame of the acoustic encoder."""
        return int(np.prod(self.config.downsampling_ratios))

    def hop(self) -> int:
        return self.encoder_hop()

    def inputs(self, wave: torch.Tensor) -> dict[str, torch.Tensor]:
        """wave [1, 1, T] -> what `encode` of the network takes."""
        made = self.extractor(wave[0, 0].cpu().numpy(), sampling_rate=self.sample_rate, return_tensors="pt")
        return {name: value.to(self.device) for name, value in made.items()}

    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.network.encode(**self.inputs(wave)).audio_codes, None

    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        return self.network.decode(audio_codes=indices).audio_values

    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        """The eight scalars of each frame before rounding, [1, 8, N]."""
        return self.network.quantizer.quantizer.bound(self._scalars(wave)).transpose(1, 2)

    def _scalars(self, wave: torch.Tensor) -> torch.Tensor:
        """wave [1, 1, T] -> what is bounded and rounded, [1, N, 8]; the class does not hand it out."""
        kept: list[torch.Tensor] = []
        hook = self.network.quantizer.project_in.register_forward_hook(lambda module, inputs, output: kept.append(output))
        try:
            self.network.encode(**self.inputs(wave))
        finally:
            hook.remove()
        return kept[0]

    def spread(self) -> None:
        """Give each scalar unit variance over noise; an untrained network would round them all alike."""
        import torch

        layer = self.network.quantizer.project_in
        with torch.no_grad():
            scalars = self._scalars(0.1 * torch.randn(1, 1, self.sample_rate, device=self.device))[0]
            mean, spread = scalars.mean(0), scalars.std(0)
            layer.weight.div_(spread[:, None])
            layer.bias.sub_(mean).div_(spread)

    def tables(self) -> list[torch.Tensor]:
        return [self.network.quantizer.quantizer.codebook]

    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """Words of source, voice of the enrolment: what each code of the source stands for becomes the mean of the 4 nearest
        of the enrolment (kNN-VC; FocalCodec, arXiv 2502.04465, section 4.3)."""
        import torch

        from bench.models.blocks.matching import convert_feats

        if not enrolment:
            raise BadAudio("voice conversion needs at least one enrolment wave of the target speaker")

        def words(wave: Wave) -> torch.Tensor:
            tensor = self._tensor(pad(self, check_wave(wave)))
            return self.network.encode(**self.inputs(tensor), output_latents=True).latents.transpose(1, 2)

        with torch.inference_mode():
            matching = torch.cat([words(wave)[0] for wave in enrolment])
            mixed = convert_feats(words(source), matching, NEIGHBOURS).transpose(1, 2)
            decoded = self.network.decode(latents=mixed).audio_values.reshape(-1).float().cpu().numpy()
        return decoded[: output_samples(self, len(source))]


class NeuCodec(Xcodec2):
    """16 kHz in, 24 kHz out. Its two halves differ by a frame and are cut to the shorter one, so that whole frames stay as
    many as they are; less than two frames give no filter bank."""

    model_class, config_class = "NeuCodecModel", "NeuCodecConfig"
    extractor_class = "NeuCodecFeatureExtractor"

    def __init__(self, network: torch.nn.Module, codebooks: int, device: str) -> None:
        super().__init__(network, codebooks, device)
        self.min_samples = 2 * self.frame

    @property
    def output_rate(self) -> int:
        return int(self.config.output_sampling_rate)

    def input_rate(self) -> int:
        return int(self.config.input_sampling_rate)
