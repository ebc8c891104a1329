"""The ops on mappings."""

from dataclasses import replace
from typing import assert_never

from harness.agent import memory
from harness.agent.handles import Handles, Mapped
from harness.agent.memory import Memory
from harness.linux import syscalls
from harness.model.program import ops
from harness.model.program.ops import Access, Advice, MappingOp, Sharing, Switch
from harness.model.program.traits import Unmaps, traits
from harness.model.units import PAGE
from harness.model.wire import stamps
from harness.model.wire.observation import Segment

_READ_WRITE = syscalls.PROT_READ | syscalls.PROT_WRITE
SHARINGS = {
    Sharing.SHARED: syscalls.MAP_SHARED,
    Sharing.PRIVATE: syscalls.MAP_PRIVATE,
    Sharing.SYNC: syscalls.MAP_SHARED_VALIDATE | syscalls.MAP_SYNC,
}
ACCESSES = {Access.NONE: syscalls.PROT_NONE, Access.READ: syscalls.PROT_READ, Access.WRITE: _READ_WRITE}
ADVICES = {
    Advice.DONTNEED: syscalls.MADV_DONTNEED,
    Advice.HUGEPAGE: syscalls.MADV_HUGEPAGE,
    Advice.NOHUGEPAGE: syscalls.MADV_NOHUGEPAGE,
    Advice.POPULATE_READ: syscalls.MADV_POPULATE_READ,
    Advice.POPULATE_WRITE: syscalls.MADV_POPULATE_WRITE,
    Advice.REMOVE: syscalls.MADV_REMOVE,
    Advice.HWPOISON: syscalls.MADV_HWPOISON,
    Advice.SOFT_OFFLINE: syscalls.MADV_SOFT_OFFLINE,
    Advice.COLD: syscalls.MADV_COLD,
    Advice.PAGEOUT: syscalls.MADV_PAGEOUT,
    Advice.FREE: syscalls.MADV_FREE,
    Advice.COLLAPSE: syscalls.MADV_COLLAPSE,
}


def do(handles: Handles, index: int, op: MappingOp) -> tuple[Segment, ...]:
    """Do the op; return what a load saw. Raises OSError."""
    match op:
        case ops.Mmap():
            _mmap(handles, index, op)
        case ops.Munmap(name):
            map = handles.map(name)
            syscalls.munmap(map.address, map.length + map.room)
            del handles.maps[name]
            handles.levels.forget(map.address, map.address + map.length, index)
        case ops.Mremap(name, offset, new):
            _mremap(handles, index, name, offset, new)
        case ops.Mresize(name, size):
            _mresize(handles, index, name, _pages(size))
        case ops.MmapOver():
            _mmap_over(handles, index, op)
        case ops.Mprotect(name, offset, length, access):
            address = handles.map_at(name, offset)
            handles.levels.split(address, address + _pages(length), index)
            syscalls.mprotect(address, _pages(length), ACCESSES[access])
        case ops.Mlock(name, offset, length):
            syscalls.mlock(handles.map_at(name, offset), length)
        case ops.Madvise():
            _madvise(handles, index, op)
        case ops.Store(name, offset, length):
            map = handles.map(name)
            seq, start = handles.seqs[index], map.offset + offset
            memory.store(handles.cpu, map.address + offset, start, length, seq, map.file.id)
        case ops.Load(name, offset, length):
            map = handles.map(name)
            start = map.offset + offset
            return stamps.decode(Memory(handles.cpu, map.address, map.offset), start, start + length)[0]
        case ops.Flush(name, offset, length):
            handles.cpu.flush(handles.map_at(name, offset), length)
        case _:
            assert_never(op)
    return ()


def _mmap(handles: Handles, index: int, op: ops.Mmap) -> None:
    file = handles.file(op.fd)
    length = _pages(op.length)
    flags = SHARINGS[op.sharing] | (syscalls.MAP_POPULATE if op.populate is Switch.ON else 0)
    room = handles.room(op.map, length)
    address = syscalls.mmap_aligned(op.length, _READ_WRITE, flags, file.fd, op.offset, op.align, room)
    map = handles.maps[op.map] = Mapped(address, file, op.offset, length, op.sharing is Sharing.PRIVATE, room)
    handles.levels.forget(address, address + map.length, index)


def _mremap(handles: Handles, index: int, name: str, offset: int, new: str) -> None:
    map = handles.map(name)
    old, length = map.address + offset, map.length - offset
    room = handles.room(new, length)
    address = syscalls.mremap_moved(old, length, room)
    if map.room:
        syscalls.munmap(old + length, map.room)
    handles.maps[new] = replace(map, address=address, offset=map.offset + offset, length=length, room=room)
    _cut(handles, name, offset)
    handles.levels.move(old, address, length, index)


def _cut(handles: Handles, name: str, length: int) -> None:
    """Note that another mapping, or none, is where the mapping was from `length` on."""
    map = handles.maps.pop(name)
    if length:
        handles.maps[name] = replace(map, length=length, room=0)


def _mresize(handles: Handles, index: int, name: str, size: int) -> None:
    map = handles.map(name)
    old, new = map.address + map.length, map.address + size
    if size > map.length and map.room:
        syscalls.munmap(old, min(map.room, size - map.length))
    syscalls.mremap_in_place(map.address, map.length, size)
    if new < old:
        syscalls.reserve(new, old - new)
        handles.levels.split(new, old, index)
        handles.levels.forget(new, old, index)
    handles.maps[name] = replace(map, length=size, room=max(0, map.room + map.length - size))


def _mmap_over(handles: Handles, index: int, op: ops.MmapOver) -> None:
    map, file = handles.map(op.map), handles.file(op.fd)
    address, length = map.address + op.offset, map.length - op.offset
    flags = SHARINGS[op.sharing] | syscalls.MAP_FIXED
    syscalls.mmap(address, length, _READ_WRITE, flags, file.fd, op.file_offset)
    _cut(handles, op.map, op.offset)
    private = op.sharing is Sharing.PRIVATE
    handles.maps[op.new] = Mapped(address, file, op.file_offset, length, private, map.room)
    handles.levels.split(address, address + length, index)
    handles.levels.forget(address, address + length, index)


def _madvise(handles: Handles, index: int, op: ops.Madvise) -> None:
    map = handles.map(op.map)
    address = map.address + op.offset
    match traits(op).unmaps:
        case Unmaps.FILE:
            handles.unmaps(index, map.file)
        case Unmaps.RANGE:
            handles.levels.forget(address, address + op.length, index)
        case Unmaps.EDGES:
            handles.levels.split(address, address + _pages(op.length), index)
        case Unmaps.NOTHING:
            pass
    syscalls.madvise(address, op.length, ADVICES[op.advice])


def _pages(length: int) -> int:
    return -(-length // PAGE) * PAGE
