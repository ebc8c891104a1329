"""Programs of this machine that the harness starts, and that must not outlive it."""

import os
from collections.abc import Sequence

_CHECK = '[ "$PPID" = "$0" ] && exec "$@"'
"""Runs the command unless its parent is another than the process that started it."""


def bound(argv: Sequence[str]) -> list[str]:
    """The command, killed when the thread that starts it ends: also by kill -9, also if that comes before it runs.

    prctl(2), PR_SET_PDEATHSIG: the signal comes "upon termination of the parent thread", and of none that ended before
    the call. So who its parent is is asked after it: a process whose parent has ended has another one. The setting is
    kept "across execve(2)", but not by a set-user-ID program.
    """
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _CHECK, str(os.getpid()), *argv]
