"""FocalCodec's recipe, part by part.

The paper (arXiv 2502.04465, section 3 and appendix B) freezes WavLM, trains compressor, quantizer and decompressor on
its features with MSE and an entropy loss ("compressor"), and the Vocos decoder on continuous features with adversarial
losses ("decoder"). A small codec has no pretrained WavLM to freeze: "encoder" makes one, from a Whisper encoder, and
"synthesis" trains decompressor and decoder from tokens, and with `train` the parts before them, too. Training all parts
through the decoder from nothing was tried and dropped: the gradient of spectral and adversarial losses is so noisy that
the bottleneck learned next to nothing in an hour, where the MSE of features takes minutes; after those minutes it helps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.errors import BadCard
from bench.models.blocks.int8 import unpack
from bench.models.focalcodec import FocalCodec
from bench.train.data import Crops
from bench.train.initial.whisper_blocks import copy_blocks, encoder_losses, stem_and_blocks, taught
from bench.train.initial.whisper_stem import start_as_whisper_stem
from bench.train.losses import WAVE_LOSSES, MelL1, WaveLosses, bit_spread, pair_distance
from bench.train.recipe import Recipe, slower, weights_of
from bench.train.settings import RecipeCard
from bench.train.whisper import WhisperEncoder, standardised

if TYPE_CHECKING:
    from bench.train.data import Corpus

LOSSES: Mapping[str, Any] = {
    **WAVE_LOSSES,
    "mode": "synthesis",  # encoder | compressor | decoder | synthesis, see TRAINED
    "train": [],  # other parts than the mode trains
    "initial": "",  # safetensors with the parts that this stage does not train; of several, later files win
    "initial_also": {},  # preset name -> such files, for model.also; else they are sought in initial
    "mel": 0.0,  # L1 of the recipe's 80-band log-mel
    "entropy": 0.0,  # the paper's, with the full table of codewords
    "spread": 0.0,  # see losses.bit_spread: a cheaper guard against collapse
    "commitment": 0.0,  # MSE between latents and codes, for a quantizer whose latents have no norm
    "features": 0.0,  # MSE between decompressed and encoder features
    "relative": False,  # that MSE of every channel as a share of its variance
    "mel_head": 0.0,  # L1 of a linear layer's guess of the log-mel, from the encoder's or the decompressed features
    "whisper": "",  # path of tiny.en.pt; empty: no feature loss
    "whisper_blocks": 4,
    "token_rate": 1.0,  # learning rate of encoder and compressor, as a share of the others
    "bypass": 0.0,  # share of items that reach the decoder unquantized, so that it also decodes encoder features
    "copy_whisper": False,  # start the encoder's layers from Whisper's blocks
    "stem": False,  # set the front end to Whisper's log-mel and convolutions, and freeze it there
    "content": 0.0,  # L1 of a linear layer's guess of Whisper's last block, from the decompressed features
}


PARTS = ("encoder", "compressor", "decompressor", "decoder")
TRAINED = {
    "encoder": ("encoder",),
    "compressor": ("compressor", "decompressor"),
    "decoder": ("decoder",),
    "synthesis": ("decompressor", "decoder"),
}


class FocalCodecRecipe(Recipe):
    """Card tables: [model] config = preset name, overrides = {dotted path = value}, variant = further ones, of a stage, also =
    {preset name = items}: that many items of every batch pass through the compressor and decompressor of another preset, which
    are trained along between the same encoder and decoder; [loss] as in LOSSES."""

    hears_apart = True

    def __init__(self, card: RecipeCard) -> None:
        super().__init__(card)
        self.loss = weights_of(card.loss, LOSSES, f"{card.path} [loss]")
        model = weights_of(card.model, {"config": "50hz", "overrides": {}, "variant": {}, "also": {}}, f"{card.path} [model]")
        torch.manual_seed(card.run.seed)
        overrides = {**model["overrides"], **model["variant"]}
        self.codec = FocalCodec.from_config(model["config"], overrides)
        self.shares: dict[str, int] = model["also"]
        if (taken := sum(self.shares.values())) >= card.data.batch:
            raise BadCard(f"{card.path} [model]: also takes {taken} of {card.data.batch} items; leave some to {model['config']}")
        if unknown := sorted(set(self.loss["initial_also"]) - set(self.shares)):
            raise BadCard(f"{card.path} [loss]: initial_also names {unknown[0]}, which [model] also does not train; add it there")
        self.also = nn.ModuleDict({name: _bottleneck(name, overrides) for name in self.shares})
        start_local(self.codec.encoder.encoder.relative_embedding)
        # With padding, frame t is centred at sample 320 t, as Whisper's are; without, its window starts there.
        self.padded = any(self.codec.config.encoder.padding)
        self.margin = 0 if self.padded else 80
        self.mode: str = self.loss["mode"]
        if self.mode not in TRAINED:
            raise BadCard(f"{card.path} [loss]: mode is '{self.mode}'; it must be one of {', '.join(TRAINED)}")
        self.trained: tuple[str, ...] = tuple(self.loss["train"]) or TRAINED[self.mode]
        self.parts = {"encoder": PARTS[:1], "compressor": PARTS[:3], "decoder": (PARTS[0], PARTS[3])}.get(self.mode, PARTS)
        if self.shares and self.mode != "synthesis":
            raise BadCard(f'{card.path} [model]: also is for mode = "synthesis"')
        self.requires_grad_(False)
        for part in self.trained:
            getattr(self.codec, part).requires_grad_(True)
            if part in TRAINED["compressor"]:
                for other in self.others.values():
                    getattr(other, part).requires_grad_(True)
        anew = TRAINED["compressor"] if self.mode == "compressor" else ()
        if self.loss["initial"]:
            needed = {part for part in self.parts if part not in self.trained}
            load_parts(self.codec, self.loss["initial"], needed, anew, model["config"])
        for name, other in self.others.items():
            if source := self.loss["initial_also"].get(name, self.loss["initial"]):
                load_parts(other, source, set(), anew, name)
        self.seen: set[int] = set()  # distinct tokens met in validation: few of them mean a collapse
        self.mel = MelL1()
        self.wave_losses = WaveLosses(self.loss)
        blocks = self.loss["whisper_blocks"]
        self.whisper = WhisperEncoder.load(Path(self.loss["whisper"]), blocks) if self.loss["whisper"] else None
        if self.loss["copy_whisper"] and self.whisper is not None:
            copy_blocks(self.codec.encoder, self.whisper)
        if self.loss["stem"]:
            for module in (self.codec.encoder.feature_extractor, self.codec.encoder.norm, self.codec.encoder.feature_proj):
                module.requires_grad_(False)
        self.to_teacher = nn.Linear(self.codec.config.encoder.dim, 384) if self.loss["content"] else None
        self.fine_mel = MelL1(n_fft=512, hop=160)
        self.to_mel = nn.Linear(self.codec.config.encoder.dim, 2 * 80) if self.loss["mel_head"] else None

    @property
    def others(self) -> dict[str, FocalCodec]:
        """The bottlenecks of [model] also, by preset."""
        return cast("dict[str, FocalCodec]", dict(self.also.items()))

    def prepare(self, corpus: Corpus) -> None:
        if self.loss["stem"] and not self.loss["initial"]:
            if self.whisper is None:
                raise BadCard(f"{self.card.path} [loss]: stem starts from Whisper; set loss.whisper, or loss.initial")
            crops = Crops(corpus, 30, 20480, self.card.run.seed, self.card.data.augmentation)
            waves = torch.from_numpy(np.concatenate([crops.draw(k).waves for k in range(8)]))
            start_as_whisper_stem(self.codec.encoder, waves, self.whisper)

    def groups(self) -> list[dict[str, Any]]:
        compressors = [self.codec.compressor, *(other.compressor for other in self.others.values())]
        return slower(self, ([self.codec.encoder, *compressors], self.loss["token_rate"]))

    def forward(self, wave: Tensor, progress: float, extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss, codec = self.loss, self.codec
        heard = extra.get("heard", wave)
        if self.mode == "encoder":
            assert self.whisper is not None
            losses, feats = encoder_losses(codec.encoder, self.whisper, wave, self.margin, heard)
            return {**losses, **self._mel_head(feats, wave)}
        with torch.set_grad_enabled("encoder" in self.trained and torch.is_grad_enabled()):
            feats = self._features(heard)
        # Decompressed features are to be those of the target, whatever the encoder heard of it.
        clean = feats.detach()
        if heard is not wave and loss["features"]:
            # Which items differ is asked on a CPU only: another device would have to be waited for.
            other = (heard != wave).any(1).nonzero()[:, 0] if wave.is_cpu else torch.arange(len(wave), device=wave.device)
            if len(other):
                with torch.no_grad():
                    clean = clean.index_copy(0, other, self._features(wave[other]).to(clean.dtype))
        if self.mode == "compressor":
            return self._quantization(feats, clean, wave)
        out: dict[str, Tensor] = {}
        decoded = feats
        if self.mode == "synthesis":
            decoded, spreads = self._passed(feats)
            if spreads:
                out["spread"] = loss["spread"] * torch.stack(spreads).sum()
            if loss["features"]:
                target = clean.float()
                out["qfeats"] = loss["features"] * F.mse_loss(decoded.float(), target) / target.var()
            out.update(self._content(decoded, wave))
            if loss["bypass"] and self.training:
                keep = torch.rand(len(wave), 1, 1, device=wave.device) >= loss["bypass"]
                decoded = torch.where(keep, decoded, feats)
        fake = codec.feats_to_sig(decoded.float())
        real = wave[:, : fake.shape[1]]
        if loss["mel"]:
            out["mel"] = loss["mel"] * self.mel(real, fake)
        return {**out, **self.wave_losses(real, fake, self.whisper), "real": real, "fake": fake}

    def _passed(self, feats: Tensor) -> tuple[Tensor, list[Tensor]]:
        """feats [B, T, C] through the bottleneck, or each item through that of its rate -> [B, T, C], and the `bit_spread` of
        each rate times its share of the batch, where a compressor is trained with that loss."""
        joint = "compressor" in self.trained
        counts = [len(feats) - sum(self.shares.values()), *self.shares.values()]
        decoded, spreads = [], []
        for codec, part in zip((self.codec, *self.others.values()), feats.split(counts), strict=True):
            with torch.set_grad_enabled(joint and torch.is_grad_enabled()):
                lats = codec.feats_to_lats(part)
            codes = codec.quantizer.straight_through(lats) if joint else codec.lats_to_codes(lats)
            decoded.append(codec.codes_to_qfeats(codes.float())[:, : feats.shape[1]])
            if joint and self.loss["spread"]:
                spreads.append(bit_spread(lats) * (len(part) / len(feats)))
        return torch.cat(decoded), spreads

    def _features(self, wave: Tensor) -> Tensor:
        """The encoder's features [B, T, C]; a frozen front end runs in full precision and without gradient."""
        if not self.loss["stem"]:
            return self.codec.sig_to_feats(wave)
        return stem_and_blocks(self.codec.encoder, wave)[1]

    def _quantization(self, feats: Tensor, clean: Tensor, wave: Tensor) -> dict[str, Tensor]:
        """Losses of compressor and decompressor, without a decoder: feats of what was heard, clean of the target [B, T, C]."""
        loss, codec = self.loss, self.codec
        lats = codec.feats_to_lats(feats)
        decoded = codec.codes_to_qfeats(codec.quantizer.straight_through(lats))[:, : feats.shape[1]]
        error = (decoded.float() - clean.float()).square()
        if loss["relative"]:
            spread = clean.float().var(dim=(0, 1))
            error = error / (spread + 0.1 * spread.mean())
        out = {"features": loss["features"] * error.mean()}
        if loss["entropy"]:
            out["entropy"] = loss["entropy"] * codec.quantizer.entropy_loss(lats.float())
        if loss["commitment"]:
            out["commitment"] = loss["commitment"] * F.mse_loss(lats.float(), codec.lats_to_codes(lats).float().detach())
        if loss["spread"]:
            out["spread"] = loss["spread"] * bit_spread(lats)
        return {**out, **self._content(decoded, wave), **self._mel_head(decoded, wave)}

    def _content(self, decoded: Tensor, wave: Tensor) -> dict[str, Tensor]:
        """What is said: a linear layer's guess of the teacher's last block from decompressed features [B, T, C]."""
        if self.to_teacher is None or self.whisper is None:
            return {}
        with torch.no_grad():
            last = taught(self.whisper, wave)[1][:, 0 if self.padded else 1 :]
        frames = min(decoded.shape[1], last.shape[1])
        guess = self.to_teacher(decoded[:, :frames]).float()
        return {"content": self.loss["content"] * F.l1_loss(guess, standardised(last[:, :frames]))}

    def _mel_head(self, feats: Tensor, wave: Tensor) -> dict[str, Tensor]:
        """L1 of a linear layer's guess of the two log-mel frames under each feature frame [B, T, C].

        What the features say of level, pitch and voice shows here without the noise of a synthesis in between.
        """
        if self.to_mel is None:
            return {}
        # Mel frame j is centred at sample 160 j + 80. Without padding frame t is centred at 320 t + 280; with it, the
        # decoder writes [320 t, 320 t + 320).
        distance = pair_distance(self.fine_mel, self.to_mel(feats), wave, first=0 if self.padded else 1)
        return {"mel_head": self.loss["mel_head"] * distance}

    def export(self) -> dict[str, Tensor]:
        tensors = dict(self.codec.state_dict())
        for name, other in self.others.items():
            tensors |= {f"{name}/{k}": v for k, v in other.state_dict().items()}
        return {k: v for k, v in tensors.items() if k.rpartition("/")[2].split(".")[0] in self.parts}

    def facts(self) -> dict[str, Any]:
        return {"tokens": len(self.seen)}

    def describe(self) -> dict[str, str]:
        return {"config": json.dumps(self.codec.config.to_dict())}

    @torch.no_grad()
    def reconstruct(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(wave, (0, -len(wave) % 320 + self.margin))
        tokens, _, out = self.codec(torch.from_numpy(padded)[None])
        self.seen.update(tokens.flatten().tolist())
        return out[0].numpy()[: len(wave)]


def start_local(embedding: nn.Embedding) -> None:
    """Start a relative position bias as a penalty on distance, steeper from head to head (ALiBi, arXiv 2108.12409).

    Short crops then do not teach a habit that long utterances break.
    """
    buckets, heads = embedding.weight.shape
    half = buckets // 2
    with torch.no_grad():
        distance = torch.arange(buckets) % half
        slopes = 2.0 ** (-torch.arange(heads) / heads * 4.0)
        embedding.weight.copy_(-0.2 * distance[:, None] * slopes)


def _bottleneck(name: str, overrides: Mapping[str, Any]) -> FocalCodec:
    """Compressor, quantizer and decompressor of a preset, without its encoder and decoder."""
    codec = FocalCodec.from_config(name, overrides)
    del codec.encoder, codec.decoder
    return codec


def load_parts(
    codec: FocalCodec, paths: str | Sequence[str], needed: set[str], anew: tuple[str, ...] = (), point: str = ""
) -> None:
    """Load what the file or the files hold into the codec, except parts that start `anew`; `needed` parts must be there in full.

    A part that several files hold is taken from the last of them. Of a file of several operating points, those tensors are
    taken that are `point`'s own (`point/` before their name) rather than the first point's.
    """
    from safetensors.torch import load_file

    paths = [paths] if isinstance(paths, str) else paths
    tensors: dict[str, Tensor] = {}
    for path in paths:
        found = {k: v.float() for k, v in _of_point(unpack(load_file(path)), point).items() if k.split(".")[0] not in anew}
        here = {k.split(".")[0] for k in found}
        tensors = {k: v for k, v in tensors.items() if k.split(".")[0] not in here} | found
    own = codec.state_dict()
    here = {k.split(".")[0] for k in own}
    tensors = {k: v for k, v in tensors.items() if k.split(".")[0] in here or k.split(".")[0] not in PARTS}
    misfit = [k for k, v in tensors.items() if k not in own or own[k].shape != v.shape]
    absent = [k for k in own if k not in tensors and k.split(".")[0] in needed]
    if absent or misfit:
        names = " and ".join(paths)
        raise BadCard(f"{names}: does not fit the recipe's model; missing {absent[:3]}, misshapen or unknown {misfit[:3]}")
    codec.load_state_dict(tensors, strict=False)


def _of_point(tensors: Mapping[str, Tensor], point: str) -> dict[str, Tensor]:
    """The tensors of one operating point, under their names in a codec."""
    shared = {k: v for k, v in tensors.items() if "/" not in k}
    own = {k.removeprefix(f"{point}/"): v for k, v in tensors.items() if k.startswith(f"{point}/")}
    parts = {k.split(".")[0] for k in own}
    return {k: v for k, v in shared.items() if k.split(".")[0] not in parts} | own
