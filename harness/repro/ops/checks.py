"""The C of ops that look, and the ops of which a C program has none, each with the reason."""

from collections.abc import Mapping
from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import CheckOp, Entry, Op, Switch
from harness.repro.call import Call
from harness.repro.naming import size
from harness.repro.scene import Scene

REFUSED: Mapping[type[Op], str] = {
    ops.Planted: "it plants a fault in the emulated hardware, which a C program cannot do",
}
"""Ops that make a Program none that C can express."""
LEFT_OUT: Mapping[type[Op], str] = {
    ops.Observe: "it reads the files while the power is on, which judges the contents of caches, not their write-back",
    ops.CutPower: "the trace is judged instead; what it cannot tell is printed there, to compare after a cut",
}
"""Ops that a reproducer passes over: what is promised does not depend on them."""


def call(scene: Scene, op: CheckOp) -> Call | None:
    """The C of the op; None for one that is passed over, or is told by the op after it."""
    match op:
        case ops.ExpectMapped() if not scene.traced:
            return None  # the faults are not traced either
        case ops.ExpectMapped(name, entry, offset, length):
            place = f"{scene.address(name, offset)}, {size(length)}, {1 if entry is Entry.PTE else 2}"
            return Call(f"expect_mapped({place})", "", helpers=("expect_mapped",))
        case ops.ExpectDax(fd, dax):
            good = "== 1" if dax is Switch.ON else "== 0"
            return Call(f"is_dax({scene.fd(fd)})", good, helpers=("is_dax",))
        case ops.ExpectErrno() | ops.ExpectShort() | ops.ExpectSignal():
            return None
        case ops.Observe() | ops.Planted() | ops.CutPower():
            return None
        case _:
            assert_never(op)
