"""Sizes, crops and the period of an encoder-decoder along one axis, in exact integers.

All operators start at the first pixel, and everything cut off for the period is cut off at the end. So where an output
pixel lies in the input does not depend on the input's size, and neither does the crop that aligns a skip connection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


class IllegalSizeError(ValueError):
    """An input size that the pooling levels do not divide, or that is too small.

    Attributes:
        legal: per axis the nearest `(input, output, offset)`, as `UNet.legal_sizes` gives them.
    """

    def __init__(self, message: str, legal: tuple[tuple[tuple[int, int, int], ...], ...] = ()):
        super().__init__(message)
        self.legal = legal


@dataclass(frozen=True)
class Walk:
    """What becomes of an axis of a given size on its way through the net.

    Attributes:
        keep: per level, the pixels that enter its decoder pass, of the skip connection and of what is upsampled.
        output: output pixels.
    """

    keep: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class AxisGeometry:
    """One axis of an encoder-decoder.

    Attributes:
        factors: pooling factors, from the top level down.
        encoder: pixels that an encoder pass of convolutions takes off; 0 with same padding.
        decoder: pixels that a decoder pass takes off.
        head: pixels that the head takes off.
        encoder_left: those of `encoder` in front of the first pixel of the pass's output.
        decoder_left: those of `decoder`.
        crop: at which levels valid output is cropped to a multiple of the period: None, "top" or "every".
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
        """Product of the factors: the smallest shift, in input pixels, that is whole pixels at every level."""
        return math.prod(self.factors)

    @property
    def loss(self) -> int:
        """Input size minus native output size, before any crop to the period."""
        loss = self.encoder
        for factor in reversed(self.factors):
            loss = self.encoder + factor * loss + self.decoder
        return loss + self.head

    @property
    def offset(self) -> int:
        """The input pixel over which the first output pixel lies: half of what is lost, rounded down.

        Odd kernels put it where `skip_start` and same padding do; even ones have no pixel at their centre, and there
        this is the centre of the whole receptive field.
        """
        return self.loss // 2

    def skip_start(self, level: int) -> int:
        """First pixel of the skip connection that belongs to the first upsampled pixel of `level`.

        Alignment is by coordinate: a convolution of width k has (k - 1) // 2 pixels in front of its output pixel.
        """
        left = self.encoder_left
        for factor in reversed(self.factors[level + 1 :]):
            left = self.encoder_left + factor * left + self.decoder_left
        return self.factors[level] * left

    def walk(self, size: int) -> Walk:
        """Follows an axis of `size` input pixels through the net.

        Raises:
            IllegalSizeError: the axis cannot pass; names the level.
        """
        for level, factor in enumerate(self.factors):
            size = _convolved(size, self.encoder, f"level {level}")
            if size % factor:
                raise IllegalSizeError(f"level {level} would pool {size} px by {factor}")
            size //= factor
        size = _convolved(size, self.encoder, "the bottom")
        keep = []
        for level in reversed(range(len(self.factors))):
            size *= self.factors[level]
            head = self.head if level == 0 else 0  # the crop at the top counts the pixels that the head will leave
            loss, unit = self.decoder + head, self._crop_unit(level)
            output = (size - loss) // unit * unit
            if output < 1:
                raise IllegalSizeError(f"level {level} would keep {size - loss} px of output, fewer than {unit}")
            keep.append(output + loss)
            size = output + head
        return Walk(tuple(reversed(keep)), _convolved(size, self.head, "the head"))

    def _crop_unit(self, level: int) -> int:
        """The output of a level is cropped to a multiple of this."""
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
        periods = (wish - smallest) // self.period
        exact = wish == smallest + periods * self.period
        near = [periods - 1, periods, periods + 1] if exact else [periods, periods + 1]
        sizes = sorted({smallest + max(0, n) * self.period for n in near})
        return tuple((size, self.walk(size).output, self.offset) for size in sizes)


def _convolved(size: int, loss: int, where: str) -> int:
    if size <= loss:
        raise IllegalSizeError(f"{where} would convolve {size} px, fewer than {loss + 1}")
    return size - loss
