"""Chunk-by-chunk operation of causal convolutional networks: the same numbers as over the whole signal.

`stream(layer)` wraps a layer; `step(x, last)` takes the next steps of time [B, C, n] or [B, C, F, n] (n may be 0) and
returns those outputs that no later input can change; `last` closes the signal. A reflection at the start needs as many
steps as it mirrors, so the first outputs wait for them.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks.padded_conv import PaddedConv, PaddedConvTranspose, end_padding, reflect_pad


class Step(Protocol):
    """A layer with memory."""

    def step(self, x: Tensor, last: bool) -> Tensor:
        """x [B, C, n], the next frames -> what is complete, [B, C', m]. last: nothing follows, give the rest too."""


class NotStreamable(ValueError):
    """A layer that needs the whole signal."""


def check_norm(norm: nn.Module) -> None:
    """Raises NotStreamable for a norm over time."""
    if not isinstance(norm, nn.Identity):
        raise NotStreamable(f"{type(norm).__name__} over time needs the whole signal; use weight_norm or none")


class Pointwise:
    """A layer that sees one step of time at a time."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def step(self, x: Tensor, last: bool) -> Tensor:
        """x [B, C, n] -> [B, C', n]."""
        return self.layer(x)


class ConvStream:
    """A causal `PaddedConv`."""

    def __init__(self, layer: PaddedConv) -> None:
        check_norm(layer.conv.norm)
        if not layer.causal:
            raise NotStreamable("a convolution that looks ahead cannot stream; build the network with causal=True")
        self.layer = layer
        self.held: Tensor | None = None
        self.count = 0
        self.started = False

    def step(self, x: Tensor, last: bool) -> Tensor:
        """x [B, C, n] -> [B, C', m]; what the kernel still needs is held."""
        layer, total, stride = self.layer, self.layer.total[-1], self.layer.stride[-1]
        x = F.elu(x) if layer.elu else x
        held = x if self.held is None else torch.cat([self.held, x], dim=-1)
        self.count += x.shape[-1]
        if not self.started:
            if last and held.shape[-1]:
                return layer.conv(reflect_pad(held, layer.pads(held.shape[-1])))
            if held.shape[-1] <= total:
                self.held = held
                return self._none(x)
            self.started = True
            held = reflect_pad(held, self._time(total, 0))
        if last:
            held = reflect_pad(held, self._time(0, end_padding(self.count, layer.kernel[-1], stride, total)))
        span = total + stride  # steps under the dilated kernel
        frames = (held.shape[-1] - span) // stride + 1
        if frames < 1:
            self.held = held
            return self._none(x)
        used = held[..., : (frames - 1) * stride + span]
        self.held = held[..., frames * stride :]
        freq = layer.pads(1)[:-1]
        return layer.conv(reflect_pad(used, [*freq, (0, 0)]) if freq else used)

    def _time(self, before: int, after: int) -> list[tuple[int, int]]:
        return [(0, 0)] * (len(self.layer.kernel) - 1) + [(before, after)]

    def _none(self, x: Tensor) -> Tensor:
        """No output yet, with the channels and bins the output will have."""
        conv = self.layer.conv.conv
        assert isinstance(conv, nn.Conv1d | nn.Conv2d)
        shape = [x.shape[0], conv.out_channels]
        for size, pad, kernel, stride in zip(
            x.shape[2:-1], self.layer.pads(1)[:-1], self.layer.kernel, self.layer.stride, strict=False
        ):
            shape.append((size + sum(pad) - kernel) // stride + 1)
        return x.new_zeros([*shape, 0])


class ConvTransposeStream:
    """A causal `PaddedConvTranspose`: what spills over the chunk's end is added to the next chunk."""

    def __init__(self, layer: PaddedConvTranspose) -> None:
        check_norm(layer.convtr.norm)
        if not layer.causal or layer.trims[-1][0]:
            raise NotStreamable("a transposed convolution that is trimmed at its start cannot stream")
        self.layer = layer
        self.tail: Tensor | None = None

    def step(self, x: Tensor, last: bool) -> Tensor:
        """x [B, C, n] -> [B, C', m]; samples that later frames add to are held."""
        layer = self.layer
        conv = layer.convtr.convtr
        assert isinstance(conv, nn.ConvTranspose1d | nn.ConvTranspose2d)
        stride, steps = layer.stride[-1], x.shape[-1]
        assert conv.bias is not None
        bias = conv.bias.reshape(1, -1, *(1,) * (x.ndim - 2))
        # A step of zeros stands in for an empty chunk, so that the output has its shape.
        out = conv(x if steps else F.pad(x, (0, 1))) - bias
        if self.tail is not None and steps:
            overlap = self.tail.shape[-1]
            out = torch.cat([out[..., :overlap] + self.tail, out[..., overlap:]], dim=-1)
        if steps:
            self.tail = out[..., steps * stride :]
        out = out[..., : steps * stride] + bias
        for axis, (left, right) in zip(range(-len(layer.trims), -1), layer.trims[:-1], strict=True):
            out = out.narrow(axis, left, out.shape[axis] - left - right)
        return out


class Chain:
    """Layers one after the other."""

    def __init__(self, layers: list[Step]) -> None:
        self.layers = layers

    def step(self, x: Tensor, last: bool) -> Tensor:
        """x through every layer in turn."""
        for layer in self.layers:
            x = layer.step(x, last)
        return x


class Sum:
    """Branches that are added: each may lag differently, the sum goes as far as the slowest."""

    def __init__(self, branches: list[Step]) -> None:
        self.branches = branches
        self.held: list[Tensor | None] = [None] * len(branches)

    def step(self, x: Tensor, last: bool) -> Tensor:
        """The sum of the branches, as far as all have it."""
        ready = []
        for index, branch in enumerate(self.branches):
            out, before = branch.step(x, last), self.held[index]
            ready.append(out if before is None else torch.cat([before, out], dim=-1))
        length = min(out.shape[-1] for out in ready)
        self.held = [out[..., length:] for out in ready]
        total = ready[0][..., :length]
        for out in ready[1:]:
            total = total + out[..., :length]
        return total
