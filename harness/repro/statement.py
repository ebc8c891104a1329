"""Emits the C statements of one op, as the expectation before it wants."""

from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import Op
from harness.repro.call import Call
from harness.repro.naming import size
from harness.repro.ops import checks, copies, files, mappings, syncs, system
from harness.repro.scene import Scene


def call(scene: Scene, index: int) -> Call | None:
    """The C of op `index`; None for an op that has none of its own."""
    op: Op = scene.program.ops[index]
    if isinstance(op, ops.FileOp):
        return files.call(scene, index, op)
    if isinstance(op, ops.CopyOp):
        return copies.call(scene, index, op)
    if isinstance(op, ops.MappingOp):
        return mappings.call(scene, index, op)
    if isinstance(op, ops.SyncOp):
        return syncs.call(scene, op)
    if isinstance(op, ops.SystemOp):
        return system.call(op)
    if isinstance(op, ops.CheckOp):
        return checks.call(scene, op)
    if isinstance(op, ops.Barrier):
        return Call("pthread_barrier_wait(gate)", "", helpers=("lanes",))
    if isinstance(op, ops.Lane | ops.Join):
        return None  # harness.repro.lanes
    assert_never(op)


def statements(scene: Scene, index: int, one: Call) -> list[str]:
    """The lines of the op; they end the reproducer by 77 if the op goes another way than the Program says."""
    single = one.once or one.made
    match scene.foreseen(index):
        case ops.ExpectErrno() if not one.good:
            return [*one.before, f"{one.made};", 'errx(77, "no error can be told of this: cannot tell");']
        case ops.ExpectErrno(errnos):
            wanted = " || ".join(f"errno == {name}" for name in errnos.split("|"))
            wanted = f"({wanted})" if "|" in errnos else wanted
            return [*one.before, f"CHECK({single} {one.bad} && {wanted});"]
        case ops.ExpectShort(count):
            return [*one.before, f"CHECK({single} == {size(count)});", *one.after]
        case ops.ExpectSignal(signal):
            return [f"if (in_child({signal})) {{", f"\t{_checked(one)}", "\t_exit(0);", "}"]
        case None:
            return [*one.before, _checked(one), *one.after]
        case _:
            raise AssertionError(f"op {index} is foreseen in a way that is not known")


def _checked(one: Call) -> str:
    if not one.good:
        return f"{one.made};"
    return f"CHECK(!{one.made});" if one.good == "== 0" else f"CHECK({one.made} {one.good});"
