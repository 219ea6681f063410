"""The one interface behind which every codec stands, and the small optional powers a codec may have.

Arrays are numpy at this border, so that a codec without a network imports no torch. A codec never resamples, trims or
normalises on the quiet: `roundtrip` (and the engine) owns length and delay, the engine owns the rate.

`encode` and `decode` here are how the bench calls a codec. They check what it returns, because nothing may be assumed of a
codec of another package: its fault becomes a BadCodec that says what was expected, never a wrong number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.coding.codes import Codes
from bench.errors import BadAudio, BadCodec, BadCodes

if TYPE_CHECKING:
    import torch

Wave: TypeAlias = NDArray[np.float32]
"""Mono samples, float32 [T], nominally within [-1, 1]."""


class Codec(ABC):
    """Encode waves to codes and back. Class or instance attributes are the contract:

    sample_rate: Hz of the waves taken and returned. frame: `encode` gets lengths that are multiples of it.
    min_samples: and at least this long. delay: samples by which the decoded wave lags the input. together: which waves go
    through the network at once, on a device: none, those of equal length, or all (padding is masked). Codes equal those
    of one by one.
    """

    sample_rate: int
    frame: int = 1
    min_samples: int = 1
    delay: int = 0
    together: Literal["", "equal", "all"] = ""

    @property
    def output_rate(self) -> int:
        """Hz of the decoded waves: `sample_rate`, but for a codec that decodes at a rate of its own. Lengths and delay
        count samples at `sample_rate` all the same; see `output_samples`."""
        return self.sample_rate

    @abstractmethod
    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        """One Codes per wave. Must equal encoding the waves one by one."""

    @abstractmethod
    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        """One wave per Codes, from the codes alone; float32 [T'] with T' about num_samples (see `fit`)."""


@runtime_checkable
class Converts(Protocol):
    """Voice conversion: what `source` says in the voice of `enrolment`."""

    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """source [T] at sample_rate, enrolment waves of the target speaker -> wave about [T]."""


@runtime_checkable
class OwnProcess(Protocol):
    """A codec that computes in a process of its own. resources: what that spent so far, `cpu_s`, and most held, `peak_bytes`."""

    resources: Mapping[str, float]


@runtime_checkable
class HasFeatures(Protocol):
    """Continuous features before quantization."""

    feature_rate_hz: float

    def features(self, wave: Wave) -> NDArray[np.float32]:
        """wave [T] -> features [N, H]."""


@runtime_checkable
class HasCodebooks(Protocol):
    """Embedding tables of the token streams, for probes that start from them."""

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """Part name -> one table [V_k, H] per codebook."""


@runtime_checkable
class Streams(Protocol):
    """Chunk-by-chunk operation; `push` returns what is complete so far, `flush` the rest.

    An encoder takes waves [n] at sample_rate and gives tokens [t, K]; a decoder takes these and gives waves at output_rate.
    """

    def stream_encoder(self) -> Any:
        """A fresh encoder of one stream, with `push` and `flush`."""

    def stream_decoder(self) -> Any:
        """A fresh decoder of one stream, with `push` and `flush`."""


@runtime_checkable
class HasNetwork(Protocol):
    """Networks whose parameters and multiply-adds can be counted."""

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """The networks by name, for counts of parameters and operations."""


def check_wave(wave: Wave, name: str = "wave") -> Wave:
    """Return `wave` as float32 [T]; raises BadAudio when it is empty, not one-dimensional or not finite."""
    array = np.asarray(wave)
    if array.ndim != 1:
        raise BadAudio(f"{name}: expected mono samples [T], got shape {array.shape}; mix down the channels first")
    if array.size == 0:
        raise BadAudio(f"{name}: is empty")
    if not np.issubdtype(array.dtype, np.floating):
        raise BadAudio(f"{name}: expected float samples in [-1, 1], got {array.dtype}")
    if not np.isfinite(array).all():
        raise BadAudio(f"{name}: holds NaN or infinite samples; repair or leave out the file")
    return np.ascontiguousarray(array, dtype=np.float32)


def check_codec(codec: Codec) -> Codec:
    """Return `codec`; raises BadCodec when an attribute of its contract is missing or impossible."""
    for name, least in (("sample_rate", 1), ("frame", 1), ("min_samples", 0), ("delay", 0)):
        value = getattr(codec, name, None)
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise BadCodec(f"{_name(codec)}: {name} is a whole number, at least {least}, not {value!r}")
    return codec


def check_decoded(codec: Codec, wave: Any) -> Wave:
    """A decoded wave as float32 [T]; raises BadCodec for several channels, samples that are no floats, or no wave at all.

    Samples that are not finite pass: the engine keeps what is known of such an utterance and counts it as not_finite.
    """
    array = np.asarray(wave)
    if array.dtype.kind != "f":
        raise BadCodec(f"{_name(codec)}: decode returns float samples in [-1, 1], not {array.dtype}")
    if max(array.shape, default=0) != array.size or array.ndim == 0:
        raise BadCodec(f"{_name(codec)}: decode returns mono waves [T], not {list(array.shape)}")
    return np.ascontiguousarray(array.reshape(-1), dtype=np.float32)


def pad(codec: Codec, wave: Wave) -> Wave:
    """Zero-pad at the end so that the decoded wave covers the input in spite of delay, frame and minimum length."""
    wanted = max(len(wave) + codec.delay, codec.min_samples)
    wanted = -(-wanted // codec.frame) * codec.frame
    return np.pad(wave, (0, wanted - len(wave)))


def output_samples(codec: Codec, num_samples: int) -> int:
    """Decoded samples that last as long as `num_samples` at the codec's sample_rate."""
    return round(num_samples * codec.output_rate / codec.sample_rate)


def fit(codec: Codec, decoded: Wave, num_samples: int) -> Wave:
    """Undo the declared delay and cut to the length of `num_samples` at sample_rate; a codec that still falls short is
    completed with zeros."""
    delay, length = output_samples(codec, codec.delay), output_samples(codec, num_samples)
    wave = check_decoded(codec, decoded)[delay : delay + length]
    return np.pad(wave, (0, length - len(wave)))


def encode(codec: Codec, waves: Sequence[Wave]) -> list[Codes]:
    """Check, pad and encode waves at the codec's rate. Raises BadAudio (a wave), BadCodec and BadCodes (the codec)."""
    check_codec(codec)
    padded = [pad(codec, check_wave(wave)) for wave in waves]
    codes = _as_many(codec, "encode", "Codes", codec.encode(padded), len(padded))
    for wave, item in zip(padded, codes, strict=True):
        if not isinstance(item, Codes):
            raise BadCodec(f"{_name(codec)}: encode returns Codes, not {type(item).__name__}")
        if (item.num_samples, item.sample_rate) != (len(wave), codec.sample_rate):
            raise BadCodes(
                f"{_name(codec)}: codes of {item.num_samples} samples at {item.sample_rate} Hz came back for a wave of "
                f"{len(wave)} samples at {codec.sample_rate} Hz"
            )
        _same_layout(codec, item)
    return codes


def decode_whole(codec: Codec, codes: Sequence[Codes]) -> list[Wave]:
    """Decode codes to waves as the codec gives them, delay and padding included. Raises BadCodec."""
    check_codec(codec)
    return [check_decoded(codec, wave) for wave in _as_many(codec, "decode", "waves", codec.decode(codes), len(codes))]


def decode(codec: Codec, codes: Sequence[Codes], lengths: Sequence[int]) -> list[Wave]:
    """Decode codes to waves that last exactly `lengths` samples at sample_rate. Raises BadCodec."""
    return [fit(codec, wave, length) for wave, length in zip(decode_whole(codec, codes), lengths, strict=True)]


def roundtrip(codec: Codec, wave: Wave) -> tuple[Codes, Wave]:
    """wave [T] at the codec's rate -> (codes, decoded wave [T])."""
    [codes] = encode(codec, [wave])
    [decoded] = decode(codec, [codes], [len(wave)])
    return codes, decoded


def _same_layout(codec: Codec, codes: Codes) -> None:
    first = vars(codec).get("_layout")
    if first is None:
        object.__setattr__(codec, "_layout", codes.layout)  # a codec may be a frozen dataclass
    elif codes.layout != first:
        raise BadCodes(
            f"{_name(codec)}: the layout of its codes changes from message to message, and is not counted as bits: "
            f"{codes.layout} after {first}"
        )


def _as_many(codec: Codec, verb: str, what: str, returned: Any, count: int) -> list[Any]:
    try:
        found = list(returned)
    except TypeError:
        raise BadCodec(f"{_name(codec)}: {verb} returns a list of {what}, not {type(returned).__name__}") from None
    if len(found) != count:
        raise BadCodec(f"{_name(codec)}: {verb} returned {len(found)} {what} where {count} were due")
    return found


def _name(codec: Codec) -> str:
    return type(codec).__name__
