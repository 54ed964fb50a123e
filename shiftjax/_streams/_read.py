"""What one operation reads along the streamed axis: how far it lags behind, what it keeps, and which part it is given.

Along the axis all arrays are endless. In step t an array gives its indices `t * count + lead` up to, but not including,
`(t + 1) * count + lead`; `count` differs from array to array as their strides do, and the image's lead is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shiftjax._arithmetic import ceil_div


@dataclass(frozen=True)
class Read:
    """The window rule: output j reads the base positions `m = j * stride - left + k * dilation`, `0 <= k < size`.

    Position m is element `m / base` of what is read where `base` divides m, and a zero otherwise.
    """

    size: int = 1
    stride: int = 1
    dilation: int = 1
    base: int = 1
    left: int = 0

    @property
    def reach(self) -> int:
        """Base positions from the first to the last that an output reads."""
        return (self.size - 1) * self.dilation

    @property
    def reads_always(self) -> bool:
        """Whether every output reads an element, however the zeros between them fall.

        Then an output before the lead of step 0 reads something that lies before the stream's beginning, and no exact
        output needs it. One that reads nothing would be needed, and is not computed.
        """
        return all(
            any((j * self.stride - self.left + k * self.dilation) % self.base == 0 for k in range(self.size))
            for j in range(self.base)
        )

    def moved(self, by: int) -> Read:
        """The same, where element i is found at index `i + by` of another array."""
        return replace(self, left=self.left - by * self.base)

    def lead(self, before: int) -> int:
        """The lead of the result, where what it reads has the lead `before`: as far as its windows are complete."""
        return (before * self.base - 1 + self.left - self.reach) // self.stride + 1

    def first(self, lead: int) -> int:
        """The first element that step 0 reads, where the result has this lead."""
        return ceil_div(lead * self.stride - self.left, self.base)

    def kept(self, before: int, lead: int) -> int:
        """How many elements of earlier steps are read; negative where some of this step's are not."""
        return before - self.first(lead)

    def part(self, lead: int, count: int) -> tuple[int, int, int]:
        """What `count` outputs read: how many elements, and the zeros before and after them in base positions."""
        begin = lead * self.stride - self.left
        end = begin + (count - 1) * self.stride + self.reach  # the last base position
        first, last = ceil_div(begin, self.base), end // self.base
        return last - first + 1, first * self.base - begin, end - last * self.base


SAME = Read()  # index by index
