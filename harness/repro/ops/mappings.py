"""The C of ops on mappings."""

from dataclasses import replace
from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import Access, Advice, MappingOp, Sharing, Switch
from harness.model.program.rooms import rooms
from harness.model.units import PAGE, PMD
from harness.repro.call import Call
from harness.repro.naming import size
from harness.repro.scene import Scene

SHARINGS = {
    Sharing.SHARED: "MAP_SHARED", Sharing.PRIVATE: "MAP_PRIVATE", Sharing.SYNC: "MAP_SHARED_VALIDATE | MAP_SYNC",
}  # fmt: skip
ACCESSES = {Access.NONE: "PROT_NONE", Access.READ: "PROT_READ", Access.WRITE: "PROT_READ | PROT_WRITE"}
ADVICES = {
    Advice.DONTNEED: "MADV_DONTNEED", Advice.HUGEPAGE: "MADV_HUGEPAGE", Advice.NOHUGEPAGE: "MADV_NOHUGEPAGE",
    Advice.POPULATE_READ: "MADV_POPULATE_READ", Advice.POPULATE_WRITE: "MADV_POPULATE_WRITE",
    Advice.REMOVE: "MADV_REMOVE", Advice.HWPOISON: "MADV_HWPOISON", Advice.SOFT_OFFLINE: "101",
    Advice.COLD: "MADV_COLD", Advice.PAGEOUT: "MADV_PAGEOUT", Advice.FREE: "MADV_FREE", Advice.COLLAPSE: "25",
}  # fmt: skip
"""MADV_SOFT_OFFLINE is 101, MADV_COLLAPSE 25 (asm-generic/mman-common.h); older C libraries have no name for them."""


def call(scene: Scene, index: int, op: MappingOp) -> Call:
    """The C of op `index`."""
    match op:
        case ops.Mmap(name, fd, offset, length, sharing, align, populate):
            flags = SHARINGS[sharing] + (" | MAP_POPULATE" if populate is Switch.ON else "")
            room = max(0, rooms(scene.program.ops).get(name, 0) - length)
            call = _mapped(f"{flags}, {scene.fd(fd)}, {size(offset)}", length, align, room)
            inode, helpers = scene.inode(index, fd)
            return replace(call, made=f"({scene.map(name)} = {call.made})", after=inode, helpers=call.helpers + helpers)
        case ops.Munmap(name):
            return Call(f"munmap({scene.map(name)}, {size(scene.names.facts[name].left)})")
        case ops.Mremap(name, offset, new):
            made = f"({scene.map(new)} = moved({scene.address(name, offset)}, {size(scene.names.facts[new].length)}))"
            return Call(made, "!= MAP_FAILED", "== MAP_FAILED", helpers=("moved",))
        case ops.Mresize(name, length):
            places = size(scene.names.resized.get(index, 0)), size(-(-length // PAGE) * PAGE)
            return Call(f"resized({scene.map(name)}, {', '.join(places)})", helpers=("resized",))
        case ops.MmapOver(name, offset, new, fd, start, sharing):
            whole = scene.names.facts[new].length if new in scene.names.facts else PAGE
            place = f"{SHARINGS[sharing]} | MAP_FIXED, {scene.fd(fd)}, {size(start)}"
            made = f"mmap({scene.address(name, offset)}, {size(whole)}, PROT_READ | PROT_WRITE, {place})"
            inode, helpers = scene.inode(index, fd)
            return Call(f"({scene.map(new)} = {made})", "!= MAP_FAILED", "== MAP_FAILED", after=inode, helpers=helpers)
        case ops.Mprotect(name, offset, length, access):
            return Call(f"mprotect({scene.address(name, offset)}, {size(length)}, {ACCESSES[access]})")
        case ops.Mlock(name, offset, length):
            return Call(f"mlock({scene.address(name, offset)}, {size(length)})")
        case ops.Madvise(name, offset, length, advice):
            return Call(f"madvise({scene.address(name, offset)}, {size(length)}, {ADVICES[advice]})")
        case ops.Store(name, offset, length):
            before, helpers = scene.mark(index, name, offset, length)
            return Call(f"memset({scene.address(name, offset)}, 0x{scene.byte(index):02x}, {size(length)})", "",
                        before=before, helpers=helpers)  # fmt: skip
        case ops.Load(name, offset, length):
            return Call(f"load({scene.address(name, offset)}, {size(length)})", "", helpers=("load",))
        case ops.Flush(name, offset, length):
            made = f"flush({scene.address(name, offset)}, {size(length)})"
            return Call(made, "", helpers=("flush",), headers=("immintrin.h",))
        case _:
            assert_never(op)


def _mapped(place: str, length: int, align: int, room: int) -> Call:
    """The C of an mmap. The kernel itself places a mapping of 2 MiB and more so that a PMD can map it
    (thp_get_unmapped_area); with a smaller alignment none can, as in Programs that are to have PTEs alone."""
    if room:
        made = f"roomy({size(length)}, {place}, {size(align % PMD)}, {size(room)})"
        return Call(made, "!= MAP_FAILED", "== MAP_FAILED", helpers=("roomy",))
    if align < PMD <= length:
        made = f"skewed({size(length)}, {place}, {size(align)})"
        return Call(made, "!= MAP_FAILED", "== MAP_FAILED", helpers=("skewed",))
    made = f"mmap(NULL, {size(length)}, PROT_READ | PROT_WRITE, {place})"
    return Call(made, "!= MAP_FAILED", "== MAP_FAILED")
