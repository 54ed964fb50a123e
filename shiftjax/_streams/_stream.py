"""A function as a stream: what it holds between two steps, and how a step is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._streams._constants import Use, repeated, without_repetitions
from shiftjax._streams._graph import Graph, Link, Node
from shiftjax._streams._held import joined, part
from shiftjax._streams._read import Read
from shiftjax._streams._refusal import NotStreamable
from shiftjax._streams._rule import sizes
from shiftjax._streams._search import graph
from shiftjax.certifier import CertificationError, Dataflow

State = list[Any]
MOST_PIXELS = 2**26  # along an axis whose ends count: their places are 32-bit numbers, of finer layers too


class Stream:
    """A certified function of `(batch, *space, channel)`, computed along one spatial axis in steps.

    A step takes the next pixels of the image along that axis, all pixels along the others, and gives the next pixels of
    each output. Pixels are counted from where the stream begins, as in the image that was traced; before them lies
    nothing, so that outputs that read there are of no use.

    With the image's ends (`whole`), every step is told where it lies, and what the function puts beyond the ends of a
    layer is put there: outputs are the function's own up to the border. A stream that begins with the image is exact
    from the first pixel on.
    """

    def __init__(
        self, fn: Callable[[Any], Any], x: Any, axis: int, places: Sequence[int], whole: int | None = None
    ) -> None:
        """Derives the stream.

        Args:
            fn: as `certify` takes it.
            x: an image, or its shape and type, that is large enough to be certified.
            axis: the spatial axis of the stream, from 0.
            places: of the outputs that are needed, among the leaves of what `fn` returns.
            whole: pixels along the axis of the image whose ends count; None where only what is far from them does. The
                function has to be the same map there, its ends included, as `x` shows it.

        Raises:
            NotStreamable: the function cannot be computed step by step.
        """
        self.axis, self._whole = axis, whole
        self._flow = Dataflow(fn, x)
        self._graph: Graph = graph(self._flow, places, axis, ends=whole is not None)
        self._places = tuple(places)
        self._longer = 0 if whole is None else whole - x.shape[axis + 1]
        if whole is not None:
            self._check_ends(fn, x)
        self._try_out(x)

    def _check_ends(self, fn: Callable[[Any], Any], x: Any) -> None:
        """Refuses what is not put together in the same way in an image that is longer by whole periods."""
        assert self._whole is not None
        if self._longer < 0 or self._longer % self.period or self._whole > MOST_PIXELS:
            raise NotStreamable("the image is not whole periods longer than a tile, or too long")
        shape = [n + self.period * (k == self.axis + 1) for k, n in enumerate(x.shape)]
        try:
            flow = Dataflow(fn, jax.ShapeDtypeStruct(tuple(shape), x.dtype))
            same = graph(flow, self._places, self.axis, ends=True).anatomy(shape[self.axis + 1])
        except NotStreamable:
            raise
        except Exception as error:  # whatever the function raises where it does not take a size
            raise NotStreamable(f"an image that is a period longer cannot be looked at ({error})") from error
        if same != self._graph.anatomy(x.shape[self.axis + 1]):
            raise NotStreamable("an image that is a period longer is put together in another way")

    def _try_out(self, x: Any) -> None:
        """Traces one step, so that whatever does not fit together is refused before anything is computed."""
        parameters = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in self._flow.parameters]
        pixels = jax.ShapeDtypeStruct(sizes(self._flow.image, self._graph.nodes[0].along, self.period), x.dtype)
        try:
            before = jax.eval_shape(self.initial)
            constants = jax.eval_shape(self.constants, parameters)
            at = None if self._whole is None else jax.ShapeDtypeStruct((), jnp.int32)
            after, outputs = jax.eval_shape(self.advance, constants, before, pixels, at)
        except NotStreamable:
            raise
        except CertificationError as error:
            raise NotStreamable(f"a step of it cannot be traced: {error}") from error
        except Exception as error:  # in doubt refuse
            raise NotStreamable(f"a step of it cannot be traced ({type(error).__name__}: {error})") from error
        expected = [self._described(at) for at in self._places]
        if [(y.shape, str(y.dtype)) for y in (*after, *outputs)] != [
            *((y.shape, str(y.dtype)) for y in before),
            *expected,
        ]:
            raise NotStreamable("a step of it gives arrays of other shapes than it should")

    def _described(self, at: int) -> tuple[tuple[int, ...], str]:
        """Shape and type of what a step of one period gives of an output."""
        link = self._graph.outputs[at]
        assert link is not None
        node = self._graph.nodes[link.node]
        return sizes(node.array, node.along, self._count(node, self.period)), node.array.dtype

    @property
    def has_ends(self) -> bool:
        """Whether the image's ends count, so that a step has to be told where it lies."""
        return self._whole is not None

    def meets_an_end(self, turn: int, step: int) -> bool:
        """Whether a step reads something beyond the image's ends, or is computed otherwise there.

        Args:
            turn: which of all steps of this size it is.
            step: pixels of a step.
        """
        for node, lead in zip(self._graph.nodes, self._leads, strict=True):
            if (rule := node.rule) is None:
                continue
            count, longer = self._count(node, step), self._longer_by(node)
            first = turn * count + lead
            for link, read, aligned in zip(node.links, node.reads, rule.aligned, strict=True):
                if isinstance(link, int):
                    constant = self._graph.constants[link]
                    if aligned is None or constant.shape[aligned] == 1:
                        continue
                    left, _, right = constant.form(aligned) or (0, 1, 0)
                    if (left or right) and not left <= first <= constant.shape[aligned] + longer - right - count:
                        return True
                elif link.span is not None and isinstance(read, Read):
                    source = self._graph.nodes[link.node]
                    begin, length = turn * self._count(source, step) + read.first(lead), read.part(lead, count)[0]
                    if not link.span[0] <= begin <= link.span[1] + self._longer_by(source) - length:
                        return True
            if rule.located is not None:
                _, left, right = rule.ends
                if not len(left) <= first <= node.array.shape[node.along.axis] + longer - len(right) - count:
                    return True
        return False

    @property
    def period(self) -> int:
        """Pixels of the image; a step takes a multiple of them."""
        return self._graph.period

    @cached_property
    def _leads(self) -> list[int]:
        """Of every node: in step t it gives its indices `t * count + lead` and on."""
        leads: list[int] = []
        for node, first in zip(self._graph.nodes, self._graph.first, strict=True):
            pairs = zip(node.links, node.reads, strict=True)
            lead = min((r.lead(leads[link.node]) for link, r in pairs if r and isinstance(link, Link)), default=0)
            # Where its ends count, all of an array is given, also what reads nothing but what lies beyond.
            leads.append(lead if self._whole is None else min(lead, first))
        return leads

    @property
    def leads(self) -> tuple[int, ...]:
        """Per output that is needed, its pixel that step 0 gives first; mostly negative."""
        links = (self._graph.outputs[at] for at in self._places)
        return tuple(self._leads[link.node] - link.by for link in links if link is not None)

    @cached_property
    def _kept(self) -> list[int]:
        """Of every node: how many indices of earlier steps are still needed."""
        kept = [0] * len(self._graph.nodes)
        for node, lead in zip(self._graph.nodes, self._leads, strict=True):
            for link, read in zip(node.links, node.reads, strict=True):
                if read and isinstance(link, Link):
                    kept[link.node] = max(kept[link.node], read.kept(self._leads[link.node], lead))
        return kept

    def constants(self, parameters: Sequence[Any]) -> list[Any]:
        """All that does not depend on the image, from the function's parameters: computed once."""
        values = self._flow.evaluate(self._graph.constants, parameters)
        return [without_repetitions(values[n], *self._use[n], ends=self.has_ends) for n in range(len(values))]

    @cached_property
    def _use(self) -> dict[int, Use]:
        """Of every constant, the node that takes it, and its axis along the streamed one."""
        use: dict[int, Use] = {}
        for node in self._graph.nodes:
            for link, aligned in zip(node.links, node.rule.aligned if node.rule else (), strict=True):
                if isinstance(link, int):
                    use[link] = (self._graph.constants[link], node, aligned)
        return use

    def _longer_by(self, node: Node) -> int:
        """How many indices more an array has in the whole image than where it was traced."""
        return int(self._longer / node.along.stride)

    def initial(self) -> State:
        """What is held before the first step: nothing that counts."""
        return [
            jnp.zeros(sizes(node.array, node.along, kept), node.array.dtype)
            for node, kept in zip(self._graph.nodes, self._kept, strict=True)
            if kept
        ]

    def advance(self, constants: Sequence[Any], state: State, pixels: Any, at: Any = None) -> tuple[State, list[Any]]:
        """One step.

        Args:
            constants: from `constants`.
            state: from `initial`, or from the step before.
            pixels: `(batch, *space, channel)` of the image, a multiple of the period along the streamed axis.
            at: where the image's ends count, which of all steps of this size it is; the first pixel of step 0 is that
                of the image. None for a step that meets no end, which takes less.

        Returns:
            The state after the step, and the outputs that are needed.
        """
        step = pixels.shape[self.axis + 1]
        held = iter(state)
        after: State = []
        values: list[Any] = []
        for node, lead, kept in zip(self._graph.nodes, self._leads, self._kept, strict=True):
            count = self._count(node, step)
            value = self._computed(node, lead, count, constants, values, step, at) if node.rule else pixels
            if kept:
                new, value = value, joined(next(held), value, node, kept, count)
                # Cut from what is new where that is enough: of what is joined, XLA would join it once more.
                enough = (new, count) if kept <= count else (value, kept + count)
                after.append(part(enough[0], node, enough[1], enough[1] - kept, enough[1]))
            values.append(value)
        return after, [self._output(values, at, step) for at in self._places]

    def _count(self, node: Node, step: int) -> int:
        """Indices of a node per step."""
        return int(step / node.along.stride)

    def _computed(
        self, node: Node, lead: int, count: int, constants: Sequence[Any], values: Sequence[Any], step: int, turn: Any
    ) -> Any:
        assert node.rule is not None
        assert node.operation is not None
        operands, ends = [], []
        for link, read in zip(node.links, node.reads, strict=True):
            if isinstance(link, int):
                use = self._use[link]
                operands.append(repeated(constants[link], use, lead, count, turn, self._longer_by(use[1])))
                continue
            assert read is not None
            source = self._graph.nodes[link.node]
            length, left, right = read.part(lead, count)
            start = self._kept[link.node] - read.kept(self._leads[link.node], lead)
            total = self._kept[link.node] + self._count(source, step)
            operands.append(part(values[link.node], source, total, start, start + length))
            ends.append((left, right))
        self._put_outside(node, operands, lead, step, turn)
        if node.rule.located is not None:
            first = None if turn is None else turn * count + lead
            return node.rule.located(operands, count, first, self._longer_by(node))
        result = node.rule.run(operands, ends, count)
        return result[node.operation.result] if isinstance(result, list | tuple) else result

    def _put_outside(self, node: Node, operands: list[Any], lead: int, step: int, turn: Any) -> None:
        """Puts what an operation reads beyond the ends of its operands into these, in place."""
        if turn is None:
            return
        for number, (link, read) in enumerate(zip(node.links, node.reads, strict=True)):
            if isinstance(link, int) or link.span is None:
                continue
            assert isinstance(read, Read)
            assert node.rule is not None
            assert node.rule.outside is not None
            source, value = self._graph.nodes[link.node], operands[number]
            axis, (begin, end) = source.along.axis, link.span
            at = turn * self._count(source, step) + read.first(lead) + np.arange(value.shape[axis])
            within = (at >= begin) & (at < end + self._longer_by(source))
            within = within.reshape([-1 if k == axis else 1 for k in range(value.ndim)])
            operands[number] = jnp.where(within, value, jnp.asarray(node.rule.outside(operands, number), value.dtype))

    def _output(self, values: Sequence[Any], at: int, step: int) -> Any:
        """What a step gives of an output: the newest indices of its node."""
        link = self._graph.outputs[at]
        assert link is not None
        node, kept = self._graph.nodes[link.node], self._kept[link.node]
        count = self._count(node, step)
        return part(values[link.node], node, kept + count, kept, kept + count)
