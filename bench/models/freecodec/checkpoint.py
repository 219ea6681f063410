"""FreeCodec networks as files: safetensors with the configuration as JSON under the metadata key "config"."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bench.models.blocks.int8 import unpack
from bench.models.blocks.vq import Codebook

from .config import FreeCodecConfig, version
from .model import FreeCodec

# needed to go on training, not to encode or decode
_TRAINING_PARTS = ("teacher_head.",)
_TRAINING_BUFFERS = (".embed_avg", ".cluster_size", ".inited")


def _for_training(key: str) -> bool:
    return key.startswith(_TRAINING_PARTS) or key.endswith(_TRAINING_BUFFERS)


def save(model: FreeCodec, path: Path, half: bool = True, facts: dict[str, str] | None = None) -> None:
    """Write what encoding and decoding need. half: as float16. facts: further metadata, e.g. how it was trained."""
    from safetensors.torch import save_file

    tensors = {
        key: (value.half() if half and value.is_floating_point() else value).contiguous()
        for key, value in model.state_dict().items()
        if not _for_training(key)
    }
    config = json.dumps(model.config.to_dict(), sort_keys=True)
    save_file(tensors, str(path), metadata={**(facts or {}), "config": config})


def load(path: Path, train: bool = False) -> FreeCodec:
    """Read a file of `save` as a float32 network, frozen (see `freeze`) unless it is to be trained on.

    What only training needs is not in the file: the teacher's head starts anew, the codebooks' averages at the codes.
    Raises ValueError if the file is damaged or names no configuration, or if its tensors do not fit it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = unpack({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or cut short: {error}") from error
    if "config" not in metadata:
        raise ValueError(f"{path}: no FreeCodec configuration in the file's metadata")
    model = FreeCodec(FreeCodecConfig.from_dict(json.loads(metadata["config"])))
    values = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    expected = model.state_dict()
    missing = [key for key in expected if key not in values and not _for_training(key)]
    unknown = [key for key in values if key not in expected]
    if missing or unknown:
        raise ValueError(f"{path}: missing tensors {missing[:5]}, unknown tensors {unknown[:5]}")
    for key, value in values.items():
        if value.shape != expected[key].shape:
            raise ValueError(f"{path}: {key} has shape {tuple(value.shape)}, not {tuple(expected[key].shape)}")
    model.load_state_dict(values, strict=False)
    for module in model.modules():
        if isinstance(module, Codebook):
            module.embed_avg.copy_(module.embed * module.cluster_size[:, None])
            module.inited.fill_(1.0)
    return model.train() if train else freeze(model)


def freeze(model: FreeCodec) -> FreeCodec:
    """Evaluation mode with weight normalisation folded into plain weights; the network computes the same, faster."""
    model.eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.Conv1d) and parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return model


def as_version(model: FreeCodec, name: str) -> FreeCodec:
    """A copy of `model` as v1, v2 or v3, with all weights it shares with that version.

    v2 trained with `quantize_speaker` switched at random gives v1 this way, and v1 is where v3 starts from. Speaker
    codebooks that `model` lacks start by k-means at their first training batch. Raises ValueError for a frozen model.
    """
    copy = FreeCodec(version(model.config, name))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("a frozen FreeCodec cannot become another version; load it with train=True")
    own = copy.state_dict()
    copy.load_state_dict({key: value for key, value in model.state_dict().items() if key in own}, strict=False)
    return copy.train(model.training)


def without_speaker_books(model: FreeCodec) -> FreeCodec:
    """v1 of a v2: the same network, and the speaker vector is sent as it is. Takes `model` over."""
    model.config = version(model.config, "v1")
    model.speaker_books = None
    return model


def random_model(config: FreeCodecConfig, seed: int) -> FreeCodec:
    """A network with random weights whose codes vary: for tests, never for results."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FreeCodec(config).eval()
        wave = 0.1 * torch.randn(2, 4 * config.sample_rate)
        with torch.no_grad():
            model.content_book.fit(_spread(model.content_encoder, wave))
            model.prosody_book.fit(_spread(model.prosody_encoder, wave))
            if model.speaker_books is not None:
                for book in model.speaker_books.modules():
                    if isinstance(book, Codebook):
                        book.embed.copy_(0.15 * torch.rand(book.size, book.dim))
    return freeze(model)


def _spread(encoder: nn.Module, wave: Tensor) -> Tensor:
    # random encoders say nearly the same of every frame; their last layer is rescaled to mean 0, variance 1 over frames
    last = [module for module in encoder.modules() if isinstance(module, nn.Conv1d | nn.Linear)][-1]
    latent = encoder(wave).flatten(0, 1)
    mean, std = latent.mean(0), latent.std(0).clamp(min=1e-12)
    last.weight.div_(std.reshape(-1, *[1] * (last.weight.dim() - 1)))
    assert last.bias is not None
    last.bias.sub_(mean).div_(std)
    return encoder(wave)
