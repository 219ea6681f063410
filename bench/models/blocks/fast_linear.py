"""Linear layers, and the convolutions that are linear layers in disguise, at the speed the processor allows.

Everything is time-major, [B, T, C]: no transposes around norms and activations. For inference in float32 on a CPU the
product goes to oneDNN, which is 15 to 25 % faster than the default there, and with AVX-512 up to twice as fast on a few rows
once the weights are packed (see :func:`pack`; with AVX2 that gains nothing). Training, other devices, other types and
torch.compile take the plain path. :func:`store` keeps weights in fewer bits instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .stored import PRECISIONS, Stored

# Smallest weight, in values, that goes to oneDNN: it compiles a kernel for every new shape, which small ones never repay.
SMALLEST = 2**15
# Values of a patch matrix made at a time: long signals go in blocks that stay near the processor.
PATCH_VALUES = 2**22
# Channels of a long depthwise convolution made at a time: their products stay near the processor.
CHANNELS = 128
# Most frames of a grouped convolution that are made by products over patches.
FEW = 32


def _onednn_works() -> bool:
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    x, w = torch.ones(2, 3), torch.ones(4, 3)
    try:
        with torch.no_grad():
            return torch.equal(torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], ""), x @ w.t())
    except (RuntimeError, TypeError):
        return False


ONEDNN = _onednn_works()


def _count_flops() -> None:
    """Tell torch's operator counter what a oneDNN product costs; it knows the default one only."""
    from torch.utils.flop_counter import register_flop_formula

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _(x: torch.Size, weight: torch.Size, *args: object, out_shape: torch.Size, **kwargs: object) -> int:
        return 2 * out_shape.numel() * x[-1]


if ONEDNN:
    _count_flops()


PACKING = ONEDNN and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
"""Whether packed weights gain anything: decided by the processor, not by the clock, so that a machine always rounds alike."""


def plain_inference(x: Tensor) -> bool:
    """Whether x is float32 on a CPU and no gradient is wanted."""
    return x.is_cpu and x.dtype == torch.float32 and not torch.is_grad_enabled()


def gelu(x: Tensor) -> Tensor:
    """GELU of x, which nothing else uses: in its place where no gradient is wanted."""
    return torch.ops.aten.gelu_(x) if plain_inference(x) else F.gelu(x)


def _to_onednn(x: Tensor) -> bool:
    # torch.compile chooses products of its own, and cannot look into packed weights.
    return ONEDNN and plain_inference(x) and not torch.compiler.is_compiling()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [..., in], weight [out, in] or packed -> [..., out]."""
    if _to_onednn(x) and x.numel() and _large(weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


_making: str | None = None
"""The precision that layers are brought to as soon as their weights are drawn."""


@contextmanager
def storing(precision: str | None) -> Iterator[None]:
    """Layers made in this context are kept in `precision` from their first moment (None: in float32), with the weights that
    they draw outside: a network of random weights never fills the memory of float32."""
    global _making
    before, _making = _making, precision
    try:
        yield
    finally:
        _making = before


class _Packable(nn.Module, ABC):
    """A layer that is one matrix product, whose matrix can be kept packed, or stored in fewer bits."""

    packed: Tensor | None = None
    stored: tuple[Stored, ...] = ()
    weight: Tensor

    @abstractmethod
    def matrix(self) -> Tensor:
        """The weight as [out, in]."""

    def matrices(self) -> tuple[Tensor, ...]:
        """What `store` keeps: the matrix, or one for each group."""
        return (self.matrix(),)

    def reset_parameters(self) -> None:
        """Draw the weights, as the last thing that making a layer of torch does."""
        super().reset_parameters()  # type: ignore[misc]
        if _making:
            self.store(_making)

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x [..., in] -> [..., out]."""
        if self.stored:
            return self.stored[0](x, bias)
        return linear(x, self.ready(x), bias)

    def ready(self, x: Tensor) -> Tensor:
        """The weight for a product with x: packed where that is allowed."""
        return self.packed if self.packed is not None and _to_onednn(x) else self.matrix()

    def pack(self) -> None:
        """Keep a packed copy of the weight where that pays; dropped as soon as the layer is moved, loaded or trained."""
        weight = None if self.stored or not PACKING else self.matrix()
        if weight is not None and _large(weight) and weight.is_cpu and weight.dtype == torch.float32:
            with torch.no_grad():
                self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)

    def store(self, precision: str) -> None:
        """Keep the weight in `precision` alone, from now on: the layer can be used and moved, not trained or saved."""
        if self.weight is not None and _large(self.weight):
            with torch.no_grad():
                self.stored = tuple(PRECISIONS[precision].of(matrix.detach()) for matrix in self.matrices())
            self.packed = self.weight = None  # type: ignore[assignment]

    def train(self, mode: bool = True) -> _Packable:
        if mode:
            self.packed = None
        if mode and self.stored:
            raise ValueError("a network with stored weights cannot be trained; load it in float32")
        return super().train(mode)

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        self.packed = None
        self.stored = tuple(one.applied(fn) for one in self.stored)
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        self.packed = None
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict:
        # The packed form can neither be copied nor pickled, and is only a copy.
        return {**self.__dict__, "packed": None}


def _large(weight: Tensor) -> bool:
    return weight.numel() >= SMALLEST


class Linear(_Packable, nn.Linear):
    """nn.Linear through :func:`linear`."""

    def matrix(self) -> Tensor:
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        return self.product(x, self.bias)


class PatchConv1d(_Packable, nn.Conv1d):
    """Convolution (one group, no padding) of time-major signals, as a linear layer over patches of frames."""

    def matrix(self) -> Tensor:
        return self.weight.permute(0, 2, 1).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, (T - kernel) // stride + 1, C']."""
        [kernel], [stride] = self.kernel_size, self.stride
        frames = (x.shape[1] - kernel) // stride + 1
        rows = max(1, PATCH_VALUES // (x.shape[0] * kernel * x.shape[2]))
        blocks = []
        for first in range(0, frames, rows):
            count = min(rows, frames - first)
            part = x[:, first * stride : (first + count - 1) * stride + kernel]
            patches = part.unfold(1, kernel, stride).transpose(2, 3).reshape(x.shape[0], count, -1)
            blocks.append(self.product(patches, self.bias))
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)


class PatchTranspose1d(_Packable, nn.ConvTranspose1d):
    """Transposed convolution with kernel = stride of time-major signals: one linear layer, its output unfolded."""

    def matrix(self) -> Tensor:
        return self.weight.permute(2, 1, 0).flatten(0, 1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """x [B, T, C] -> [B, T * stride, C']."""
        [stride] = self.stride
        bias = self.bias if self.bias is None or stride == 1 else self.bias.repeat(stride)
        return self.product(x, bias).reshape(x.shape[0], x.shape[1] * stride, -1)


def depthwise(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """Depthwise convolution without padding, time-major: x [B, T, C] -> [B, T - kernel + 1, C].

    Short kernels are a sum of shifted products, four to five times as fast as a convolution of such shape.
    """
    [kernel] = conv.kernel_size
    if not plain_inference(x) or kernel > 32:
        return conv(x.transpose(1, 2)).transpose(1, 2)
    frames = x.shape[1] - kernel + 1
    weight = conv.weight[:, 0].t().contiguous()
    out = x[:, :frames] * weight[0]
    for i in range(1, kernel):
        out.addcmul_(x[:, i : i + frames], weight[i])
    return out if conv.bias is None else out.add_(conv.bias)


def long_depthwise(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """Depthwise convolution with a long kernel, channel-major: x [B, C, T] -> [B, C, T - kernel + 1]."""
    [kernel] = conv.kernel_size
    frames = x.shape[-1] - kernel + 1
    if not plain_inference(x) or frames > 8:
        return conv(x)
    weight = conv.weight[:, 0]
    y = x.new_empty(*x.shape[:2], frames)
    products = x.new_empty(x.shape[0], min(CHANNELS, x.shape[1]), kernel)
    for first in range(0, x.shape[1], CHANNELS):
        of = slice(first, first + CHANNELS)
        part = products[:, : len(weight[of])]
        for i in range(frames):
            y[:, of, i] = torch.mul(x[:, of, i : i + kernel], weight[of], out=part).sum(-1)
    return y if conv.bias is None else y + conv.bias[:, None]


class GroupedConv1d(_Packable, nn.Conv1d):
    """Grouped convolution of stride 1 without padding, of time-major signals.

    For a few frames it is one product a group over their patches: a convolution would rearrange all weights first,
    which takes twenty times as long as using them.
    """

    def matrix(self) -> Tensor:
        """[groups * out, in]: every group's rows."""
        return self.weight.flatten(1)

    def matrices(self) -> tuple[Tensor, ...]:
        """[out, in] of each group."""
        return self.matrix().chunk(self.groups)

    def pack(self) -> None:
        """Nothing: a product a group reads the weight as it lies."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T - kernel + 1, C']."""
        [kernel] = self.kernel_size
        batch, frames = x.shape[0], x.shape[1] - kernel + 1
        if not self.stored and (not plain_inference(x) or batch * frames > FEW):
            return nn.Conv1d.forward(self, x.transpose(1, 2)).transpose(1, 2)
        rows = max(1, FEW // batch)
        blocks = [self._block(x[:, first : first + rows + kernel - 1]) for first in range(0, frames, rows)]
        y = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)
        return y if self.bias is None else y + self.bias

    def _block(self, x: Tensor) -> Tensor:
        """The same of few frames, without bias."""
        [kernel] = self.kernel_size
        batch, frames = x.shape[0], x.shape[1] - kernel + 1
        # Channel-major first: the patches are then copied run by run.
        x = x.transpose(1, 2).contiguous().unflatten(1, (self.groups, -1))
        patches = x.unfold(-1, kernel, 1).permute(1, 0, 3, 2, 4).reshape(self.groups, batch * frames, -1)
        if self.stored:
            y = torch.stack([one(part, None) for one, part in zip(self.stored, patches, strict=True)])
        else:
            y = torch.bmm(patches, self.weight.view(self.groups, self.out_channels // self.groups, -1).transpose(1, 2))
        return y.transpose(0, 1).reshape(batch, frames, -1)


def layers_of(module: nn.Module) -> Iterator[_Packable]:
    """All packable layers of a module."""
    return (layer for layer in module.modules() if isinstance(layer, _Packable))


def pack(module: nn.Module) -> None:
    """Pack the weights of every layer that can be: faster on a few rows, for as much memory again."""
    for layer in layers_of(module):
        layer.pack()


def store(module: nn.Module, precision: str) -> None:
    """Keep the weights of every layer that is large enough in one of `stored.PRECISIONS`, and drop them in float32."""
    for layer in layers_of(module):
        layer.store(precision)


def unpack(module: nn.Module) -> None:
    """Drop the packed copies."""
    for layer in layers_of(module):
        layer.packed = None


@contextmanager
def plain() -> Iterator[None]:
    """Within this context every product takes the plain path; for tests and comparisons."""
    global ONEDNN
    before, ONEDNN = ONEDNN, False
    try:
        yield
    finally:
        ONEDNN = before
