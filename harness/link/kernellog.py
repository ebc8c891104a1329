"""Reads what the kernel of an agent has said, and finds what it complained about.

The text comes from a kernel that may be broken or hostile: it is only searched, and whoever writes the file bounds its
size (vm.machine, box.agent).
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.memfile import MemFile
from harness.model.wire.moment import Moment, marked


class Trouble(StrEnum):
    """The kinds of trouble that a line of the console can stand for."""

    PANIC = "panic"
    OOPS = "oops"
    BUG = "bug"
    WARNING = "warning"
    HUNG_TASK = "hung task"
    FILE_SYSTEM = "file system"
    STALL = "stall"  # the host gave the guest no time: never a verdict on the kernel


# The first trouble of which a pattern matches names the line. A pair is a pattern and one that must match behind it: as
# one pattern, "first.*second" would look for the second anew behind each of 100,000 firsts in one line.
_PATTERNS: tuple[tuple[Trouble, tuple[str | tuple[str, str], ...]], ...] = (
    (Trouble.PANIC, (r"Kernel panic - not syncing",)),
    (Trouble.STALL, (r"soft lockup|hrtimer: interrupt took|workqueue lockup",
                     (r"rcu", r"detected stalls|self-detected stall"), (r"clocksource: ", r"unstable|skewed"))),
    (Trouble.HUNG_TASK, ((r"INFO: task ", r" blocked for more than"),)),
    # die() in arch/x86/kernel/dumpstack.c: what happened, the error code, and how many times.
    (Trouble.OOPS, (r"\bOops\b|: [0-9a-f]{4} \[#\d+\]|general protection fault|double fault"
                    r"|unable to handle (?:kernel|page fault)|kernel NULL pointer dereference",)),
    (Trouble.BUG, (r"kernel BUG at|\bBUG: ",)),
    (Trouble.WARNING, (r"\bWARNING: ",)),
    (Trouble.FILE_SYSTEM, (r"EXT4-fs (?:error|warning)|Aborting journal|Buffer I/O error|blk_update_request: "
                           r"|I/O error, dev",
                           (r"EXT4-fs", r": (?:error|failed|corrupt)"), (r"JBD2: ", r"error|fail|corrupt"),
                           (r"XFS ", r"[Cc]orrupt|Internal error|I/O [Ee]rror|Shutting down|assertion failed"))),
)  # fmt: skip
_REGEXES = tuple(
    (trouble, tuple(tuple(map(re.compile, (one,) if isinstance(one, str) else one)) for one in patterns))
    for trouble, patterns in _PATTERNS
)
OVERRAN = "(the kernel's log overran)"
"""The line that stands in a copy of a kernel's log where lines are missing."""
_GAP = re.compile(rf"\*\* [0-9]{{1,20}} printk messages dropped \*\*|^{re.escape(OVERRAN)}$")
"""A line that says that lines are missing (kernel/printk/printk.c, console_prepend_dropped)."""
LINE_LIMIT = 400
"""Characters of a console line that a report keeps."""
EACH = 100
"""Complaints of one kind that are kept: a kernel that complains for ever says the same again and again.

The limit is for each kind, since a flood of stalls, which are the host's fault, must not hide the one oops behind it.
"""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One line in which the kernel complained, and what the run was at then; None where that is not known."""

    trouble: Trouble
    line: str
    moment: Moment | None = None


def complaints(lines: Iterable[str]) -> list[Complaint]:
    """The lines that stand for trouble, in order; at most EACH of one kind."""
    found = []
    left = dict.fromkeys(Trouble, EACH)
    moment: Moment | None = None
    for line in lines:
        if _GAP.search(line):
            moment = None  # a mark may be among what is missing
        moment = marked(line) or moment
        # One by one, since in an alternation the leftmost match would win: a soft lockup is a "BUG: " too.
        trouble = next((trouble for trouble, patterns in _REGEXES if any(_found(one, line) for one in patterns)), None)
        if trouble is not None and left[trouble]:
            left[trouble] -= 1
            found.append(Complaint(trouble, line.strip()[:LINE_LIMIT], moment))
    return found


def _found(patterns: tuple[re.Pattern[str], ...], line: str) -> bool:
    """Say whether each pattern matches behind the first match of the one before: one pass through the line for each."""
    place = 0
    for pattern in patterns:
        match = pattern.search(line, place)
        if match is None:
            return False
        place = match.end()
    return True


def blamed(found: list[Complaint]) -> list[Complaint]:
    """Return those that are the kernel's own fault; those that a host brings about by starving it are left out."""
    starved = any(complaint.trouble is Trouble.STALL for complaint in found)
    mute = {Trouble.STALL, Trouble.HUNG_TASK} if starved else {Trouble.STALL}
    return [complaint for complaint in found if complaint.trouble not in mute]


class Console:
    """Reads a file to which the kernel's messages are appended: by QEMU from a guest, or by box.agent on a box."""

    def __init__(self, file: MemFile) -> None:
        self._fd = file.fd

    @property
    def size(self) -> int:
        """Bytes that were said so far."""
        return os.fstat(self._fd).st_size

    def text(self) -> str:
        """Return all that was said so far."""
        return os.pread(self._fd, self.size, 0).decode(errors="replace").replace("\r", "")

    def complaints(self) -> list[Complaint]:
        """Return all trouble so far."""
        return complaints(self.text().splitlines())

    def last_line(self) -> str:
        """The last thing that the kernel said, for a guest that went silent."""
        lines = [line for line in self.text().splitlines() if line.strip() and marked(line) is None]
        return lines[-1].strip()[:LINE_LIMIT] if lines else "(nothing)"
