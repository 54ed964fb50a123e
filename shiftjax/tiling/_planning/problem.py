"""A function and its image, and what can be asked about inputs of other sizes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from shiftjax._checks import fail, told
from shiftjax._patience import patience
from shiftjax._streams import Stream
from shiftjax._xla_cpu import RESIDENT_OVER_ESTIMATE
from shiftjax.certifier import Certificate, CertificationError, certify
from shiftjax.tiling._compiled import CompiledFunction, Fn, MemoryEstimate
from shiftjax.tiling._geometry.exact_window import windows
from shiftjax.tiling._planning.cheapest import Candidates, Sizes, moderate, within_bytes, within_pixels
from shiftjax.tiling._planning.work import work
from shiftjax.tiling._streaming.call import derived, memory_estimate, traced
from shiftjax.tiling._words import times


@dataclass(frozen=True)
class Problem:
    """A function, and the shape and type of its image: what can be asked about inputs of other sizes.

    `padded` tells whether the image is continued beyond its border.
    """

    fn: Fn
    compiled: CompiledFunction
    shape: tuple[int, ...]
    dtype: Any
    padded: bool
    _measured: dict[tuple[Any, ...], int] = field(default_factory=dict, repr=False, compare=False)
    _certified: dict[Sizes, Certificate] = field(default_factory=dict, repr=False, compare=False)

    def image(self, space: Sequence[int]) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.shape[0], *space, self.shape[-1]), self.dtype)

    def certificate(self, space: Sequence[int]) -> Certificate:
        """The certificate at an input of this size; one plan asks for some sizes more than once.

        Raises:
            CertificationError: the certifier refuses the function.
            ValueError: the size is too small for any output; a larger one may be certified.
        """
        size = tuple(space)
        if size not in self._certified:
            try:
                self._certified[size] = certify(self.fn, self.image(size))
            except CertificationError:
                if any(0 in y.shape for y in self.compiled.outputs(self.image(size))):
                    raise ValueError(f"an input of {times(size)} px leaves no output") from None
                raise
        return self._certified[size]

    def memory(self, size: Sizes) -> int:
        """Bytes that predicting takes with one tile per call; the crop is left out, it makes the outputs no larger.

        A device holds the tiles and outputs of two calls: one is computed while another is sent or fetched. A CPU
        shares its memory with the host, where one tile is read ahead and the caller has two outputs: these may exceed
        the estimate of the call, but only as far as `RESIDENT_OVER_ESTIMATE` allows.
        """
        try:
            estimate = self.compiled.memory_estimate(self.image(size))
        except ValueError:
            raise
        except Exception as error:  # whatever the function raises where it does not take a size
            found = f"one that raises {told(error)} for {times(size)} px"
            fail("fn", "a function of every tile that is considered", found, "give `tile` instead of `memory_bytes`")
        return self._resident(estimate, 2 * estimate.outputs)

    def _resident(self, estimate: MemoryEstimate, given: int) -> int:
        """Bytes of a call, and of what is read and written meanwhile: a tile, and `given` bytes of outputs."""
        parameters, tiles, outputs, temporary = estimate
        call = parameters + tiles + outputs + temporary
        if jax.default_backend() != "cpu":
            return call + tiles + outputs
        return max(call, int((call + 2 * tiles + given) / RESIDENT_OVER_ESTIMATE))

    def stream(self, size: Sizes, certificate: Certificate, axis: int, whole: int | None = None) -> Stream:
        """The function as a stream along a spatial axis, traced at an input of this size.

        Args:
            size: input pixels.
            certificate: at this size.
            axis: spatial, from 0.
            whole: pixels of the image along the axis, where its ends matter; None where they do not.

        Raises:
            NotStreamable: it cannot be computed step by step.
        """
        function = CompiledFunction.of(self.fn, certificate.version)  # what it closes over may have changed
        return derived(function, self.image(size), axis, certificate.places, whole)

    def memory_of(self, size: Sizes, axis: int | None, output: Sizes, whole: int | None) -> int:
        """Bytes that predicting takes, in tiles or in the steps of a stream."""
        return self.memory(size) if axis is None else self.strip_memory(size, axis, output[axis], whole)

    def _once(self, key: tuple[Any, ...], measure: Callable[[], int]) -> int:
        """What was measured before; a compilation takes seconds, and the chosen size is asked for once more."""
        if key not in self._measured:
            self._measured[key] = measure()
        return self._measured[key]

    def strip_memory(self, size: Sizes, axis: int, step: int, whole: int | None) -> int:
        """Bytes that a stream takes along an axis: those of one step, and what it holds.

        Args:
            size: input pixels of a tile as wide as the strip.
            axis: of the stream.
            step: pixels that a step reads along it.
            whole: as in `stream`.
        """
        pixels = self.image(tuple(step if k == axis else n for k, n in enumerate(size)))

        def measured() -> int:
            certificate = self.certificate(size)
            stream = self.stream(size, certificate, axis, whole)
            estimate, outputs = memory_estimate(self.compiled, stream, pixels)
            along = windows(certificate)[axis]
            firsts = along.firsts if self.padded else (0,) * len(outputs)  # without padding: a whole number of steps
            behind = [(f - lead) * a / step for f, lead, a in zip(firsts, stream.leads, along.strides, strict=True)]
            # An output that comes early waits for the last one; two steps of each make a tile while the next ones come.
            steps = [max(2, math.ceil(max(behind)) - math.floor(own) + 1) + 2 for own in behind]
            return self._resident(estimate, sum(map(operator.mul, steps, outputs)))

        return self._once((axis, whole, *pixels.shape), measured)

    def tile_work(self, size: Sizes) -> int:
        """The work of one tile, as `work` counts it; nothing is compiled."""
        return work(self.compiled.traced(self.image(size)).jaxpr)

    def step_work(self, size: Sizes, certificate: Certificate, axis: int, step: int, whole: int | None) -> int:
        """The work of one step of a stream, of so many pixels along the axis; nothing is compiled."""
        pixels = self.image(tuple(step if k == axis else n for k, n in enumerate(size)))
        return work(traced(self.compiled, self.stream(size, certificate, axis, whole), pixels).jaxpr)

    def cheapest(self, tiles: Candidates, limit: int | None) -> Sizes:
        if limit is None:
            return within_pixels(tiles, moderate(tiles, self.shape[0]))
        with patience("compiling tiles to measure the memory that they take"):
            return within_bytes(tiles, self.memory, self.compiled.nbytes, limit)
