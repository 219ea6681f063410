"""FreeCodec's recipe (arXiv 2412.01053, section 2.5): v2 and v1 from one run, v3 from v1 by further training.

The speaker encoder is frozen: its vectors are computed once for each utterance, before training. In the nano card the
content loss's teacher is Whisper's encoder in place of WavLM-Large, whose weights no package carries; and v3 is judged on
conversions too (`loss.converted`, not in the paper), since only these are what it is for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.errors import BadCard, UnknownName
from bench.models.blocks.int8 import unpack
from bench.models.blocks.whisper_stem import WhisperStem
from bench.models.freecodec import FreeCodec, FreeCodecConfig
from bench.models.freecodec.augment import SpectrogramResize
from bench.models.freecodec.config import NANO, version
from bench.models.freecodec.losses import ReconstructionLoss, content_loss
from bench.models.freecodec.model import Streams
from bench.models.freecodec.speaker import EcapaSpeaker, ResemblyzerSpeaker
from bench.train.initial.whisper_blocks import taught
from bench.train.losses import WAVE_LOSSES, MelL1, WaveLosses, pair_distance
from bench.train.recipe import Recipe, slower, weights_of
from bench.train.settings import RecipeCard
from bench.train.whisper import WhisperEncoder, feature_distance, standardised

if TYPE_CHECKING:
    from bench.train.data import Batch, Corpus

LOSSES: Mapping[str, Any] = {
    **WAVE_LOSSES,
    "mode": "whole",  # whole | codes | synthesis
    "mel_head": 0.0,  # L1 of a linear layer's guess of the log-mel, from what the decoder hears ("codes")
    "initial": "",  # safetensors to start from
    "reconstruction": 1.0,  # SuperCodec's sum: wave, multi-scale mel, fine mel
    "commitment": 1.0,
    "content": 10.0,
    "whisper": "",  # path of tiny.en.pt: teacher of the content loss, and of "perceptual"
    "whisper_blocks": 4,
    "wavlm": "",  # folder of WavLM-Large in transformers' form: the paper's teacher
    "ecapa": "",  # embedding_model.ckpt of speechbrain/spkrec-ecapa-voxceleb, for speaker_encoder = "ecapa"
    "token_rate": 1.0,  # learning rate of the content and prosody encoders, as a share of the others
    "converted": 0.0,  # distance of Whisper features between speech and its conversion to another voice of the batch
    "quantize_from": 0.0,  # share of the run without quantization, before the k-means start
    "pool": 4096,  # content embeddings that k-means starts from
}
BASES = {"paper": FreeCodecConfig(), "nano": NANO}


class FreeCodecRecipe(Recipe):
    """Card tables: [model] base = "paper" or "nano", version = "v1", "v2" or "v3", and fields of FreeCodecConfig."""

    started: Tensor

    def __init__(self, card: RecipeCard) -> None:
        super().__init__(card)
        self.loss = weights_of(card.loss, LOSSES, f"{card.path} [loss]")
        torch.manual_seed(card.run.seed)
        config = config_of(card.model, str(card.path))
        self.codec = FreeCodec(config)
        self.frame = config.hop
        self.mode: str = self.loss["mode"]
        if self.mode not in ("whole", "codes", "synthesis"):
            raise BadCard(f"{card.path} [loss]: mode is '{self.mode}'; it must be whole, codes or synthesis")
        if self.stem is not None:
            self.stem.requires_grad_(False)
        if self.mode == "synthesis":
            self.codec.requires_grad_(False)
            self.codec.fusion.requires_grad_(True)
            self.codec.decoder.requires_grad_(True)
        self.fine_mel = MelL1(n_fft=512, hop=160)
        self.to_mel = nn.Linear(config.dim, 2 * 80) if self.loss["mel_head"] else None
        if self.loss["initial"]:
            load_shared(self.codec, Path(self.loss["initial"]))
        self.reconstruction = ReconstructionLoss() if self.loss["reconstruction"] else None
        self.wave_losses = WaveLosses(self.loss)
        self.whisper = (
            WhisperEncoder.load(Path(self.loss["whisper"]), self.loss["whisper_blocks"]) if self.loss["whisper"] else None
        )
        if self.loss["converted"] and (self.whisper is None or card.data.batch < 2):
            raise BadCard(f"{card.path} [loss] converted: needs loss.whisper and a data.batch of at least 2")
        self.wavlm = load_wavlm(Path(self.loss["wavlm"])) if self.loss["wavlm"] else None
        self.resize = SpectrogramResize() if config.resize_augmentation else None
        warm = bool(self.loss["quantize_from"]) and not self.loss["initial"]
        self.register_buffer("started", torch.tensor(0 if warm else 1))
        self.pools: dict[str, list[Tensor]] = {"content": [], "prosody": []}
        self.vectors: list[NDArray[np.float32]] = []
        # In a list, so that the frozen encoder is no part of the recipe's state.
        self.encoders: list[ResemblyzerSpeaker | EcapaSpeaker] = []

    def prepare(self, corpus: Corpus) -> None:
        """Speaker vectors of every utterance: of the whole, and of stretches of 3 s, among which training draws."""
        for index in range(len(corpus.waves)):
            wave = corpus.wave(index)
            cuts = [wave, *(wave[i : i + 48000] for i in range(0, len(wave) - 32000, 48000))]
            self.vectors.append(np.stack([self.speaker.embed(cut) for cut in cuts]))
        self._start_stem()
        books = self.codec.speaker_books
        if books is not None and not self.loss["initial"]:
            books.fit(torch.from_numpy(np.concatenate(self.vectors)))
            books.eval()

    def groups(self) -> list[dict[str, Any]]:
        return slower(self, ([self.codec.content_encoder, self.codec.prosody_encoder], self.loss["token_rate"]))

    def _start_stem(self) -> None:
        """Take the stem of the content encoder from Whisper, unless it comes with the initial weights."""
        if self.stem is None or self.loss["initial"]:
            return
        if self.whisper is None:
            raise BadCard(f"{self.card.path}: spectral_stem = 'whisper' starts from Whisper; set loss.whisper")
        self.stem.conv1.load_state_dict(self.whisper.conv1.state_dict())
        self.stem.conv2.load_state_dict(self.whisper.conv2.state_dict())

    @property
    def stem(self) -> WhisperStem | None:
        """What the content encoder has of Whisper; it stays as it is."""
        stem = getattr(self.codec.content_encoder, "stem", None)
        return stem if isinstance(stem, WhisperStem) else None

    @property
    def speaker(self) -> ResemblyzerSpeaker | EcapaSpeaker:
        """The frozen speaker encoder, loaded when it is first asked for."""
        if not self.encoders:
            ecapa = self.loss["ecapa"]
            resemblyzer = self.codec.config.speaker_encoder == "resemblyzer"
            self.encoders.append(ResemblyzerSpeaker() if resemblyzer else EcapaSpeaker(Path(ecapa) if ecapa else None))
        return self.encoders[0]

    def extra(self, batch: Batch) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.card.run.seed, batch.number])
        rows = [self.vectors[where][rng.integers(len(self.vectors[where]))] for where in batch.where]
        return {"speaker": torch.from_numpy(np.stack(rows))}

    def train(self, mode: bool = True) -> FreeCodecRecipe:
        """As nn.Module.train; fitted speaker codebooks stay as they are."""
        super().train(mode)
        if self.codec.speaker_books is not None:
            # Fitted once to frozen vectors: nothing to follow.
            self.codec.speaker_books.eval()
        return self

    def forward(self, wave: Tensor, progress: float, extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss, codec = self.loss, self.codec
        heard = wave
        if self.resize is not None and self.training:
            heard = self.resize(wave)
        with torch.set_grad_enabled(self.mode != "synthesis" and torch.is_grad_enabled()):
            latent = codec.content_encoder(heard).float()
            melody = codec.prosody_encoder(heard).float()
        out: dict[str, Tensor] = {}
        if self.mode == "synthesis":
            content = codec.content_book.decode(codec.content_book.nearest(latent))
            prosody = codec.prosody_book.decode(codec.prosody_book.nearest(melody))
        elif self.started or not self.training:
            content, _, content_commitment = codec.content_book.quantize(latent)
            prosody, _, prosody_commitment = codec.prosody_book.quantize(melody)
            out["commitment"] = loss["commitment"] * (content_commitment + prosody_commitment)
        else:
            content, prosody = latent, melody
            self._collect({"content": latent, "prosody": melody}, progress)
        speaker = extra["speaker"]
        if codec.speaker_books is not None:
            grouped = codec.speaker_books.quantize(speaker)[0]
            chosen = torch.rand(len(wave), 1, device=wave.device) < 0.5
            speaker = torch.where(chosen, grouped, speaker)
        context = codec.fusion.context(content)
        mixed = codec.fusion.inject(context, prosody, speaker)
        if self.mode == "codes":
            if self.to_mel is not None:
                out["mel_head"] = loss["mel_head"] * pair_distance(self.fine_mel, self.to_mel(mixed), wave)
            return {**out, **self._content_loss(wave, latent, context)}
        fake = codec.decoder(mixed).float()
        real = wave[:, : fake.shape[1]]
        if self.reconstruction is not None:
            for name, value in self.reconstruction(fake, real).items():
                out[name] = loss["reconstruction"] * value
        if self.mode == "whole":
            out.update(self._content_loss(wave, latent, context))
        if loss["converted"] and self.training:
            out.update(self._converted(real, context, prosody, speaker))
        return {**out, **self.wave_losses(real, fake, self.whisper), "real": real, "fake": fake}

    def _converted(self, real: Tensor, context: Tensor, prosody: Tensor, speaker: Tensor) -> dict[str, Tensor]:
        """The first half of the batch decoded with the next utterance's voice, for the discriminators, and what that
        does to its words: Whisper's last features, each channel less its mean over time, which a voice shifts."""
        assert self.whisper is not None
        count = len(real) // 2
        mixed = self.codec.fusion.inject(context[:count], prosody[:count], speaker.roll(-1, 0)[:count])
        fake = self.codec.decoder(mixed).float()[:, : real.shape[1]]
        with torch.no_grad():
            heard = self.whisper(real[:count])[-1]
        guess = self.whisper(fake)[-1]
        heard, guess = (x.float() - x.float().mean(1, keepdim=True) for x in (heard, guess))
        return {"converted": self.loss["converted"] * feature_distance([heard], [guess]), "unpaired": fake}

    def _content_loss(self, wave: Tensor, latent: Tensor, context: Tensor) -> dict[str, Tensor]:
        """The teacher's last layer against the head's guess from latent or context [B, N, D]."""
        codec = self.codec
        if not self.loss["content"] or (self.whisper is None and self.wavlm is None):
            return {}
        guess = codec.teacher_head(latent if codec.config.content_loss_at == "encoder" else context)
        with torch.no_grad():
            if self.wavlm is not None:
                last = self.wavlm(F.pad(wave, (40, 40))).last_hidden_state
            else:
                assert self.whisper is not None
                # Without positions and each channel at one scale: a few outliers would decide the cosine alone.
                last = standardised(taught(self.whisper, wave)[1])
        return {"content": self.loss["content"] * content_loss(guess, last)}

    @torch.no_grad()
    def _collect(self, embeddings: Mapping[str, Tensor], progress: float) -> None:
        """Keep embeddings of the last batches; at the appointed time start the codebooks from them by k-means."""
        for name, value in embeddings.items():
            self.pools[name].append(value.detach().flatten(0, 1))
            while sum(len(p) for p in self.pools[name][1:]) >= self.loss["pool"]:
                self.pools[name].pop(0)
        if progress >= self.loss["quantize_from"]:
            self.codec.content_book.fit(torch.cat(self.pools["content"]))
            self.codec.prosody_book.fit(torch.cat(self.pools["prosody"]))
            self.pools = {"content": [], "prosody": []}
            self.started.fill_(1)

    def facts(self) -> dict[str, Any]:
        """Perplexity of the codebooks' moving counts."""
        found = {}
        for name in ("content", "prosody"):
            p = getattr(self.codec, f"{name}_book").cluster_size
            p = p / p.sum()
            found[name] = round(float((-(p * p.clamp_min(1e-12).log()).sum()).exp()), 1)
        return {"perplexity": found}

    def export(self) -> dict[str, Tensor]:
        left_out = (".embed_avg", ".embed_sum", ".cluster_size", ".inited", ".started")
        return {
            k: v for k, v in self.codec.state_dict().items() if not k.startswith("teacher_head.") and not k.endswith(left_out)
        }

    def describe(self) -> dict[str, str]:
        return {"config": json.dumps(self.codec.config.to_dict(), sort_keys=True)}

    @torch.no_grad()
    def reconstruct(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        vector = torch.from_numpy(self.speaker.embed(wave))[None]
        padded = np.pad(wave, (0, -len(wave) % self.frame))
        streams: Streams = self.codec.encode(torch.from_numpy(padded)[None], vector)
        return self.codec.decode(streams)[0].numpy()[: len(wave)]


def config_of(model: Mapping[str, Any], where: str) -> FreeCodecConfig:
    """The configuration a card asks for; raises BadCard."""
    settings = {"base": "paper", "version": "v1", **model}
    base = BASES.get(settings.pop("base"))
    if base is None:
        raise BadCard(f"{where} [model]: {UnknownName('base', model['base'], BASES)}")
    name = settings.pop("version")
    try:
        return version(FreeCodecConfig.from_dict({**base.to_dict(), **settings}), name)
    except ValueError as error:
        raise BadCard(f"{where} [model]: {error}") from error


def load_shared(codec: FreeCodec, path: Path) -> None:
    """Start from a weights file of another version: what both have is taken, speaker codebooks may be missing."""
    from safetensors.torch import load_file

    own = codec.state_dict()
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in unpack(load_file(path)).items()}
    misfit = [k for k, v in tensors.items() if k in own and own[k].shape != v.shape]
    if misfit:
        raise BadCard(f"{path}: {misfit[0]} has another shape; the file belongs to another configuration")
    codec.load_state_dict({k: v for k, v in tensors.items() if k in own}, strict=False)
    for book in (codec.content_book, codec.prosody_book):
        book.embed_avg.copy_(book.embed)
        book.cluster_size.fill_(1.0)
        book.inited.fill_(1.0)


def load_wavlm(folder: Path) -> torch.nn.Module:
    """WavLM in transformers' form from a local folder, frozen. Its last layer at 50 Hz is the content loss's target."""
    from transformers import WavLMModel

    return WavLMModel.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
