"""Starts programs of this machine so that they do not outlive the harness."""

import os
from collections.abc import Sequence

_CHECK = '[ "$PPID" = "$0" ] && exec "$@"'
"""A shell script that runs the command unless its parent is another than the process that started it."""


def bound(argv: Sequence[str], by: str = "KILL") -> list[str]:
    """The command, ended by the signal `by` when the thread that starts it ends: also by kill -9, also if that comes
    before the command runs.

    prctl(2), PR_SET_PDEATHSIG: the signal comes "upon termination of the parent thread", and not if that ended before
    the call. So the parent is checked after the call: a process whose parent has ended has another one. The setting is
    kept "across execve(2)", but not by a set-user-ID program.
    """
    return ["setpriv", "--pdeathsig", by, "sh", "-c", _CHECK, str(os.getpid()), *argv]
