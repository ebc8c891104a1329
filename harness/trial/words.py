"""Words for the moments of a trial: by fences of the command and by what it had written."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.media.image import PESSIMISTIC, CrashPoint, Eviction
from harness.model.wire.commanded import Commanded
from harness.plain import clipped
from harness.targets.engines.cut import Cut
from harness.trial.elf import USER, told
from harness.trial.judging import acked
from harness.trial.kit import CopiedFile

LINE_LIMIT = 60
"""Characters of a line of output that are told."""

Symbols = Callable[[Sequence[int]], Sequence[str]]
"""Names addresses of the kernel that ran the command."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Tells the moments of one run by words; `symbols` is asked for the kernel's names."""

    cut: Cut
    written: Commanded
    files: tuple[CopiedFile, ...]
    symbols: Symbols

    def moment(self, point: CrashPoint, eviction: Eviction) -> str:
        """The moment of an image, as "at fence 17 of 43, in user address 0x401a2b (append+0x1f of log)"."""
        lines = "" if eviction == PESSIMISTIC else f", with lines that the cache had written back ({eviction})"
        if point.is_end:
            return f"after the end of the command{lines}"
        if point.record is None:
            return f"right after the output {last_line(acked(self.written, point))}"
        fences = self.cut.fences()
        number = bisect_right(fences, point.record)
        if eviction == PESSIMISTIC:
            return f"at fence {number} of {len(fences)}{self._place(point.record)}"
        if number == len(fences):
            return f"after fence {number} of {number}{lines}"
        return f"right before fence {number + 1} of {len(fences)}{self._place(fences[number])}{lines}"

    def promised(self, point: CrashPoint) -> str:
        """The output that had been written by then, in brief."""
        output = acked(self.written, point)
        if not output:
            return "no output yet"
        count = len(output.splitlines())
        return f"{count} line{'s' * (count != 1)} of output, the last {last_line(output)}"

    def _place(self, record: int) -> str:
        """Return where the instruction is that completed so many records, and who called it; empty if unknown."""
        addresses = self.cut.fence(record)
        if not addresses:
            return ""
        kernel = [address for address in addresses if address >= USER]
        names = dict(zip(kernel, self.symbols(kernel), strict=True)) if kernel else {}
        words = [names[one] if one in names else told(one, self.files) for one in addresses]
        return f", in {' <- '.join(words)}"


def last_line(output: bytes) -> str:
    """The last line of an output, in quotes."""
    lines = output.decode(errors="replace").splitlines() or [""]
    return f'"{clipped(lines[-1], LINE_LIMIT)}"'
