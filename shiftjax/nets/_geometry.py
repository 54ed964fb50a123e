"""Sizes, crops and the period of an encoder-decoder along one axis, in exact integers.

All operators start at the first pixel, and everything cut off for the period is cut off at the end. So the place of an
output pixel in the input does not depend on the input's size, and neither does the crop that aligns a skip connection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


class IllegalSizeError(ValueError):
    """An input size that the pooling levels do not divide.

    Attributes:
        legal: per axis the nearest `(input, output, offset)`, as `UNet.legal_sizes` gives them.
    """

    def __init__(self, message: str, legal: tuple[tuple[tuple[int, int, int], ...], ...] = ()):
        super().__init__(message)
        self.legal = legal


@dataclass(frozen=True)
class Walk:
    """What happens to one axis of a given size: `keep[i]` pixels enter the decoder pass of level i."""

    keep: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class AxisGeometry:
    """One axis of an encoder-decoder.

    `encoder`, `decoder` and `head` are the pixels that a pass of convolutions takes off an axis (0 with same padding),
    `*_left` the part of them in front of the first output pixel. `crop` is None, "top" or "every".
    """

    factors: tuple[int, ...]
    encoder: int
    decoder: int
    head: int
    encoder_left: int
    decoder_left: int
    crop: str | None

    @property
    def period(self) -> int:
        """Product of the factors: the smallest shift, in pixels, that the levels let through."""
        return math.prod(self.factors)

    @property
    def loss(self) -> int:
        """Input size minus native output size, before any crop to the period."""
        lost = self.encoder
        for factor in reversed(self.factors):
            lost = self.encoder + factor * lost + self.decoder
        return lost + self.head

    @property
    def offset(self) -> int:
        """The input pixel at the centre of the first output pixel's place: half of what is lost, rounded down.

        Odd kernels put it where `skip_start` and same padding do; even ones have no pixel at their centre, and there
        this is the centre of the whole receptive field.
        """
        return self.loss // 2

    def skip_start(self, level: int) -> int:
        """First pixel of the skip connection that belongs to the first upsampled pixel of `level`.

        Alignment is by coordinate: a convolution of width k has (k - 1) // 2 pixels in front of its output pixel.
        """
        deeper = self.encoder_left
        for below in range(len(self.factors) - 1, level, -1):
            deeper = self.encoder_left + self.factors[below] * deeper + self.decoder_left
        return self.factors[level] * deeper

    def walk(self, size: int) -> Walk:
        """Follows an axis of `size` input pixels through the net; raises IllegalSizeError where it cannot pass."""
        for level, factor in enumerate(self.factors):
            size = self._convolved(size, f"level {level}")
            if size % factor:
                raise IllegalSizeError(f"level {level} would pool {size} px by {factor}")
            size //= factor
        size = self._convolved(size, "the bottom")
        keep = []
        for level in reversed(range(len(self.factors))):
            size *= self.factors[level]
            lost = self.decoder + (self.head if level == 0 else 0)
            unit = self._crop_unit(level)
            output = (size - lost) // unit * unit
            if output < 1:
                raise IllegalSizeError(f"level {level} would keep {size - lost} px of output, fewer than {unit}")
            keep.append(output + lost)
            size = output + (self.head if level == 0 else 0)
        return Walk(tuple(reversed(keep)), self._headed(size))

    def _convolved(self, size: int, where: str) -> int:
        if size <= self.encoder:
            raise IllegalSizeError(f"{where} would convolve {size} px, fewer than {self.encoder + 1}")
        return size - self.encoder

    def _headed(self, size: int) -> int:
        if size <= self.head:
            raise IllegalSizeError(f"the head would convolve {size} px, fewer than {self.head + 1}")
        return size - self.head

    def _crop_unit(self, level: int) -> int:
        if self.crop == "every" or (self.crop == "top" and level == 0):
            return math.prod(self.factors[level:])
        return 1

    def _smallest(self) -> int:
        """The smallest legal input size; with it, the legal sizes are one residue class modulo the period."""
        size = self.encoder + 1
        for factor in reversed(self.factors):
            size = size * factor + self.encoder
        while True:
            try:
                self.walk(size)
            except IllegalSizeError:
                size += self.period
            else:
                return size

    def legal(self, wish: int) -> tuple[tuple[int, int, int], ...]:
        """The legal `(input, output, offset)` around `wish` input pixels: one below, the wish itself, one above."""
        smallest = self._smallest()
        steps = (wish - smallest) // self.period
        exact = wish == smallest + steps * self.period
        near = [steps - 1, steps, steps + 1] if exact else [steps, steps + 1]
        sizes = sorted({smallest + max(0, n) * self.period for n in near})
        return tuple((size, self.walk(size).output, self.offset) for size in sizes)
