"""FreeCodec behind the one interface: `content` (50 Hz), `prosody` (6.25 Hz) and `speaker` (once).

The speaker part is a float16 vector for v1 and v3, 8 tokens of 10 bits for v2. Only utterances of equal length go together:
SuperCodec's gates average over the whole clip, so padding would change the codes. Settings: `version` (v1, v2, v3); `size` of
random weights (nano, wave: nano with SuperCodec's encoder and decoder, paper: the full design of the paper).
A network's file says which speaker encoder it needs: Resemblyzer comes with its package; ECAPA-TDNN is taken from
`embedding_model.ckpt` beside the network's file, else from the hub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.adapters import check_settings
from bench.batches import equal
from bench.cards import Point
from bench.coding.codec import Codec, Wave, check_wave, fit, pad
from bench.coding.codes import Codes, Part, Tokens, Vector
from bench.device import to_device
from bench.errors import BadAudio, BadCodes, UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch.sources import Source, locate
from bench.fetch.weights import Weights
from bench.models.freecodec import NANO, NANO_WAVE, V1, FreeCodec, Streams, random_model, version, without_speaker_books
from bench.models.freecodec import load as load_network
from bench.models.freecodec.config import FreeCodecConfig
from bench.models.freecodec.speaker import EcapaSpeaker, ResemblyzerSpeaker, SpeakerEncoder, enrol

if TYPE_CHECKING:
    from torch import Tensor

VERSION = "1"

_SETTINGS = ("version", "size")
_SIZES = {"nano": NANO, "wave": NANO_WAVE, "paper": V1}
ECAPA_FILE = "embedding_model.ckpt"
ECAPA = Source(
    "freecodec: its speaker encoder's",
    (ECAPA_FILE,),
    repo="speechbrain/spkrec-ecapa-voxceleb",
    kept="spkrec-ecapa-voxceleb",
    cure="put the file beside the network's weights and pass WEIGHTS=FOLDER",
)


class FreeCodecAdapter(Codec):
    """One FreeCodec network with its frozen speaker encoder."""

    together = "equal"

    def __init__(self, network: FreeCodec, speaker: SpeakerEncoder, device: str = "cpu") -> None:
        config = network.config
        if speaker.dim != config.speaker_dim:
            raise WeightsInvalid(f"the network takes {config.speaker_dim} speaker values, the encoder has {speaker.dim}")
        self.network, self.speaker, self.device = network.to(device).eval(), speaker, device
        self.sample_rate, self.frame, self.min_samples = config.sample_rate, config.hop, config.min_samples
        self.feature_rate_hz = config.content_rate_hz

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        def some(places: list[int]) -> list[Codes]:
            found = [waves[place] for place in places]
            return self._encode(found, [self.speaker.embed(wave) for wave in found])

        return equal([len(wave) for wave in waves], some)

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        sent = [self._streams(message) for message in codes]
        return equal([one[0].shape for one in sent], lambda places: self._decode([sent[place] for place in places]))

    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """Content and prosody of `source` [T], speaker of `enrolment` -> wave [T]."""
        if not enrolment:
            raise BadAudio("conversion needs at least one enrolment wave of the target speaker")
        wave = pad(self, check_wave(source, "source"))
        target = enrol(self.speaker, [check_wave(other, "enrolment") for other in enrolment])
        return fit(self, self.decode(self._encode([wave], [target]))[0], len(source))

    @torch.inference_mode()
    def features(self, wave: Wave) -> NDArray[np.float32]:
        """Content before quantization, [N, D] at 50 Hz."""
        return self.network.content_encoder(self._tensor(wave))[0].float().cpu().numpy()

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """Content, prosody and, where there is one, speaker tables: [size, dim] each."""
        network = self.network
        tables = {"content": [network.content_book.embed], "prosody": [network.prosody_book.embed]}
        if network.speaker_books is not None:
            tables["speaker"] = [book.embed for book in network.speaker_books.books]  # type: ignore[misc]
        return {name: [table.float().cpu().numpy() for table in books] for name, books in tables.items()}

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """What runs when encoding and decoding; the frozen speaker encoder apart."""
        network = self.network
        modules = {
            "content encoder": network.content_encoder,
            "prosody encoder": network.prosody_encoder,
            "fusion": network.fusion,
            "decoder": network.decoder,
        }
        if isinstance(self.speaker, torch.nn.Module):
            modules["speaker encoder"] = self.speaker
        return modules

    def _tensor(self, *waves: Wave) -> Tensor:
        return to_device(torch.from_numpy(np.stack(waves).astype(np.float32)), self.device)

    @torch.inference_mode()
    def _encode(self, waves: Sequence[Wave], speakers: Sequence[Wave]) -> list[Codes]:
        """Waves of one length and their speakers' vectors -> their codes."""
        streams = self.network.encode(self._tensor(*waves), self._tensor(*speakers))
        sent = (part.cpu().numpy() for part in (streams.content, streams.prosody, streams.speaker))
        size = len(waves[0])
        return [self._message(one, other, speaker, size) for one, other, speaker in zip(*sent, strict=True)]

    def _message(self, content: NDArray[Any], prosody: NDArray[Any], speaker: NDArray[Any], size: int) -> Codes:
        config = self.network.config
        parts: tuple[Part, ...] = (
            Tokens("content", config.content_rate_hz, (config.content_codes,), content[:, None]),
            Tokens("prosody", config.prosody_rate_hz, (config.prosody_codes,), prosody[:, None]),
            Tokens("speaker", 0.0, (config.speaker_codes,) * config.speaker_groups, speaker[None])
            if config.speaker_groups
            else Vector("speaker", speaker),
        )
        return Codes(parts, size, self.sample_rate)

    def _streams(self, codes: Codes) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Content [N], prosody [N'] and speaker [S] of a message. Raises BadCodes."""
        config = self.network.config
        content = self._indices(codes, "content", (config.content_codes,))
        prosody = self._indices(codes, "prosody", (config.prosody_codes,))
        frames, pooled = len(content), -(-len(content) // config.prosody_pool)
        if frames * config.hop < config.min_samples:
            raise BadCodes(f"{frames} content tokens: FreeCodec decodes {config.min_samples // config.hop} or more")
        if len(prosody) != pooled:
            raise BadCodes(f"{frames} content tokens go with {pooled} prosody tokens, not {len(prosody)}")
        if config.speaker_groups:
            speaker = self._indices(codes, "speaker", (config.speaker_codes,) * config.speaker_groups)
            if len(speaker) != 1:
                raise BadCodes(f"the speaker is sent once, not {len(speaker)} times")
            sent = speaker[0]
        else:
            vector = codes.part("speaker")
            if not isinstance(vector, Vector) or vector.values.shape != (config.speaker_dim,):
                raise BadCodes(f"this network takes a speaker vector of {config.speaker_dim} values")
            sent = vector.values.astype(np.float32)
        return content[:, 0], prosody[:, 0], sent

    @torch.inference_mode()
    def _decode(self, sent: Sequence[tuple[NDArray[Any], ...]]) -> list[Wave]:
        """Streams of one length -> waves."""
        streams = Streams(*(to_device(torch.from_numpy(np.stack(part)), self.device) for part in zip(*sent, strict=True)))
        return list(self.network.decode(streams).float().cpu().numpy())

    @staticmethod
    def _indices(codes: Codes, name: str, sizes: tuple[int, ...]) -> NDArray[np.int64]:
        part = codes.part(name)
        if not isinstance(part, Tokens) or part.sizes != sizes:
            raise BadCodes(f"part '{name}' with {getattr(part, 'sizes', None)} does not fit codebooks of {sizes}")
        return part.indices.astype(np.int64)


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid for a file of something else or of another version;
    WeightsMissing without the speaker encoder's weights."""
    check_settings(point, may=_SETTINGS)
    name, size = str(point.settings.get("version", "v1")), str(point.settings.get("size", "nano"))
    if name not in ("v1", "v2", "v3"):
        raise UnknownName(f"version of {point.name}", name, ("v1", "v2", "v3"))
    if size not in _SIZES:
        raise UnknownName(f"size of {point.name}", size, _SIZES)
    if weights.kind == "random":
        network = random_model(version(_SIZES[size], name), weights.seed)
    else:
        path = _file(point, weights)
        try:
            network = load_network(path)
        except (ValueError, OSError) as error:
            raise WeightsInvalid(f"{point.name}: {error}") from error
        if name == "v1" and version(network.config, "v2") == network.config:
            # One run trains both: v1 is v2 without the speaker's codebooks.
            network = without_speaker_books(network)
        if version(network.config, name) != network.config:
            raise WeightsInvalid(f"{point.name}: {path} holds another version of FreeCodec than {name}")
    if network.config.sample_rate != point.sample_rate:
        raise WeightsInvalid(f"{point.name}: weights for {network.config.sample_rate} Hz, the card says {point.sample_rate} Hz")
    return FreeCodecAdapter(network, _speaker(point, weights, network.config, device), device)


def _file(point: Point, weights: Weights) -> Path:
    found = [path for path in weights.files.values() if path.suffix == ".safetensors"]
    if len(found) != 1:
        names = sorted(path.name for path in found) or "none"
        raise WeightsInvalid(f"{point.name}: need one .safetensors file in {weights.source}, found {names}")
    return found[0]


def _speaker(point: Point, weights: Weights, config: FreeCodecConfig, device: str) -> SpeakerEncoder:
    if config.speaker_encoder == "resemblyzer":
        try:
            return ResemblyzerSpeaker().to(device)
        except (ModuleNotFoundError, FileNotFoundError) as error:
            raise WeightsMissing(f"{point.name}: {error}") from error
    if weights.kind == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(weights.seed)
            return EcapaSpeaker(dim=config.speaker_dim).to(device)
    path = weights.files.get(ECAPA_FILE) or locate(ECAPA).files[ECAPA_FILE]
    try:
        return EcapaSpeaker(path, config.speaker_dim).to(device)
    except ValueError as error:
        raise WeightsInvalid(f"{point.name}: {error}") from error
