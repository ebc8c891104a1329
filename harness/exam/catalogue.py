"""All planted faults, in the order of their areas."""

from collections.abc import Sequence

from harness.errors import UsageError
from harness.exam.fault import Area, PlantedFault
from harness.exam.faults import contents, durable, layout, writeback, writes

FAULTS: tuple[PlantedFault, ...] = tuple(
    sorted(
        (*writeback.ALL, *writes.ALL, *contents.ALL, *layout.ALL, *durable.ALL),
        key=lambda fault: tuple(Area).index(fault.area),
    )
)


def find(ids: str) -> Sequence[PlantedFault]:
    """The faults of a list such as flush-nothing,no-commit; all if it is empty. Raises UsageError."""
    if not ids:
        return FAULTS
    known = {fault.id: fault for fault in FAULTS}
    for name in ids.split(","):
        if name not in known:
            raise UsageError(f"--only {name}: there is no such fault; --list names them")
    return tuple(known[name] for name in ids.split(","))
