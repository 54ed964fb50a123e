"""What a list of regular indices reads along the streamed axis; in place of a window."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shiftjax._arithmetic import ceil_div


@dataclass(frozen=True)
class Lookup:
    """Output `m * len(starts) + r` reads element `starts[r] + m * stride`, with the interface of `Read`.

    `throughout` tells whether it does so up to the array's ends.
    """

    starts: tuple[int, ...]
    stride: int
    throughout: bool

    reads_always = True

    @property
    def base(self) -> int:
        """Outputs after which the list goes on so many elements further."""
        return len(self.starts)

    def element(self, output: int) -> int:
        """What an output reads."""
        turn, phase = divmod(output, self.base)
        return self.starts[phase] + turn * self.stride

    def moved(self, by: int) -> Lookup:
        """The same, where element i is found at index `i + by` of another array."""
        return replace(self, starts=tuple(start + by for start in self.starts))

    def lead(self, before: int) -> int:
        """The lead of the result: the first output that reads something of a later step."""
        return min(ceil_div(before - start, self.stride) * self.base + r for r, start in enumerate(self.starts))

    def kept(self, before: int, lead: int) -> int:
        """How many elements of earlier steps are read."""
        return before - min(map(self.element, range(lead, lead + self.base)))

    def part(self, lead: int, count: int) -> tuple[int, int, int]:
        """How many elements `count` outputs read; and the first output, from which `local` finds them."""
        read = [self.element(j) for j in range(lead, lead + count)]
        return max(read) - min(read) + 1, lead, 0

    def local(self, lead: int, count: int) -> list[int]:
        """Which of the elements that are read each output takes."""
        read = [self.element(j) for j in range(lead, lead + count)]
        return [i - min(read) for i in read]
