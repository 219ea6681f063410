"""FunCodec and FreqCodec behind the one interface: `codes` (residual codebooks) and `level` (once, 8 bits).

The networks see speech at unit level. The level that was divided out is sent as side information, so that codes alone
decode at the right loudness. Settings: `preset` (a shape of `bench.models.funcodec.PRESETS`, for random weights and for
what tensor shapes cannot tell), `bitrate_kbps` (else the point's), `strict` (the published scripts: no level sent,
output at unit level and at most 0.99, input not padded, so that FreqCodec falls short of its length).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.batches import equal
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Tokens
from bench.device import to_device
from bench.errors import BadCodes, BenchError, UnknownName, WeightsInvalid
from bench.fetch.weights import Weights
from bench.models.funcodec import PRESETS, FunCodec, StateDictError
from bench.models.funcodec import load as load_network
from bench.models.funcodec.streaming import StreamDecoder, StreamEncoder, streams

if TYPE_CHECKING:
    from torch import Tensor

VERSION = "1"

_SETTINGS = ("preset", "bitrate_kbps", "strict")
LEVEL_STEPS = 256
LEVEL_LOWEST_DB = -120.0
LEVEL_STEP_DB = 0.5


class BadBitrate(BenchError):
    """A bitrate that no number of codebooks gives."""


def codebooks_for(bitrate_kbps: float, frame_rate_hz: float, size: int, most: int, name: str = "this codec") -> int:
    """Codebooks of `size` entries at `frame_rate_hz` that make `bitrate_kbps`; BadBitrate names the nearest rates."""
    each = frame_rate_hz * log2(size) / 1000
    count = bitrate_kbps / each
    whole = round(count)
    if 1 <= whole <= most and abs(count - whole) < 1e-6:
        return whole
    below = min(max(int(count), 1), most)
    near = sorted({below, min(below + 1, most)}) if count >= 1 else [1]
    rates = " and ".join(f"{n * each:g} kbps ({n} codebook{'s' * (n > 1)})" for n in near)
    raise BadBitrate(
        f"{name}: {bitrate_kbps:g} kbps is no number of codebooks; each takes {each:g} kbps and there are {most}. "
        f"Nearest: {rates}."
    )


def quantize_level(scale: float) -> int:
    """Root-mean-square level -> index 0 .. 255, half a decibel each from -120 dB up."""
    decibels = 20 * np.log10(max(scale, 1e-12))
    return int(np.clip(round((decibels - LEVEL_LOWEST_DB) / LEVEL_STEP_DB), 0, LEVEL_STEPS - 1))


def level_of(index: int) -> float:
    """Inverse of `quantize_level`, within a quarter of a decibel inside the range."""
    return float(10 ** ((LEVEL_LOWEST_DB + LEVEL_STEP_DB * index) / 20))


class FunCodecAdapter(Codec):
    """One network at one number of codebooks. Only utterances of equal length go together: the networks normalise over the
    whole utterance, so padding would change its codes."""

    together = "equal"

    def __init__(self, network: FunCodec, codebooks: int, *, strict: bool = False, device: str = "cpu") -> None:
        config = network.config
        self.network = network.to(device).eval()
        self.codebooks_used = codebooks
        self.strict = strict
        self.device = device
        self.sample_rate = config.sample_rate
        self.feature_rate_hz = config.frame_rate
        self.frame = 1 if strict else config.hop
        self.min_samples = network.transform.min_samples

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return equal([len(wave) for wave in waves], lambda some: self._encode([waves[place] for place in some]))

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        sent = [self._tokens(message) for message in codes]
        return equal(
            [indices.shape for indices in sent],
            lambda some: self._decode([sent[place] for place in some], [codes[place] for place in some]),
        )

    @torch.inference_mode()
    def _encode(self, waves: Sequence[Wave]) -> list[Codes]:
        """Waves of one length -> their codes."""
        config, size = self.network.config, len(waves[0])
        codes, scales = self.network.encode(self._tensor(*waves), self.codebooks_used)
        # On the STFT grid a wave of k hops gives k + 1 frames; the last lies beyond its end and is not sent.
        indices = codes[:, :, : ceil(size / config.hop)].permute(1, 2, 0).cpu().numpy()
        return [self._message(*one, size) for one in zip(indices, scales.flatten().cpu().tolist(), strict=True)]

    def _message(self, indices: NDArray[np.int64], scale: float, size: int) -> Codes:
        config = self.network.config
        sent = Tokens("codes", config.frame_rate, (config.codebook_size,) * self.codebooks_used, indices)
        if self.strict:
            return Codes((sent,), size, self.sample_rate)
        level = Tokens("level", 0.0, (LEVEL_STEPS,), np.array([[quantize_level(scale)]]))
        return Codes((sent, level), size, self.sample_rate)

    def _tokens(self, message: Codes) -> NDArray[np.int64]:
        """Indices [N, K] of a message. Raises BadCodes."""
        config, part = self.network.config, message.part("codes")
        if not isinstance(part, Tokens) or set(part.sizes) != {config.codebook_size}:
            raise BadCodes(f"codes of {getattr(part, 'sizes', None)} do not belong to codebooks of {config.codebook_size}")
        if len(part.sizes) > config.codebooks:
            raise BadCodes(f"codes use {len(part.sizes)} codebooks, this network has {config.codebooks}")
        return part.indices.astype(np.int64)

    @torch.inference_mode()
    def _decode(self, sent: Sequence[NDArray[np.int64]], messages: Sequence[Codes]) -> list[Wave]:
        """Indices of one shape -> waves."""
        codes = to_device(torch.from_numpy(np.stack(sent)).permute(2, 0, 1).contiguous(), self.device)
        waves = self.network.decode(codes, whole=not self.strict).float().cpu().numpy()
        return [self._levelled(wave, message) for wave, message in zip(waves, messages, strict=True)]

    def _levelled(self, wave: Wave, message: Codes) -> Wave:
        if self.strict:
            peak = float(np.abs(wave).max(initial=0.0))
            return wave * np.float32(min(1.0, 0.99 / max(peak, 1e-9)))
        level = message.part("level")
        assert isinstance(level, Tokens)
        return wave[: message.num_samples] * np.float32(level_of(int(level.indices[0, 0])))

    @torch.inference_mode()
    def features(self, wave: Wave) -> NDArray[np.float32]:
        """Embeddings before quantization, [frames, dim] at feature_rate_hz."""
        embedding, _ = self.network.embed(self._tensor(wave))
        return embedding[0].float().cpu().numpy()

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """The tables [size, dim] of the codebooks that are sent."""
        tables = self.network.quantizer.stacked()["embed"][: self.codebooks_used].float().cpu().numpy()
        return {"codes": list(tables)}

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """Encoder, decoder and quantizer."""
        return {"encoder": self.network.encoder, "decoder": self.network.decoder, "quantizer": self.network.quantizer}

    def _tensor(self, *waves: Wave) -> Tensor:
        return to_device(torch.from_numpy(np.stack(waves).astype(np.float32)), self.device)


class CausalFunCodecAdapter(FunCodecAdapter):
    """A network that also runs in chunks."""

    def stream_encoder(self, scale: float | None = None) -> StreamEncoder:
        """Wave chunks [1, n] -> codes [K, 1, frames]. A network that normalises needs the `scale` to divide by."""
        return StreamEncoder(self.network, self.codebooks_used, scale)

    def stream_decoder(self, scale: float = 1.0) -> StreamDecoder:
        """Code chunks [K, 1, n] -> wave chunks [1, n'], at unit level times `scale`."""
        return StreamDecoder(self.network, scale)


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid: files of something else; BadBitrate: between two codebooks."""
    settings: Mapping[str, Any] = point.settings
    for key in settings:
        if key not in _SETTINGS:
            raise UnknownName(f"setting of {point.name}", key, _SETTINGS)
    preset = settings.get("preset", "")
    if preset not in PRESETS:
        raise UnknownName("preset", str(preset), PRESETS)
    if weights.kind == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(weights.seed)
            network = FunCodec(PRESETS[preset])
    else:
        path = _file(weights, point)
        try:
            network = load_network(path, causal=PRESETS[preset].causal)
        except StateDictError as error:
            raise WeightsInvalid(f"{point.name}: {path}: {error}") from error
    config = network.config
    if config.sample_rate != point.sample_rate:
        raise WeightsInvalid(f"{point.name}: weights for {config.sample_rate} Hz, the card says {point.sample_rate} Hz")
    bitrate = settings.get("bitrate_kbps", point.bitrate_kbps)
    if bitrate is None:
        raise BadBitrate(f"{point.name}: neither the point nor its settings give bitrate_kbps")
    codebooks = codebooks_for(float(bitrate), config.frame_rate, config.codebook_size, config.codebooks, point.name)
    kind = CausalFunCodecAdapter if streams(network) else FunCodecAdapter
    return kind(network, codebooks, strict=bool(settings.get("strict", False)), device=device)


def _file(weights: Weights, point: Point) -> Path:
    """The network's file among the resolved ones: the only .safetensors, .pth, .pt or .bin."""
    found = [path for path in weights.files.values() if path.suffix in (".safetensors", ".pth", ".pt", ".bin")]
    if len(found) != 1:
        names = sorted(path.name for path in found) or "none"
        raise WeightsInvalid(f"{point.name}: need one .pth or .safetensors file in {weights.source}, found {names}")
    return found[0]
