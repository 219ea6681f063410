"""Products with a matrix that is kept in fewer bits than float32: as little memory to read as it fills.

A product of a few rows takes as long as its matrix takes to come from memory. The matrix W [out, in] of a layer is therefore
kept in one of the PRECISIONS; what goes in and comes out is float32.

fp16: IEEE half precision with one power of two per row, sums in float32. |kept - W| is at most half a step of float16: the
largest value of a row is brought to 0.5 .. 1, since below 6e-5 float16 loses bits (mel filters are that small).
int8: whole numbers in -127 .. 127 with one scale per row, so that |kept - W| is at most half a scale. Each row of the input is
brought to whole numbers in -7938 .. 7938 by its own largest value and split into two parts in -63 .. 63, whose products with W
are sums of whole numbers: exact, alike on every processor (a byte times a byte, twice, fits the 16 bits that AVX2 adds up
in), and the same for a row alone as among others. The input keeps 13 bits and a sign: a fiftieth of what the weights lose.

On x86 CPUs the products are FBGEMM's, which come with torch; elsewhere the matrix is made float32 for each product.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.models.blocks import int8

FBGEMM = "fbgemm" in torch.backends.quantized.supported_engines and all(
    hasattr(torch.ops.quantized, name) for name in ("linear_dynamic_fp16", "linear_with_input_q_dq_qweight_dq_output_fp32")
)
PART = 63
"""Largest value of a part of an int8 product's input."""
STEPS = PART * 2 * PART
"""Whole numbers on either side of 0 that two parts make."""
ROWS = 256
"""Most rows of a product at a time: they do not see each other, and what is made of each fills several times its memory."""


class Stored(ABC):
    """A matrix [out, in] in fewer bits. `values` are its tensors; on an x86 CPU FBGEMM's form of them is kept instead."""

    def __init__(self, *values: Tensor) -> None:
        self.packed: Any = None
        self.values: tuple[Tensor, ...] = values
        self.rows = len(values[0])
        if FBGEMM and values[0].device.type == "cpu":
            self.packed, self.values = self._pack(*values), ()

    @classmethod
    @abstractmethod
    def of(cls, matrix: Tensor) -> Stored:
        """The nearest to matrix [out, in], float32."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """What is kept, as float32 [out, in]."""

    @abstractmethod
    def product(self, x: Tensor) -> Tensor:
        """x [rows, in], float32 -> [rows, out], by FBGEMM."""

    @abstractmethod
    def unpacked(self) -> tuple[Tensor, ...]:
        """The tensors that were given."""

    @staticmethod
    @abstractmethod
    def _pack(*values: Tensor) -> Any:
        """FBGEMM's form of the tensors."""

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x [..., in], float32 -> [..., out]."""
        if self.packed is None:
            return F.linear(x, self.matrix(), bias)
        if not x.numel():
            return x.new_zeros(*x.shape[:-1], self.rows)
        rows = x.reshape(-1, x.shape[-1])
        y = torch.cat([self.product(part) for part in rows.split(ROWS)]) if len(rows) > ROWS else self.product(rows)
        y = y.view(*x.shape[:-1], self.rows)
        return y if bias is None else y.add_(bias)

    def applied(self, change: Callable[[Tensor], Tensor]) -> Stored:
        """The same on another device: `change` moves a tensor."""
        return type(self)(*map(change, self.unpacked()))


class Float16(Stored):
    """See the module: fp16."""

    @classmethod
    def of(cls, matrix: Tensor) -> Float16:
        """The nearest of float16 times a power of two for each row."""
        scale = torch.ldexp(matrix.new_ones(len(matrix)), torch.frexp(matrix.abs().amax(dim=1)).exponent)
        return cls((matrix / scale[:, None]).half(), scale)

    @staticmethod
    def _pack(*values: Tensor) -> Any:
        return torch.ops.quantized.linear_prepack_fp16(values[0].float().contiguous(), None), values[1]

    def unpacked(self) -> tuple[Tensor, ...]:
        """float16 [out, in], float32 [out]."""
        return self.values or (torch.ops.quantized.linear_unpack_fp16(self.packed[0])[0].half(), self.packed[1])

    def matrix(self) -> Tensor:
        """float32 [out, in]."""
        kept, scale = self.unpacked()
        return kept.float() * scale[:, None]

    def product(self, x: Tensor) -> Tensor:
        """x [rows, in] -> [rows, out]."""
        packed, scale = self.packed
        made: Tensor = torch.ops.quantized.linear_dynamic_fp16(x.contiguous(), packed)
        return made.mul_(scale)


class Int8(Stored):
    """See the module: int8."""

    @classmethod
    def of(cls, matrix: Tensor) -> Int8:
        """Whole numbers and the scale of each row."""
        return cls(*int8.of_rows(matrix))

    @staticmethod
    def _pack(*values: Tensor) -> Any:
        whole, scale = values
        zero = torch.zeros(len(scale), dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch deprecates tensors of this kind, not the products
            made = torch._make_per_channel_quantized_tensor(whole.contiguous(), scale.double(), zero, 0)
        return torch.ops.quantized.linear_prepack(made, None)

    def unpacked(self) -> tuple[Tensor, ...]:
        """int8 [out, in], float32 [out]."""
        if self.values:
            return self.values
        made = torch.ops.quantized.linear_unpack(self.packed)[0]
        return made.int_repr(), made.q_per_channel_scales().float()

    def matrix(self) -> Tensor:
        """float32 [out, in]."""
        whole, scale = self.unpacked()
        return whole.float() * scale[:, None]

    def product(self, x: Tensor) -> Tensor:
        """x [rows, in] -> [rows, out]."""
        step = x.abs().amax(-1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny * STEPS).div_(STEPS)
        whole = (x / step).round_()
        high = (whole / (2 * PART)).round_()
        parts = torch.cat([high, whole.sub_(high, alpha=2 * PART)])
        # Scale 1 and zero point 64: the whole numbers as they are, as unsigned bytes of 1 .. 127.
        y = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(parts, 1.0, PART + 1, self.packed)
        high, low = y.split(len(x))
        return low.add_(high, alpha=2 * PART).mul_(step)


def give_back() -> None:
    """Give back memory that the C library keeps for later: after large matrices have been made small, as much as those were.
    On Linux with glibc; elsewhere nothing is kept."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


PRECISIONS: dict[str, type[Stored]] = {"fp16": Float16, "int8": Int8}
