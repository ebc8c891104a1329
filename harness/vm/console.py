"""The guest's console: what its kernel complained about.

The text comes from a kernel that may be broken or hostile: it is only searched, and its size is bounded by
the Machine.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.memfile import MemFile


class Trouble(StrEnum):
    """What a line of the console stands for."""

    PANIC = "panic"
    OOPS = "oops"
    BUG = "bug"
    WARNING = "warning"
    HUNG_TASK = "hung task"
    FILE_SYSTEM = "file system"
    STALL = "stall"  # the host gave the guest no time: never a verdict on the kernel


# The first pattern that matches names the trouble. A gap in one has an end: with `.*` a long line takes the square of
# its length, and a guest may say 8 MiB without a line feed.
_PATTERNS: tuple[tuple[Trouble, str], ...] = (
    (Trouble.PANIC, r"Kernel panic - not syncing"),
    (Trouble.STALL, r"soft lockup|rcu.{0,80}(?:detected stalls|self-detected stall)|hrtimer: interrupt took"
                    r"|clocksource: .{0,200}(?:unstable|skewed)|workqueue lockup"),
    (Trouble.HUNG_TASK, r"INFO: task .{0,80} blocked for more than"),
    # die() in arch/x86/kernel/dumpstack.c: what happened, the error code, and how many times.
    (Trouble.OOPS, r"\bOops\b|: [0-9a-f]{4} \[#\d+\]|general protection fault|double fault"
                   r"|unable to handle (?:kernel|page fault)|kernel NULL pointer dereference"),
    (Trouble.BUG, r"kernel BUG at|\bBUG: "),
    (Trouble.WARNING, r"\bWARNING: "),
    (Trouble.FILE_SYSTEM, r"EXT4-fs (?:error|warning)|EXT4-fs.{0,120}: (?:error|failed|corrupt)"
                          r"|JBD2: .{0,200}(?:error|fail|corrupt)|Aborting journal"
                          r"|XFS .{0,200}(?:[Cc]orrupt|Internal error|I/O [Ee]rror|Shutting down|assertion failed)"
                          r"|Buffer I/O error|blk_update_request: |I/O error, dev"),
)  # fmt: skip
_REGEXES = tuple((trouble, re.compile(pattern)) for trouble, pattern in _PATTERNS)
LINE_LIMIT = 400
"""Characters of a console line that a report keeps."""
COMPLAINTS = 1000
"""Complaints that are kept; a kernel that complains for ever says the same again and again."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One line in which the guest's kernel complained."""

    trouble: Trouble
    line: str


def complaints(lines: Iterable[str]) -> list[Complaint]:
    """The lines that stand for trouble, in order."""
    found = []
    for line in lines:
        # One by one, since in an alternation the leftmost match would win: a soft lockup is a "BUG: " too.
        trouble = next((trouble for trouble, regex in _REGEXES if regex.search(line)), None)
        if trouble is not None:
            found.append(Complaint(trouble, line.strip()[:LINE_LIMIT]))
        if len(found) == COMPLAINTS:
            break
    return found


def blamed(found: list[Complaint]) -> list[Complaint]:
    """Those that are the kernel's own fault: what a host that starves it brings about is left out."""
    starved = any(complaint.trouble is Trouble.STALL for complaint in found)
    mute = {Trouble.STALL, Trouble.HUNG_TASK} if starved else {Trouble.STALL}
    return [complaint for complaint in found if complaint.trouble not in mute]


class Console:
    """Reads what QEMU appended to the console file."""

    def __init__(self, file: MemFile) -> None:
        self._fd = file.fd

    def text(self) -> str:
        """All the guest has said so far."""
        size = os.fstat(self._fd).st_size
        return os.pread(self._fd, size, 0).decode(errors="replace").replace("\r", "")

    def complaints(self) -> list[Complaint]:
        """All trouble so far."""
        return complaints(self.text().splitlines())

    def last_line(self) -> str:
        """The last thing said, for a guest that went silent."""
        lines = [line for line in self.text().splitlines() if line.strip()]
        return lines[-1].strip()[:LINE_LIMIT] if lines else "(nothing)"
