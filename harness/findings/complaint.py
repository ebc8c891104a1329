"""Names what the kernel complained of: the place in its source, which is the same on another run and in another op.

    WARNING: CPU: 0 PID: 1 at fs/dax.c:380 dax_insert_entry+0x1b1/0x310       WARNING in dax_insert_entry (fs/dax.c)
    WARNING: fs/dax.c:452 at dax_insert_entry+0x9c/0xc0, CPU#0: init/107      the same, as newer kernels write it
    kernel BUG at fs/inode.c:650!                                             BUG in fs/inode.c
    Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI                         follows from the BUG before it
    Kernel panic - not syncing: Fatal exception                               so does this
"""

import re
from collections.abc import Iterable, Iterator

from harness.model.judge.values import Said
from harness.model.judge.violation import Kind, Violation

CLONE = re.compile(r"\.(isra|constprop|part|cold)(\.[0-9]+)?")
"""The suffix that a compiler gives to a function that it made from another: another build has other suffixes."""
_TIME = re.compile(r"\[ *[0-9]+\.[0-9]+\]")
"""The time that the kernel puts before each line of its log."""
_NOISE = re.compile(r"\+0x[0-9a-f]+(/0x[0-9a-f]+)?|\b(0x)?[0-9a-f]{8,}\b|0x[0-9a-f]+|#?[0-9]+")
"""Offsets, addresses, process ids, CPUs, lines and inodes in the words of a kernel or a tool."""
_FILE = r"([\w./-]{1,80}\.[ch]):[0-9]{1,9}"
_FUNCTION = r"([\w.]{1,128})\+0x"
_WARNING = (
    re.compile(rf"WARNING: CPU: [0-9]+ PID: [0-9]+ at {_FILE} {_FUNCTION}"),  # __warn() in kernel/panic.c
    re.compile(rf"WARNING: {_FILE} at {_FUNCTION}"),
)
_HUNG = re.compile(r"not back from the kernel for [0-9]+ s: op [0-9]+ of lane [0-9]+, S in ([\w.]{1,128})")
"""As harness.agent.lanes.group says it, with the function in which the first lane sleeps."""
_BUG = re.compile(rf"kernel BUG at {_FILE}!")
_FIRST = "[#1]"
"""The number of the first oops, in the line by which die() tells it (arch/x86/kernel/dumpstack.c)."""
_FOLLOWING = ("Fatal exception", "Attempted to kill init!")
"""The reasons of a panic that only say that something had died before (kernel/exit.c, dumpstack.c)."""


def plain_words(words: str) -> str:
    """The words without what differs from run to run: times, offsets, addresses, numbers."""
    return " ".join(_NOISE.sub("#", CLONE.sub("", _TIME.sub("", words))).split())


def place(words: str) -> str:
    """WARNING in dax_insert_entry (fs/dax.c); the plain words of a complaint that names no place."""
    for pattern in _WARNING:
        if found := pattern.search(words):
            return f"WARNING in {CLONE.sub('', found[2])} ({found[1]})"
    if found := _HUNG.search(words):
        return f"hung in {CLONE.sub('', found[1])}"
    found = _BUG.search(words)
    return f"BUG in {found[1]}" if found else plain_words(words)


def consequences(violations: Iterable[Violation]) -> Iterator[tuple[Violation, Violation]]:
    """Each complaint that only follows from an earlier one of the same image, with that one.

    A "kernel BUG at" kills its process, which is told as the first oops, and the end of init is a panic. A second oops
    is news, and so is one after a "BUG: sleeping function called", which kills nobody.
    """
    died: dict[str, Violation] = {}
    for violation in violations:
        if violation.kind is not Kind.KERNEL or not isinstance(violation.found, Said):
            continue
        words, before = violation.found.text, died.get(violation.image)
        oops = words.startswith("oops: ")
        if before is not None and ((oops and _FIRST in words) or _is_end(words)):
            yield violation, before
        elif oops or _BUG.search(words):
            died[violation.image] = violation


def _is_end(words: str) -> bool:
    return words.startswith("panic: ") and any(reason in words for reason in _FOLLOWING)
