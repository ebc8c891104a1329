"""The results of a run in which each op does what the Program says of it."""

import errno
import signal

from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.wire.observation import OpResult


def results(program: Program) -> list[OpResult]:
    """The results of the ops that are to be refused, or to end in a signal; all others succeed."""
    found = []
    for index, op in enumerate(program.ops[:-1], start=1):
        match op:
            case ops.ExpectErrno(errnos):
                found.append(OpResult(index, errno=getattr(errno, errnos.split("|")[0])))
            case ops.ExpectSignal(number):
                found.append(OpResult(index, signal=int(signal.Signals[number])))
            case _:
                pass
    return found
