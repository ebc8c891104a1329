"""The C of ops on mappings."""

from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import Access, Advice, MappingOp, Sharing
from harness.model.units import PMD
from harness.repro.call import Call
from harness.repro.naming import plus, size
from harness.repro.scene import Scene

SHARINGS = {
    Sharing.SHARED: "MAP_SHARED", Sharing.PRIVATE: "MAP_PRIVATE", Sharing.SYNC: "MAP_SHARED_VALIDATE | MAP_SYNC",
}  # fmt: skip
ACCESSES = {Access.NONE: "PROT_NONE", Access.READ: "PROT_READ", Access.WRITE: "PROT_READ | PROT_WRITE"}
ADVICES = {
    Advice.DONTNEED: "MADV_DONTNEED", Advice.HUGEPAGE: "MADV_HUGEPAGE", Advice.NOHUGEPAGE: "MADV_NOHUGEPAGE",
    Advice.POPULATE_READ: "MADV_POPULATE_READ", Advice.POPULATE_WRITE: "MADV_POPULATE_WRITE",
    Advice.REMOVE: "MADV_REMOVE", Advice.HWPOISON: "MADV_HWPOISON", Advice.SOFT_OFFLINE: "101",
}  # fmt: skip
"""MADV_SOFT_OFFLINE is 101 (asm-generic/mman-common.h); the C library has no name for it."""


def call(scene: Scene, index: int, op: MappingOp) -> Call:
    """The C of op `index`."""
    match op:
        case ops.Mmap(name, fd, offset, length, sharing, align):
            # Like what lies below 2 MiB, a larger alignment is none that fs/dax.c knows.
            place = ", ".join((str(scene.file(fd) - 1), scene.fd(fd), size(offset), size(length), SHARINGS[sharing],
                               size(align) if align < PMD else "0"))  # fmt: skip
            return Call(f"({scene.map(name)} = map({place})).at", "!= MAP_FAILED", "== MAP_FAILED", helpers=("map",))
        case ops.Munmap(name):
            return Call(f"munmap({scene.at(name)}, {scene.map(name)}.len)")
        case ops.Mremap(name, offset, new):
            made = f"({scene.map(new)} = moved(&{scene.map(name)}, {size(offset)})).at"
            return Call(made, "!= MAP_FAILED", "== MAP_FAILED", helpers=("moved",))
        case ops.Mprotect(name, offset, length, access):
            return Call(f"mprotect({scene.address(name, offset)}, {size(length)}, {ACCESSES[access]})")
        case ops.Mlock(name, offset, length):
            return Call(f"mlock({scene.address(name, offset)}, {size(length)})")
        case ops.Madvise(name, offset, length, advice):
            return Call(f"madvise({scene.address(name, offset)}, {size(length)}, {ADVICES[advice]})")
        case ops.Store(name, offset, length):
            if scene.traced and scene.names.shared(name):
                made = f"store({scene.map(name)}, {size(offset)}, {size(length)}, 0x{scene.byte(index):02x})"
                return Call(made, "", helpers=("store",))
            return Call(f"memset({scene.address(name, offset)}, 0x{scene.byte(index):02x}, {size(length)})", "")
        case ops.Load(name, offset, length):
            return Call(f"load({scene.address(name, offset)}, {size(length)})", "", helpers=("load",))
        case ops.Flush(name, offset, length):
            made = f"flush({plus(scene.at(name), offset)}, {size(length)})"
            return Call(made, "", helpers=("flush",), headers=("immintrin.h",))
        case _:
            assert_never(op)
