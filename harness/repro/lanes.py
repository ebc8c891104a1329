"""Emits lanes as functions, each run by a thread or by a forked process, and the statements that run them."""

from collections.abc import Sequence

from harness.model.program import ops
from harness.model.program.ops import Worker
from harness.model.program.stages import LaneOps, Stage
from harness.model.program.traits import defined, traits
from harness.repro.naming import size
from harness.repro.scene import Scene

HELPERS = {Worker.THREAD: "lanes", Worker.PROCESS: "joined", Worker.KILLED: "killed"}
"""The helper of each worker."""


def function_names(races: Sequence[Stage]) -> dict[tuple[int, int], str]:
    """The name of each lane's function, by the first op of its stage and its place there: lane_a.

    Lanes of two groups may be called the same: lane_a, lane_a_17.
    """
    found: dict[tuple[int, int], str] = {}
    for stage in races:
        for number, one in enumerate(stage.lanes):
            name = f"lane_{one.lane.name}"
            found[stage.first, number] = f"{name}_{stage.first}" if name in found.values() else name
    return found


def function(scene: Scene, name: str, lane: LaneOps, body: Sequence[str]) -> list[str]:
    """The function of a lane whose ops are the statements `body`."""
    inner = [*body, *_ended(scene, lane)]
    times = lane.lane.times
    if times > 1:
        inner = [f"for (i = 0; i < {times}; i++) {{", *(f"\t{line}" for line in inner), "}"]
    declared = ["\tint i;", ""] if times > 1 else []
    statements = ["pthread_barrier_wait(gate);", *inner, "return unused;"]
    return [f"static void *{name}(void *unused)", "{", *declared, *(f"\t{line}" for line in statements), "}", ""]


def _ended(scene: Scene, lane: LaneOps) -> list[str]:
    """The statements that end what the lane has opened and mapped, and has not ended itself: its names are gone then.
    """
    left: dict[str, str] = {}
    for index in lane.indices:
        op = scene.program.ops[index]
        if isinstance(scene.foreseen(index), ops.ExpectErrno | ops.ExpectSignal):
            continue
        match op:
            case ops.Open(fd):
                left[scene.fd(fd)] = f"close({scene.fd(fd)});"
            case ops.Mmap(name):
                left[scene.map(name)] = f"munmap({scene.map(name)}, {size(scene.names.facts[name].left)});"
            case ops.Close(fd):
                left.pop(scene.fd(fd), None)
            case ops.Munmap(name):
                left.pop(scene.map(name), None)
            case _:
                assert not defined(op), f"{op} defines {traits(op).defines}, and nobody ends it"
    return [*reversed(left.values())]


def started(lanes: Sequence[LaneOps], names: Sequence[str]) -> list[str]:
    """The statements that run lanes to their end; `names` are their functions.

    Processes are forked first, while there is one thread only.
    """
    forked = [number for number, one in enumerate(lanes) if one.lane.worker is not Worker.THREAD]
    killed = [number for number in forked if lanes[number].lane.worker is Worker.KILLED]
    threads = [number for number in range(len(lanes)) if number not in forked]
    declared = [f"\tpthread_t {', '.join(f't{number}' for number in threads)};"] if threads else []
    declared += [f"\tpid_t {', '.join(f'p{number}' for number in forked)};"] if forked else []
    return [
        "{", *declared, "",
        f"\topen_gate({len(lanes)});",
        *(f"\tp{number} = process({names[number]});" for number in forked),
        *(f"\tCHECK(!pthread_create(&t{number}, NULL, {names[number]}, NULL));" for number in threads),
        *(f"\tkilled(p{number});" for number in killed),
        *(f"\tCHECK(!pthread_join(t{number}, NULL));" for number in threads),
        *(f"\tjoin(p{number});" for number in forked if number not in killed),
        "\talarm(0);",
        "}",
    ]  # fmt: skip
