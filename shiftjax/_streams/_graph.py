"""The operations that the outputs of a function need, in order, and what each reads of which along the axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from shiftjax._streams._lookup import Lookup
from shiftjax._streams._read import Read
from shiftjax._streams._rule import Rule
from shiftjax.certifier import Along, Array, Constant, Operation


@dataclass(frozen=True)
class Link:
    """An array that is node `node` of the graph, read from its index `by` on.

    Attributes:
        node: number of it.
        by: index of it that is the array's 0.
        span: where something is read beyond the array's ends, the node's indices that are the array's; else None.
    """

    node: int
    by: int
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class Node:
    """One array that is computed.

    Attributes:
        array: as it is in the traced function.
        along: how it runs along the streamed axis.
        operation: what computes it; None for the image.
        rule: how that is streamed.
        links: per operand the node that it is, and the number of a constant otherwise.
        reads: per operand what is read of that node, None for a constant.
    """

    array: Array
    along: Along
    operation: Operation | None = None
    rule: Rule | None = None
    links: tuple[Link | int, ...] = ()
    reads: tuple[Read | Lookup | None, ...] = ()


@dataclass(frozen=True)
class Graph:
    """All that is computed.

    Attributes:
        nodes: in an order in which each comes after those that it reads; the image is the first.
        outputs: per output of the function the node that it is; None for one that is left out.
        constants: that the operations take.
        first: per node, the first of its indices that is one of an array.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[Link | None, ...]
    constants: tuple[Constant, ...]
    first: tuple[int, ...]

    @property
    def period(self) -> int:
        """Image pixels after which every array is computed in the same way again."""
        return math.lcm(*(node.along.period for node in self.nodes))

    def anatomy(self, pixels: int) -> tuple[Any, ...]:
        """What is computed of what, ends included, without what grows with the image.

        Args:
            pixels: of the traced image along the axis.
        """

        def relative(node: int, span: tuple[int, int] | None) -> Any:
            return None if span is None else (span[0], span[1] - pixels / self.nodes[node].along.stride)

        nodes = []
        for node in self.nodes:
            links = [
                link if isinstance(link, int) else (link.node, link.by, relative(link.node, link.span))
                for link in node.links
            ]
            forms = [
                (aligned, self.constants[link].form(aligned))
                for link, aligned in zip(node.links, node.rule.aligned if node.rule else (), strict=True)
                if isinstance(link, int) and aligned is not None and self.constants[link].shape[aligned] > 1
            ]
            own = (node.operation.name, node.operation.result) if node.operation else ()
            made = node.rule.ends if node.rule else ()
            nodes.append((own, node.along.stride, links, node.reads, forms, made))
        return nodes, self.outputs, self.first
