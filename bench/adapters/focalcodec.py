"""FocalCodec behind the one interface: one stream of tokens, `tokens`, from a codebook of 2^bits binary codes.

Settings: `model` (a published configuration, for random weights and for what a checkpoint's shapes cannot tell),
`topk` (neighbours averaged in voice conversion; the paper's 4), `batch_seconds` (audio that goes through the network
together, 60 on a CPU and what the engine's batches hold on a device; padding is masked exactly, so it changes speed and memory
only), `precision` (fp16 or int8: what the weights of linear
layers and convolutions are kept in; see `bench.models.blocks.stored`).

The causal models write 24 kHz. The adapter brings that to the 16 kHz of their input, as the papers' evaluation does;
stream_decoder gives the same signal, in chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.audio import resample
from bench.cards import Point
from bench.coding.codec import Codec, Wave, check_wave
from bench.coding.codes import Codes, Tokens
from bench.device import MOST_S, is_cpu, to_device
from bench.errors import BadAudio, BadCodes, UnknownName, WeightsInvalid
from bench.fetch.weights import Weights
from bench.models.blocks.fast_linear import pack, storing
from bench.models.blocks.stored import PRECISIONS
from bench.models.focalcodec import PRESETS, ConfigError, FocalCodec
from bench.models.focalcodec.checkpoint import CheckpointError, load_files
from bench.models.focalcodec.streaming import StreamDecoder, StreamEncoder

VERSION = "1"

_SETTINGS = ("model", "codes", "topk", "batch_seconds", "precision", "precision_version")
# Working memory that does not grow with the signal: blocks of patches and of attention.
BLOCK_BYTES = 512 * 2**20
MOST_BYTES = 12 * 2**30


class FocalCodecAdapter(Codec):
    """Any FocalCodec model, offline."""

    together = "all"

    def __init__(self, network: FocalCodec, *, topk: int = 4, batch_seconds: float | None = None, device: str = "cpu") -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        # Small and used over and over: the strided convolutions keep their packed weights.
        pack(self.network.encoder.feature_extractor)
        self.sample_rate = network.sample_rate_input
        self.feature_rate_hz = self.sample_rate / network.config.hop
        self.topk = topk
        # A device gets the batches that the engine made for its memory; cut up they would be waited for one by one.
        self.batch_seconds = batch_seconds or (60.0 if is_cpu(device) else MOST_S)
        self.device = device

    # -- codec ---------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        out: dict[int, Codes] = {}
        for indices in self._batches([len(wave) for wave in waves]):
            sig, lengths = self._padded([waves[i] for i in indices])
            toks = self.network.sig_to_toks(sig, lengths).cpu().numpy()
            for row, i in zip(toks, indices, strict=True):
                out[i] = self._codes(row[: self.network.token_count(len(waves[i]))], len(waves[i]))
        return [out[i] for i in range(len(waves))]

    @torch.inference_mode()
    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        tokens = [self._tokens(message) for message in codes]
        out: dict[int, Wave] = {}
        for indices in self._batches([len(row) * self.network.token_samples for row in tokens]):
            rows = [torch.from_numpy(tokens[i]) for i in indices]
            toks = to_device(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), self.device)
            waves = self.network.toks_to_sig(toks, self._lengths(rows)).cpu().numpy()
            for wave, i in zip(waves, indices, strict=True):
                out[i] = self._fit(wave[: len(tokens[i]) * self._token_output], codes[i].num_samples)
        return [out[i] for i in range(len(codes))]

    # -- optional powers -----------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def features(self, wave: Wave) -> NDArray[np.float32]:
        """Encoder features before compression, [frames, dim] at feature_rate_hz."""
        self._check(wave)
        return self.network.sig_to_feats(self._tensor(wave))[0].cpu().numpy()

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """The binary codes of all tokens, one table [codebook size, bits]."""
        return {"tokens": [self.network.codebook.cpu().numpy()]}

    @torch.inference_mode()
    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """Words of source, voice of the enrolment: each quantised feature frame of the source becomes the mean of its
        topk nearest encoder feature frames of the enrolment (FocalCodec, section 4.3)."""
        if not enrolment:
            raise BadAudio("voice conversion needs at least one enrolment wave of the target speaker")
        matching = torch.cat([self.network.sig_to_feats(self._tensor(wave))[0] for wave in enrolment])
        toks = self.network.sig_to_toks(self._tensor(source))
        wave = self.network.toks_to_sig(toks, matching_set=matching, topk=self.topk)[0].cpu().numpy()
        return self._fit(wave, len(source))

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """Encoder, compressor, decompressor and decoder."""
        parts = ("encoder", "compressor", "decompressor", "decoder")
        return {name: getattr(self.network, name) for name in parts}

    # -- memory --------------------------------------------------------------------------------------------------------

    def memory_estimate(self, samples: int) -> int:
        """Bytes of working memory, weights apart, for one signal of that many samples at 16 kHz.

        The widest moment is the feed-forward layer of the encoder: its inner activation twice, and about ten signals of
        the model's width. The strided convolutions and attention work in blocks of fixed size.
        """
        config = self.network.config.encoder
        frames = samples / self.network.config.hop
        return round(4 * frames * (2 * config.ffn_dim + 10 * config.dim)) + BLOCK_BYTES

    def _check(self, wave: Wave) -> None:
        check_wave(wave)
        needed = self.memory_estimate(len(wave))
        if needed > MOST_BYTES:
            raise BadAudio(
                f"{len(wave) / self.sample_rate:.0f} s of audio would take about {needed / 2**30:.1f} GiB of memory, "
                f"more than the {MOST_BYTES / 2**30:.0f} GiB allowed: cut it into pieces"
            )

    # -- inside --------------------------------------------------------------------------------------------------------

    def _batches(self, sizes: Sequence[int]) -> Iterator[list[int]]:
        """Indices in groups of similar length whose padded sum stays within batch_seconds (single ones may exceed)."""
        limit = self.batch_seconds * self.sample_rate
        group: list[int] = []
        for i in sorted(range(len(sizes)), key=lambda i: sizes[i]):
            if group and sizes[i] * (len(group) + 1) > limit:
                yield group
                group = []
            group.append(i)
        if group:
            yield group

    def _padded(self, waves: Sequence[Wave]) -> tuple[torch.Tensor, torch.Tensor | None]:
        for wave in waves:
            self._check(wave)
        tensors = [torch.from_numpy(np.ascontiguousarray(wave, np.float32)) for wave in waves]
        sig = to_device(torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), self.device)
        return sig, self._lengths(waves)

    def _lengths(self, rows: Sequence[Any]) -> torch.Tensor | None:
        return None if _all_equal(rows) else to_device(torch.tensor([len(row) for row in rows]), self.device)

    def _tensor(self, wave: Wave) -> torch.Tensor:
        self._check(wave)
        return to_device(torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None], self.device)

    @property
    def _token_output(self) -> int:
        """Samples at the network's output rate per token."""
        return self.network.token_samples * self.network.sample_rate_output // self.network.sample_rate_input

    def _fit(self, wave: NDArray[np.float32], num_samples: int) -> Wave:
        """Network output -> num_samples at sample_rate: cut, or the last sample repeated, then resampled, as upstream."""
        rate = self.network.sample_rate_output
        wave = wave[: num_samples * rate // self.sample_rate]
        wave = np.pad(wave, (0, num_samples * rate // self.sample_rate - len(wave)), mode="edge")
        return resample(wave, rate, self.sample_rate)

    def _codes(self, tokens: NDArray[Any], num_samples: int) -> Codes:
        size = self.network.config.quantizer.codebook_size
        part = Tokens("tokens", self.network.token_rate, (size,), tokens[:, None])
        return Codes((part,), num_samples, self.sample_rate)

    def _tokens(self, codes: Codes) -> NDArray[np.int64]:
        part = codes.part("tokens")
        size = self.network.config.quantizer.codebook_size
        if not isinstance(part, Tokens) or part.sizes != (size,):
            raise BadCodes(f"codes of {getattr(part, 'sizes', None)} do not belong to one codebook of {size}")
        if len(part.indices) == 0:
            raise BadCodes("codes hold no tokens")
        return part.indices[:, 0].astype(np.int64)


class CausalFocalCodecAdapter(FocalCodecAdapter):
    """A model that also runs in chunks."""

    def stream_encoder(self) -> NumpyStreamEncoder:
        """`push` waves [n] of any length, get tokens [t, 1]; 80 ms a chunk inside."""
        return NumpyStreamEncoder(self.network)

    def stream_decoder(self) -> NumpyStreamDecoder:
        """`push` tokens [t, 1], get waves [m] at sample_rate."""
        return NumpyStreamDecoder(self.network, self.sample_rate)


class NumpyStreamEncoder:
    """Waves in, tokens out; flush gives the tokens of the last, incomplete chunk."""

    def __init__(self, network: FocalCodec) -> None:
        pack(network)
        self._inner = StreamEncoder(network)
        self._device = next(network.parameters()).device

    def push(self, wave: Wave) -> NDArray[np.int64]:
        """wave [n] at 16 kHz -> the tokens [t, 1] that are complete."""
        sig = torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None].to(self._device)
        return self._inner.push(sig)[0].cpu().numpy()[:, None]

    def flush(self) -> NDArray[np.int64]:
        """The tokens [t, 1] that are left."""
        return self._inner.flush()[0].cpu().numpy()[:, None]


class NumpyStreamDecoder:
    """Tokens in, waves out; resampling to the codec's rate holds back what its filter still needs."""

    def __init__(self, network: FocalCodec, sample_rate: int) -> None:
        import soxr

        pack(network)
        self._inner = StreamDecoder(network)
        self._device = next(network.parameters()).device
        rate = network.sample_rate_output
        self._resampler = None if rate == sample_rate else soxr.ResampleStream(rate, sample_rate, 1, quality="VHQ")

    def push(self, tokens: NDArray[np.integer]) -> Wave:
        """tokens [t, 1] -> the wave [n] that is complete, at the codec's output rate."""
        toks = torch.from_numpy(np.asarray(tokens, np.int64)[:, 0])[None].to(self._device)
        return self._resampled(self._inner.push(toks), last=False)

    def flush(self) -> Wave:
        """The wave [n] that is left."""
        return self._resampled(self._inner.flush(), last=True)

    def _resampled(self, wave: torch.Tensor, last: bool) -> Wave:
        samples = wave[0].cpu().numpy()
        if self._resampler is None:
            return samples
        return np.asarray(self._resampler.resample_chunk(samples, last=last), np.float32)


def _all_equal(items: Sequence[Any]) -> bool:
    return len({len(item) for item in items}) <= 1


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid: files that are no FocalCodec of this card."""
    settings = point.settings
    for key in settings:
        if key not in _SETTINGS:
            raise UnknownName(f"setting of {point.name}", key, _SETTINGS)
    model = str(settings.get("model", ""))
    if model not in PRESETS:
        raise UnknownName("FocalCodec model", model, PRESETS)
    precision = str(settings.get("precision", ""))
    if precision and precision not in PRECISIONS:
        raise UnknownName(f"precision of {point.name}", precision, PRECISIONS)
    if weights.kind == "random":
        with storing(precision or None):
            network = FocalCodec.from_config(model, _of_size(settings), seed=weights.seed)
    else:
        try:
            network = load_files(*_files(weights, point), precision=precision)
        except (CheckpointError, ConfigError) as error:
            raise WeightsInvalid(f"{point.name}: {error}") from error
    expected = PRESETS[model]
    found = (network.token_samples, network.config.quantizer.codebook_size, network.causal)
    size = int(settings.get("codes", expected.quantizer.codebook_size))
    wanted = (network.config.hop * int(np.prod(expected.compressor.downscale_factors)), size)
    if found != (*wanted, expected.encoder.causal):
        raise WeightsInvalid(
            f"{point.name}: these weights make {network.token_rate:g} tokens/s of {found[1]} codes"
            f"{' (causal)' if found[2] else ''}; this operating point is the model {model}"
        )
    options: dict[str, Any] = {key: settings[key] for key in ("topk", "batch_seconds") if key in settings}
    kind = CausalFocalCodecAdapter if network.causal else FocalCodecAdapter
    return kind(network, device=device, **options)


def _of_size(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a card that names its number of codes changes in the published model."""
    if "codes" not in settings:
        return {}
    bits = int(settings["codes"]).bit_length() - 1
    sizes = {"compressor_config.output_dim": bits, "decompressor_config.input_dim": bits}
    return {"quantizer_config.codebook_size": int(settings["codes"]), **sizes}


def _files(weights: Weights, point: Point) -> tuple[list[Path], Path | None]:
    """Weights and config among the resolved files. What the card ships may come in parts."""
    tensors = [path for name, path in weights.files.items() if name.endswith(".safetensors")]
    if len(tensors) != 1 and (weights.kind != "nano" or not tensors):
        names = ", ".join(sorted(weights.files)) or "nothing"
        raise WeightsInvalid(f"{point.name}: need one .safetensors file in {weights.source}, found {names}")
    named = tensors[-1].with_suffix(".json").name
    config = weights.files.get(named) or weights.files.get("config.json")
    return tensors, config
