"""Tells before a run whether it could judge anything."""

from collections.abc import Iterator
from itertools import repeat

from harness.model.contract import oracle
from harness.model.contract.domain import PersistenceDomain
from harness.model.contract.filestate import FileState
from harness.model.contract.state import NOTHING, State
from harness.model.program.ops import CutPower
from harness.model.program.program import Program
from harness.model.program.traits import traits

NO_CUT = "the power was not cut, so nothing was put to the test: end the Program with cut_power"
NO_FILE = "nothing would be judged: no file with contents is synced, and none is read: fsync the file, then fsyncdir"


def why_not_judged(program: Program) -> str:
    """Return why no run of the Program could end in a PASS; empty if one may.

    Two kinds of bytes are judged: those that a read returns while the power is on, and those that must be there after
    the cut. Bytes that no op has synced need not be there (fsync(2)).
    """
    if not program.ops or not isinstance(program.ops[-1], CutPower):
        return NO_CUT
    if any(traits(op).looks for op in program.ops) or any(map(_synced, PersistenceDomain, repeat(program))):
        return ""
    return NO_FILE


def _synced(domain: PersistenceDomain, program: Program) -> bool:
    """Say whether some file with contents was synced at some time: it may be judged although its name was not.

    Most Programs tell in their first ops, and the ops behind those that tell are not worked through.
    """
    large: set[int] = set()
    promised: set[int] = set()
    for state in _states(domain, program):
        large.update(file.id for file in state.files.values() if file.longest)
        promised.update(file.id for file in state.files.values() if _promised(file))
        if large & promised:
            return True
    return False


def _states(domain: PersistenceDomain, program: Program) -> Iterator[State]:
    """Yield the state after each op, and the one that the cut is judged by."""
    state = NOTHING
    for state in oracle.steps(program, domain=domain):
        yield state
    yield oracle.at_cut(program, [state])


def _promised(file: FileState) -> bool:
    """Say whether an op has made the size of the file, or a byte of it, durable."""
    runs = file.held.runs(0, file.longest)
    return file.size_by is not None or any(byte.promised_by is not None for _, _, byte in runs)
