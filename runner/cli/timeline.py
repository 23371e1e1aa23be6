"""Bars for the steps of a run on one time axis, on which long idle stretches are folded.

A run that worked for two seconds and waited for two days would otherwise be two hairlines: wherever nothing
was at work for longer than all the work together, the axis shows three columns and no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from typing import Final

#: (start, end) in seconds since the epoch.
Interval = tuple[float, float]

_FOLD_COLUMNS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A stretch of time and the columns that it takes."""

    start: float
    end: float
    left: float
    right: float


class Axis:
    """Maps times to columns from 0 to `width`. `work` are the intervals in which something was done."""

    def __init__(self, span: Interval, work: Sequence[Interval], *, width: int) -> None:
        self.width = width
        busy = _merged(work)
        worked = sum(end - start for start, end in busy)
        cuts = sorted({span[0], *(edge for interval in busy for edge in interval), span[1]})
        stretches = [(a, b) for a, b in pairwise(cuts) if b > a]
        at_work = set(busy)
        folded = [s for s in stretches if s not in at_work and s[1] - s[0] > max(worked, 0.001)]
        room = max(width - _FOLD_COLUMNS * len(folded), 1)
        shown = sum(b - a for a, b in stretches if (a, b) not in folded) or 1.0
        self._pieces: list[_Piece] = []
        column = 0.0
        for start, end in stretches:
            size = _FOLD_COLUMNS if (start, end) in folded else (end - start) / shown * room
            self._pieces.append(_Piece(start=start, end=end, left=column, right=column + size))
            column += size

    def column(self, moment: float) -> float:
        """Where a moment is, from 0 to `width`."""
        for piece in self._pieces:
            if moment <= piece.end:
                part = max(moment - piece.start, 0.0) / (piece.end - piece.start)
                return min(piece.left + part * (piece.right - piece.left), self.width)
        return float(self.width)

    def bar(self, interval: Interval, sign: str) -> str:
        """`width` columns with the interval filled with `sign`, at least one of them."""
        left = min(floor(self.column(interval[0])), self.width - 1)
        right = min(max(ceil(self.column(interval[1])), left + 1), self.width)
        return " " * left + sign * (right - left) + " " * (self.width - right)


def _merged(intervals: Sequence[Interval]) -> list[Interval]:
    """The same time as intervals that do not overlap."""
    out: list[Interval] = []
    for start, end in sorted(intervals):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        elif end > start:
            out.append((start, end))
    return out
