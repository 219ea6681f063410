"""Official classes of codecs and ours with the same random weights, ours loaded as a user's files are.

Their packages lie in .bench/official (tools/official.txt tells the command), because their pins do not go together with ours.
"""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import adapters, cards
from bench.coding.codec import Codec
from bench.fetch import weights

FOLDER = Path(__file__).resolve().parents[2] / ".bench" / "official"
RATE_HZ = 16000


@dataclass
class Official:
    """`encode` takes a wave [T] and gives codes, one [N, K] per stream; `decode` takes what `encode` gave, and gives [T']."""

    network: torch.nn.Module
    encode: Callable[[Tensor], list[Tensor]]
    decode: Callable[[list[Tensor]], Tensor]


def pair(name: str, folder: Path) -> tuple[Codec, Official]:
    """Our codec and the official class, with the same weights. Skips by name where a package is not there."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    official = MAKERS[name](folder)
    point = cards.resolve(name)
    path = next((path for path in folder.iterdir() if path.suffix in (".pt", ".ckpt")), folder)
    return adapters.load(point, weights.resolve(point, path=path)), official


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs {name}: .venv/bin/pip install --no-deps --target .bench/official -r tools/official.txt")
    return Path(spec.origin).parent


def _speechtokenizer(folder: Path) -> Official:
    # Its __init__ imports the trainer, which needs packages that it does not name.
    package = types.ModuleType("speechtokenizer")
    package.__path__ = [str(_package("speechtokenizer"))]
    sys.modules["speechtokenizer"] = package
    from speechtokenizer.model import SpeechTokenizer

    torch.manual_seed(0)
    network = SpeechTokenizer({
        "n_filters": 64, "strides": [8, 5, 4, 2], "dimension": 1024, "semantic_dimension": 768, "bidirectional": True,
        "dilation_base": 2, "residual_kernel_size": 3, "n_residual_layers": 1, "lstm_layers": 2, "activation": "ELU",
        "codebook_size": 1024, "n_q": 8, "sample_rate": RATE_HZ,
    }).eval()  # fmt: skip
    books = [layer._codebook for layer in network.quantizer.vq.layers]
    _spread(network.encoder(_noise(RATE_HZ))[0].T, books, lambda book: book.embed, lambda book, x: book(x[None])[0][0])
    for book in books:
        book.inited.fill_(1)
    torch.save(network.state_dict(), folder / "SpeechTokenizer.pt")
    return Official(
        network,
        lambda wave: [network.encode(wave[None, None])[:, 0].T],
        lambda codes: network.decode(codes[0].T[:, None])[0, 0],
    )


def _bigcodec(folder: Path) -> Official:
    _package("bigcodec")
    from bigcodec import BigCodec

    torch.manual_seed(0)
    network = BigCodec(
        ngf=48, use_rnn=True, rnn_bidirectional=False, rnn_num_layers=2, up_ratios=(2, 2, 2, 5, 5), dilations=(1, 3, 9),
        out_channels=1024, codebook_size=8192, vq_num_quantizers=1, codebook_dim=8,
    ).eval()  # fmt: skip
    book = network.decoder.quantizer.layers[0]
    projected = torch.nn.functional.normalize(book.in_proj(network.encoder(_noise(RATE_HZ)).transpose(1, 2))[0], dim=-1)
    _spread(projected, [book._codebook], lambda one: one.weight)
    state = {_weight_norm(key): value for key, value in network.state_dict().items()}
    parts = {"CodecEnc": "encoder.", "generator": "decoder."}
    torch.save(
        {part: {key[8:]: value for key, value in state.items() if key.startswith(own)} for part, own in parts.items()},
        folder / "bigcodec.pt",
    )

    def encode(wave: Tensor) -> list[Tensor]:
        # As the authors' inference does: the end is padded to whole frames, by one more where they are whole.
        padded = torch.nn.functional.pad(wave, (0, 200 - len(wave) % 200))
        return [network.encode(padded[None, None]).reshape(1, -1).T]

    return Official(network, encode, lambda codes: network.decode(codes[0].T[:, None])[0, 0])


def _snac(folder: Path) -> Official:
    _package("snac")
    from snac import SNAC

    from bench.adapters.snac import NOISE_SEED, SPEECH, _spread

    torch.manual_seed(0)
    network = SNAC(**SPEECH).eval()
    _spread(network)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(SPEECH))

    def decode(codes: list[Tensor]) -> Tensor:
        torch.manual_seed(NOISE_SEED)
        return network.decode([stream.T for stream in codes])[0, 0]

    return Official(network, lambda wave: [stream.T for stream in network.encode(wave[None, None])], decode)


def _xcodec2(folder: Path) -> Official:
    """w2v-BERT is narrow here: both sides run the same class of transformers for it."""
    _package("xcodec2")
    import transformers

    semantic = transformers.Wav2Vec2BertConfig(num_hidden_layers=16, intermediate_size=16, conv_depthwise_kernel_size=3)
    torch.manual_seed(0)
    ours = transformers.Xcodec2Model(transformers.Xcodec2Config(semantic_model_config=semantic)).eval()
    fetched = pytest.MonkeyPatch()
    told = {**semantic.to_dict(), "output_hidden_states": True}
    heard = transformers.Wav2Vec2BertModel(transformers.Wav2Vec2BertConfig(**told)).eval()
    fetched.setattr(transformers.Wav2Vec2BertModel, "from_pretrained", lambda *_, **__: heard)
    fetched.setattr(
        transformers.AutoFeatureExtractor, "from_pretrained", lambda *_, **__: transformers.SeamlessM4TFeatureExtractor()
    )
    with fetched.context():
        from xcodec2.modeling_xcodec2 import BigCodecConfig, XCodec2Model

        network = XCodec2Model(BigCodecConfig()).eval()
    fetched.undo()
    state = dict(_as_transformers(network.state_dict().items()))
    rest = {key: value for key, value in ours.state_dict().items() if key not in state}
    heard.load_state_dict({key.removeprefix("semantic_encoder."): value for key, value in rest.items()})
    ours.load_state_dict({**state, **rest})
    layer = network.generator.quantizer.project_in
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    network.encode_code(_noise(RATE_HZ)[0])
    hook.remove()
    scalars = kept[0].reshape(-1, kept[0].shape[-1])  # an untrained network would round them all alike
    layer.weight /= scalars.std(0)[:, None]
    layer.bias.sub_(scalars.mean(0)).div_(scalars.std(0))
    ours.quantizer.project_in.load_state_dict(layer.state_dict())
    ours.save_pretrained(folder)
    return Official(
        network,
        lambda wave: [network.encode_code(wave[None])[0].T],
        lambda codes: network.decode_code(codes[0].T[None])[0, 0],
    )


def _as_transformers(state: Iterable[tuple[str, Tensor]]) -> Iterable[tuple[str, Tensor]]:
    """The tensors of the package's class, w2v-BERT left out, under the names of the class of transformers."""
    tensors = dict(state)
    for key, value in tensors.items():
        if key.endswith(("filter", "istft.window", "original0")) or key.startswith("semantic_model."):
            continue
        if key.endswith("original1"):
            direction, length = value, tensors[key[:-1] + "0"]
            value = direction * (length / torch.linalg.vector_norm(direction, dim=(1, 2), keepdim=True))
        name = key.replace("parametrizations.weight.original1", "weight").replace(".act.bias", ".act.beta")
        for old, new in XCODEC2_NAMES:
            name = re.sub(old, new, name)
        if not name.endswith("c_attn.weight"):
            yield name, value
            continue
        for part, rows in zip("qkv", value.chunk(3), strict=True):
            if part != "v":  # pairs that are turned together lie side by side there, half a head apart here
                rows = rows.unflatten(0, (16, 32, 2)).transpose(1, 2).flatten(0, 2)
            yield name.replace("c_attn", f"{part}_proj"), rows


XCODEC2_NAMES = (
    (r"^SemanticEncoder_module\.initial_conv", "semantic_adapter.conv1"),
    (r"^SemanticEncoder_module\.residual_blocks\.1", "semantic_adapter.conv2"),
    (r"^SemanticEncoder_module\.residual_blocks\.3", "semantic_adapter.conv3"),
    (r"^SemanticEncoder_module\.final_conv", "semantic_adapter.conv4"),
    (r"^CodecEnc\.conv_blocks\.0\.", "acoustic_encoder.conv1."),
    (r"^CodecEnc\.conv_final_block\.0\.", "acoustic_encoder.snake1."),
    (r"^CodecEnc\.conv_final_block\.1\.", "acoustic_encoder.conv2."),
    (r"^CodecEnc\.conv_blocks\.(\d)\.", lambda found: f"acoustic_encoder.block.{int(found[1]) - 1}."),
    (r"^(acoustic_encoder\.block\.\d)\.block\.([012])\.block\.", lambda found: f"{found[1]}.res_unit{int(found[2]) + 1}."),
    (r"(res_unit\d)\.0\.", r"\1.snake1."),
    (r"(res_unit\d)\.1\.", r"\1.conv1."),
    (r"(res_unit\d)\.2\.", r"\1.snake2."),
    (r"(res_unit\d)\.3\.", r"\1.conv2."),
    (r"^(acoustic_encoder\.block\.\d)\.block\.3\.", r"\1.snake1."),
    (r"^(acoustic_encoder\.block\.\d)\.block\.4\.", r"\1.conv1."),
    (r"^fc_prior", "fc_encoder"),
    (r"^fc_post_a", "acoustic_decoder.fc"),
    (r"^generator\.quantizer", "quantizer"),
    (r"^generator\.head\.out", "acoustic_decoder.head.linear"),
    (r"^generator\.backbone\.final_layer_norm", "acoustic_decoder.norm"),
    (r"^generator\.backbone\.transformers", "acoustic_decoder.layers"),
    (r"^generator\.backbone\.", "acoustic_decoder."),
    (r"\.att_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
    (r"\.att\.c_proj", ".self_attn.o_proj"),
    (r"\.att\.c_attn", ".self_attn.c_attn"),
)  # fmt: skip


def _noise(rate_hz: int) -> Tensor:
    return 0.1 * torch.randn(1, 1, rate_hz)


def _spread(
    residual: Tensor, books: Any, table: Callable[[Any], Tensor], chosen: Callable[[Any, Tensor], Tensor] | None = None
) -> None:
    """Tables around the vectors [M, D] that come to each book, whose codes would otherwise be all the same."""
    for book in books:
        entries = table(book)
        entries.copy_(residual.mean(0) + residual.std(0) * torch.randn_like(entries))
        if chosen is not None:
            residual = residual - chosen(book, residual)


def _weight_norm(name: str) -> str:
    name = name.replace(".parametrizations.weight.original0", ".weight_g")
    return name.replace(".parametrizations.weight.original1", ".weight_v")


MAKERS: dict[str, Callable[[Path], Official]] = {
    "speechtokenizer@4": _speechtokenizer, "bigcodec": _bigcodec, "snac": _snac, "xcodec2": _xcodec2,
}  # fmt: skip
