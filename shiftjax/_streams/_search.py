"""How the graph of a stream is found: from the outputs of a function back to the image, and forwards again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shiftjax._streams import _window_rules as _window_rules  # enters its rules into the table
from shiftjax._streams._continued import continued
from shiftjax._streams._graph import Graph, Link, Node
from shiftjax._streams._lookup import Lookup
from shiftjax._streams._pieces import Covered, joined, only_operand, pieces
from shiftjax._streams._read import Read
from shiftjax._streams._refusal import NotStreamable
from shiftjax._streams._rule import Rule, place, refuse, sizes
from shiftjax._streams._rules import rule_of
from shiftjax._streams._woven import woven
from shiftjax.certifier import Array, CertificationError, Constant, Dataflow, Operation


def graph(flow: Dataflow, places: Sequence[int], k: int, *, ends: bool) -> Graph:
    """The graph of some outputs of a function, streamed along an image axis.

    Args:
        flow: the function.
        places: of the outputs among the leaves of what it returns.
        k: the image axis.
        ends: whether the image's ends count, where padding is; else only what is far from them does.

    Raises:
        NotStreamable: an operation cannot be computed step by step.
    """
    found = _WithEnds(flow, k) if ends else _Search(flow, k)
    outputs: list[Link | None] = [None] * len(flow.outputs)
    for at in places:
        output = flow.outputs[at]
        assert output is not None
        found.reach(output)
        outputs[at] = found.link(output)
    first = [0] * len(found.nodes)
    for known in found.known.values():
        first[known.node] = min(first[known.node], known.by + known.first)
    return Graph(tuple(found.nodes), tuple(outputs), tuple(found.constants), tuple(first))


class _Search:
    """The graph as it grows from the image towards the outputs; inner indices of all arrays count, not their ends."""

    def __init__(self, flow: Dataflow, k: int) -> None:
        along = flow.image.along(k)
        assert along is not None
        self.flow, self.k = flow, k
        self.nodes = [Node(flow.image, along)]
        self.known = {id(flow.image): Covered(0, 0, 0, flow.image.shape[along.axis])}
        self.constants: list[Constant] = []
        self._operations: dict[int, Operation] = {}

    def reach(self, output: Array) -> None:
        """Enters an array and all that it needs."""
        waiting = [output]
        while waiting:
            array = waiting[-1]
            if id(array) in self.known or not (missing := self._enter(array)):
                waiting.pop()
            else:
                waiting += reversed(missing)

    def link(self, array: Array) -> Link:
        """Where an array is found that was entered."""
        known = self.known[id(array)]
        return Link(known.node, known.by)

    def operation(self, array: Array) -> Operation:
        """What computes an array."""
        if id(array) not in self._operations:
            try:
                self._operations[id(array)] = self.flow.operation(array)
            except CertificationError as error:
                raise NotStreamable(str(error)) from None
        return self._operations[id(array)]

    def _enter(self, array: Array) -> list[Array]:
        """Enters an array, or tells what must be entered before it."""
        op = self.operation(array)
        one = continued(op, array, self.k)
        if missing := self._missing([one[0]] if one else op.operands):
            return missing
        if one:
            before = self.known[id(one[0])]
            self.known[id(array)] = Covered(before.node, before.by + one[1], 0, 0)
        else:
            self._add(array, self._node(op, array))
        return []

    def _missing(self, operands: Sequence[Array | Constant]) -> list[Array]:
        return [operand for operand in operands if isinstance(operand, Array) and id(operand) not in self.known]

    def _add(self, array: Array, node: Node) -> None:
        """Enters an array as a node of its own."""
        self.nodes.append(node)
        self.known[id(array)] = Covered(len(self.nodes) - 1, 0, 0, _size(array, self.k))

    def _node(self, op: Operation, array: Array) -> Node:
        """One operation; what it reads by its rule must be what the certifier says of its strides."""
        along, rule = place(op, array, self.k), rule_of(op, array, self.k)
        links: list[Link | int] = []
        reads: list[Read | Lookup | None] = []
        for operand, read in zip(op.operands, rule.reads, strict=True):
            if isinstance(operand, Constant):
                links.append(len(self.constants))
                reads.append(None)
                self.constants.append(operand)
                continue
            assert read is not None
            if along.stride != place(op, operand, self.k).stride * read.stride / read.base:
                refuse(op, "it reads the axis in another way than the streams know")
            if not read.reads_always:
                refuse(op, "some of its indices read nothing, only zeros between those of the image")
            link = self._read(op, array, operand, rule, read)
            links.append(link)
            reads.append(read.moved(link.by))
        return Node(array, along, op, rule, tuple(links), tuple(reads))

    def _read(self, op: Operation, array: Array, operand: Array, rule: Rule, read: Read | Lookup) -> Link:
        """The link of an operand."""
        return self.link(operand)


class _WithEnds(_Search):
    """The same where every index of every array counts, up to the ends."""

    def link(self, array: Array) -> Link:
        self._all_of(array)
        return super().link(array)

    def _enter(self, array: Array) -> list[Array]:
        op, k = self.operation(array), self.k
        if (only := only_operand(op, array)) is not None:
            if missing := self._missing([only]):
                return missing
            self._all_of(only)
            self.known[id(array)] = self.known[id(only)]
        elif (found := woven(self.flow, op, array, k)) is not None:
            if missing := self._missing([found.base]):
                return missing
            rule, link = found.rule(array.shape[found.axis]), self.link(found.base)
            (read,) = rule.reads
            assert read is not None
            self._add(array, Node(array, place(op, array, k), op, rule, (link,), (read.moved(link.by),)))
        elif (parts := pieces(op, array, k)) is not None and parts:
            if missing := self._missing([part.operand for part in parts]):
                return missing
            covered = []
            for part in parts:
                whole = self.known[id(part.operand)]
                if op.name != "dynamic_update_slice" or part is not parts[0] or len(parts) == 1:
                    self._all_of(part.operand)
                    whole = self.known[id(part.operand)]
                by = whole.by + part.start - part.at
                first, stop = (min(max(n + part.at - part.start, part.at), part.at + part.count) for n in _span(whole))
                covered.append(Covered(whole.node, by, first, stop))
            one = joined(covered)
            if one is None:
                refuse(op, "an array is put together of different maps along the axis")
            self.known[id(array)] = one
        else:
            if missing := self._missing(op.operands):
                return missing
            self._merge(op, array)
        return []

    def _all_of(self, array: Array) -> None:
        """Sees to it that all of an array is found in its node: where it was padded, by computing that."""
        if _span(self.known[id(array)]) == (0, _size(array, self.k)):
            return
        op = self.operation(array)
        if op.name != "pad":
            refuse(op, "an array is put together of different maps along the axis")
        self._merge(op, array)

    def _read(self, op: Operation, array: Array, operand: Array, rule: Rule, read: Read | Lookup) -> Link:
        """Where an operation reads beyond the ends of an operand, what lies there is told."""
        link, size = self.link(operand), _size(operand, self.k)
        if isinstance(read, Lookup):
            if not read.throughout:
                refuse(op, "the image is looked up otherwise at its ends")
            return link
        length, *_ = read.part(0, _size(array, self.k))
        begin = read.first(0)
        if begin >= 0 and begin + length <= size:
            return link
        along = operand.along(self.k)
        if rule.outside is None or along is None or along.before * along.after != 1:
            refuse(op, "it reads beyond the image's ends in a way that is not streamed")
        return Link(link.node, link.by, (link.by, link.by + size))

    def _merge(self, op: Operation, array: Array) -> None:
        """Enters what is computed; what is there already, or the same further along, is not computed twice."""
        before = len(self.constants)
        node = self._node(op, array)
        for number, other in enumerate(self.nodes):
            by = self._further(node, other)
            if by is not None and array.continues(other.array, self.k, by):
                del self.constants[before:]
                self.known[id(array)] = Covered(number, by, 0, _size(array, self.k))
                return
        self._add(array, node)

    def _further(self, node: Node, other: Node) -> int | None:
        """By how many indices a node is another one read from further on; None where it is not that one."""
        if node.operation is None or other.operation is None or node.rule is None or node.rule.located is not None:
            return None
        if (node.operation.name, node.operation.result) != (other.operation.name, other.operation.result):
            return None
        if len(node.links) != len(other.links) or _across(node) != _across(other):
            return None
        moves = set()
        for link, read, other_link, other_read in zip(node.links, node.reads, other.links, other.reads, strict=True):
            if isinstance(link, int) or isinstance(other_link, int):
                if not (isinstance(link, int) and isinstance(other_link, int) and self._alike(link, other_link, node)):
                    return None
            elif (link.node, link.span) != (other_link.node, other_link.span):
                return None
            elif isinstance(read, Read) and isinstance(other_read, Read):
                move, rest = divmod(other_read.left - read.left, read.stride)
                if rest or read != replace(other_read, left=read.left):
                    return None
                moves.add(move)
            elif read == other_read:
                moves.add(0)
            else:
                return None
        return moves.pop() if len(moves) == 1 else None

    def _alike(self, one: int, other: int, node: Node) -> bool:
        """Whether two constants are the same, and do not change along the axis."""
        a, b = self.constants[one], self.constants[other]
        assert node.rule is not None
        aligned = node.rule.aligned[node.links.index(one)]
        return a.same(b) and (aligned is None or a.shape[aligned] == 1 or a.form(aligned) == (0, 1, 0))


def _size(array: Array, k: int) -> int:
    """How many indices an array has along the axis."""
    along = array.along(k)
    return 0 if along is None else array.shape[along.axis] // (along.before * along.after)


def _across(node: Node) -> tuple[int, ...]:
    """The shape of a node across the stream: what is cut or padded there by another amount has the name of one map."""
    return sizes(node.array, node.along, 1)


def _span(known: Covered) -> tuple[int, int]:
    return known.first, known.stop
