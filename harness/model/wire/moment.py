"""Tells what a run was doing when its kernel said something, by marks in the kernel's log above what was said then.

The writer of the log writes them: in a guest the agent, into /dev/kmsg, so that they are in order with the kernel's own
lines; on a real box the harness, into its own copy of the log, since the log of the machine belongs to its user.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Attaching and mounting; an op of the Program; daxcheck's own reading of the files; after the cut the removal of
    all files and caches, and the umount; the mount of a crash image."""

    MOUNT = "mount"
    OP = "op"
    VIEWS = "views"
    EVICTION = "eviction"
    UMOUNT = "umount"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Moment:
    """A phase, and the index of its op: of an OP, and of the observe that VIEWS belong to, if they do."""

    phase: Phase
    op: int | None = None


COMMANDS = {
    "attach": Moment(Phase.MOUNT),
    "observe": Moment(Phase.VIEWS),
    "evict": Moment(Phase.EVICTION),
    "detach": Moment(Phase.UMOUNT),
}
"""The moment that begins with a command to the agent; the moments of a run begin op by op."""
_HEAD = "daxcheck at "
_LINE_LIMIT = 80
_LINE = re.compile(rf"(?:\[[ 0-9.]+\])?(?:\[ *[TC][0-9]+\])? ?{_HEAD}({'|'.join(Phase)})(?: ([0-9]{{1,5}}))?")
"""A mark with the time, and with CONFIG_PRINTK_CALLER the thread or CPU, that the kernel puts before it."""


def mark(moment: Moment) -> str:
    """The line that says that this begins."""
    return f"{_HEAD}{moment.phase}" + ("" if moment.op is None else f" {moment.op}")


def marked(line: str) -> Moment | None:
    """Return the moment that begins at this line of a log; None if the line is no mark."""
    found = _LINE.fullmatch(line.strip()) if len(line) <= _LINE_LIMIT else None
    return Moment(Phase(found[1]), int(found[2]) if found[2] else None) if found else None
