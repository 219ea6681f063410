"""FunCodec in chunks, for causal networks without group norm: codes and waves equal those of the whole utterance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.models.blocks.padded_conv import PaddedConv, PaddedConvTranspose, reflect_pad
from bench.models.blocks.seanet import ResidualBlock, ResidualLSTM
from bench.models.blocks.streaming import (
    Chain,
    ConvStream,
    ConvTransposeStream,
    NotStreamable,
    Pointwise,
    Step,
    Sum,
)
from bench.models.funcodec.config import STFT_HOP, STFT_SIZE
from bench.models.funcodec.model import FunCodec
from bench.models.funcodec.transforms import Transform

HALF = STFT_SIZE // 2


class LSTMStream:
    """`ResidualLSTM` that keeps its state."""

    def __init__(self, layer: ResidualLSTM) -> None:
        self.layer = layer
        self.state: tuple[Tensor, Tensor] | None = None

    def step(self, x: Tensor, last: bool) -> Tensor:
        """x [B, C, n] -> the same shape; the state goes on."""
        if x.shape[-1] == 0:
            return x
        steps = x.permute(2, 0, 1)
        out, self.state = self.layer.lstm(steps, self.state)
        return (out + steps).permute(1, 2, 0)


class AnalysisStream:
    """Samples [B, n] -> planes; a frame needs 256 samples after its centre."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform
        self.held: Tensor | None = None
        self.started = False

    def step(self, wave: Tensor, last: bool) -> Tensor:
        """wave [B, n] -> the planes [B, C, (F,) m] that are complete."""
        if self.transform.domain == "time":
            return wave.unsqueeze(1)
        held = wave if self.held is None else torch.cat([self.held, wave], dim=-1)
        if not self.started:
            if last:
                return self.transform.analyse(held)
            if held.shape[-1] <= HALF:
                self.held = held
                return self.transform.planes_of(held.new_zeros(held.shape[0], STFT_SIZE))[..., :0]
            self.started = True
            held = reflect_pad(held, [(HALF, 0)])
        if last:
            held = reflect_pad(held, [(0, HALF)])
        frames = (held.shape[-1] - STFT_SIZE) // STFT_HOP + 1
        if frames < 1:
            self.held = held
            return self.transform.planes_of(held.new_zeros(held.shape[0], STFT_SIZE))[..., :0]
        self.held = held[..., frames * STFT_HOP :]
        return self.transform.planes_of(held[..., : (frames - 1) * STFT_HOP + STFT_SIZE])


class SynthesisStream:
    """Planes -> samples [B, n]; the last 352 samples of every chunk wait for the frames that overlap them."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform
        self.tail: tuple[Tensor, Tensor] | None = None
        self.skip = HALF
        self.frames = 0
        self.sent = 0

    def step(self, planes: Tensor, last: bool) -> Tensor:
        """planes [B, C, (F,) m] -> the wave [B, n] that is complete."""
        if self.transform.domain == "time":
            return planes.squeeze(1)
        window = self.transform.window
        batch, count = planes.shape[0], planes.shape[-1]
        self.frames += count
        overlap = STFT_SIZE - STFT_HOP
        length = count * STFT_HOP + overlap
        total, weight = planes.new_zeros(batch, length), planes.new_zeros(length)
        if self.tail is not None:
            total[:, :overlap] += self.tail[0]
            weight[:overlap] += self.tail[1]
        if count:
            pieces = torch.fft.irfft(self.transform.grid_of(planes), n=STFT_SIZE, dim=1) * window[:, None]
            for index in range(count):
                start = index * STFT_HOP
                total[:, start : start + STFT_SIZE] += pieces[:, :, index]
                weight[start : start + STFT_SIZE] += window.square()
        done = count * STFT_HOP
        self.tail = (total[:, done:], weight[done:])
        ready = length if last else done
        start = min(self.skip, ready)
        self.skip -= start
        out = total[:, start:ready] / weight[start:ready].clamp_min(1e-11)
        if last:  # the whole ends at the centre of its last frame
            out = out[:, : max(0, STFT_HOP * (self.frames - 1) - self.sent)]
        self.sent += out.shape[1]
        return out


def stream(layer: nn.Module) -> Step:
    """The streaming form of a SEANet layer; NotStreamable says why there is none."""
    if isinstance(layer, PaddedConv):
        return ConvStream(layer)
    if isinstance(layer, PaddedConvTranspose):
        return ConvTransposeStream(layer)
    if isinstance(layer, ResidualBlock):
        return Sum([stream(layer.shortcut), stream(layer.block)])
    if isinstance(layer, ResidualLSTM):
        return LSTMStream(layer)
    if isinstance(layer, nn.Sequential):
        return Chain([stream(child) for child in layer])
    return Pointwise(layer)


def streams(network: FunCodec) -> bool:
    """Whether the network can run in chunks."""
    return network.config.causal and network.config.norm != "time_group_norm"


class StreamEncoder:
    """Wave chunks [B, n] -> codes [K, B, frames so far complete].

    The level of an utterance is not known before its end: give `scale`, by which samples are divided, where the network
    normalises (its root mean square for the codes of the whole; any estimate otherwise).
    """

    def __init__(self, network: FunCodec, levels: int | None = None, scale: float | None = None) -> None:
        if network.config.normalise and scale is None:
            raise NotStreamable("this network normalises the whole utterance: give the scale to divide by")
        self.network, self.levels = network, levels
        self.scale = 1.0 if scale is None or not network.config.normalise else scale
        self.chain = Chain([AnalysisStream(network.transform), stream(network.encoder.model)])

    @torch.inference_mode()
    def push(self, wave: Tensor) -> Tensor:
        """wave [B, n] -> the codes that are complete, shaped as the codec's own."""
        return self._step(wave, last=False)

    @torch.inference_mode()
    def flush(self, batch: int = 1) -> Tensor:
        """The remaining codes; the stream is over."""
        return self._step(self.network.transform.window.new_zeros(batch, 0), last=True)

    def _step(self, wave: Tensor, last: bool) -> Tensor:
        embedding = self.chain.step(wave / self.scale, last).transpose(1, 2)
        return self.network.quantizer.encode(embedding, self.levels)


class StreamDecoder:
    """Code chunks [K, B, n] -> wave [B, n'] at unit level, or times `scale`."""

    def __init__(self, network: FunCodec, scale: float = 1.0) -> None:
        self.network, self.scale = network, scale
        self.chain = Chain([stream(network.decoder.model), SynthesisStream(network.transform)])

    @torch.inference_mode()
    def push(self, codes: Tensor) -> Tensor:
        """codes as the encoder gave them -> the wave [B, n] that is complete."""
        return self._step(codes, last=False)

    @torch.inference_mode()
    def flush(self, batch: int = 1) -> Tensor:
        """The remaining samples; the stream is over."""
        empty = torch.zeros(1, batch, 0, dtype=torch.long, device=self.network.transform.window.device)
        return self._step(empty, last=True)

    def _step(self, codes: Tensor, last: bool) -> Tensor:
        embedding = self.network.quantizer.decode(codes).transpose(1, 2)
        return self.chain.step(embedding, last) * self.scale
