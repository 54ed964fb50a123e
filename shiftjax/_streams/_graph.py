"""The operations that the outputs of a function need, in order, and what each reads of which along the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shiftjax._streams import _window_rules as _window_rules  # enters its rules into the table
from shiftjax._streams._continued import continued
from shiftjax._streams._lookup import Lookup
from shiftjax._streams._read import Read
from shiftjax._streams._refusal import NotStreamable
from shiftjax._streams._rule import Rule, place, refuse
from shiftjax._streams._rules import rule_of
from shiftjax.certifier import Along, Array, CertificationError, Constant, Dataflow, Operation


@dataclass(frozen=True)
class Link:
    """An array that is node `node` of the graph, read from its index `by` on."""

    node: int
    by: int


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
    """

    nodes: tuple[Node, ...]
    outputs: tuple[Link | None, ...]
    constants: tuple[Constant, ...]

    @property
    def period(self) -> int:
        """Image pixels after which every array is computed in the same way again."""
        return math.lcm(*(node.along.period for node in self.nodes))


def graph(flow: Dataflow, places: Sequence[int], k: int) -> Graph:
    """The graph of some outputs of a function, streamed along an image axis.

    Raises:
        NotStreamable: an operation cannot be computed step by step.
    """
    image_along = flow.image.along(k)
    assert image_along is not None
    nodes = [Node(flow.image, image_along)]
    links: dict[int, Link] = {id(flow.image): Link(0, 0)}
    constants: list[Constant] = []
    operations: dict[int, Operation] = {}
    for output in (flow.outputs[at] for at in places):
        assert output is not None
        waiting = [output]
        while waiting:
            array = waiting[-1]
            if id(array) in links:
                waiting.pop()
                continue
            if id(array) not in operations:
                operations[id(array)] = _operation(flow, array)
            op = operations[id(array)]
            one = continued(op, array, k)
            needed = [one[0]] if one else [a for a in op.operands if isinstance(a, Array)]
            if missing := [a for a in needed if id(a) not in links]:
                waiting += missing
                continue
            if one:
                before = links[id(one[0])]
                links[id(array)] = Link(before.node, before.by + one[1])
            else:
                links[id(array)] = Link(len(nodes), 0)
                nodes.append(_node(op, array, links, constants, k))
            waiting.pop()
    outputs: list[Link | None] = [None] * len(flow.outputs)
    for at in places:
        outputs[at] = links[id(flow.outputs[at])]
    return Graph(tuple(nodes), tuple(outputs), tuple(constants))


def _operation(flow: Dataflow, array: Array) -> Operation:
    try:
        return flow.operation(array)
    except CertificationError as error:
        raise NotStreamable(str(error)) from None


def _node(op: Operation, array: Array, known: dict[int, Link], constants: list[Constant], k: int) -> Node:
    """One operation; what it reads by its rule must be what the certifier says of its strides."""
    along, rule = place(op, array, k), rule_of(op, array, k)
    links: list[Link | int] = []
    reads: list[Read | Lookup | None] = []
    for operand, read in zip(op.operands, rule.reads, strict=True):
        if isinstance(operand, Constant):
            links.append(len(constants))
            reads.append(None)
            constants.append(operand)
            continue
        link = known[id(operand)]
        assert read is not None
        if along.stride != place(op, operand, k).stride * read.stride / read.base:
            refuse(op, "it reads the axis in another way than the streams know")
        if not read.reads_always:
            refuse(op, "some of its indices read nothing, only zeros between those of the image")
        links.append(link)
        reads.append(read.moved(link.by))
    return Node(array, along, op, rule, tuple(links), tuple(reads))
