"""Asks the kernel where pages of a DAX file lie, and flushes a line in each: that proves the plugin's page walk."""

import os
import struct
from collections.abc import Iterator

from harness.agent.memory import store
from harness.agent.x86.cpu import Cpu
from harness.linux import syscalls
from harness.linux.channel import AgentChannel
from harness.linux.child import Child
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire.frame import Message

PAGE_LIMIT = 1 << 16
BEGIN, END = 1 << 32, (1 << 32) + 1
"""Markers around the flushes; no op boundary of a Program has these values."""
_PRESENT = 1 << 63
_FRAME = (1 << 55) - 1


def translate(cpu: Cpu, root: str, path: str, pages: int) -> Message:
    """Make the file `path` of `pages` pages, map it with PMDs allowed and again with PTEs, store and flush a line per
    page of each mapping.

    Returns {"lines": [[file offset, guest-physical address by /proc/self/pagemap], ...]} in the order of the flushes.
    Raises OSError, ValueError.
    """
    if not isinstance(pages, int) or not 0 < pages <= PAGE_LIMIT:
        raise ValueError(f"pages {pages!r}: 1 to {PAGE_LIMIT}")

    # In a child: a SIGBUS must not end PID 1.
    with Child(lambda channel: _work(channel, cpu, os.path.join(root, path), pages)) as child:
        return {"lines": child.receive()["lines"]}


def _work(channel: AgentChannel, cpu: Cpu, path: str, pages: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    length = pages * PAGE
    syscalls.fallocate(fd, 0, 0, length)
    prot = syscalls.PROT_READ | syscalls.PROT_WRITE
    places = []
    for number, align in enumerate((PMD, PAGE)):
        base = syscalls.mmap_aligned(length, prot, syscalls.MAP_SHARED, fd, 0, align)
        for offset in _offsets(pages, number):
            store(cpu, base + offset, offset, LINE, number + 1, 1)
            places.append((offset, base + offset))
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        lines = [[offset, _physical(pagemap.fileno(), address)] for offset, address in places]
    cpu.mark(BEGIN)
    for _, address in places:
        cpu.flush(address, LINE)
    cpu.mark(END)
    channel.send({"lines": lines})


def _offsets(pages: int, number: int) -> Iterator[int]:
    """Yield the offset of one line of each page, another line from page to page and from mapping to mapping."""
    for page in range(pages):
        yield page * PAGE + (37 * page + 11 * number) % (PAGE // LINE) * LINE


def _physical(fd: int, address: int) -> int:
    """Return the physical address of `address`, by /proc/self/pagemap open at `fd`.

    Documentation/admin-guide/mm/pagemap.rst: bits 0-54 hold the page frame number, bit 63 says present.
    """
    entry: int = struct.unpack("<Q", os.pread(fd, 8, address // PAGE * 8))[0]
    if not entry & _PRESENT:
        raise OSError(0, f"no page is mapped at {address:#x}")
    return (entry & _FRAME) * PAGE + address % PAGE
