"""Cleans up after a killed run: ends its processes, then undoes its deeds, the newest first."""

import contextlib
import os
import select
import signal
from collections.abc import Callable

from harness.box import undolog
from harness.box.discover import PROC
from harness.box.undolog import MARK, Owner, RunJournal
from harness.deadline import Deadline
from harness.errors import DaxcheckError

DYING = 20.0
"""Seconds for killed processes to be gone: their last mounts and mappings go with them."""
Say = Callable[[str], None]


def repair(record: RunJournal, say: Say) -> bool:
    """Undo what is left of one run, and say each step. Return False if something had to be left.

    A run that is alive is not touched; nor is one of another PID namespace: nothing can be known of it.
    """
    owner, here = record.owner, Owner.myself()
    name = f"run of process {owner.pid}"
    if owner.boot != here.boot:
        say(f"{name}: the machine was booted since, which undid all: {_forget(record)}")
        return True
    if owner.namespace != here.namespace:
        say(f"{name}: belongs to another PID namespace (a container): run daxcheck cleanup there")
        return False
    if owner.alive:
        say(f"{name}: still runs: left alone")
        return True
    # Some deeds, such as probes, cannot be undone while processes still live by them.
    done = end(record.mark, lambda text: say(f"{name}: {text}"))
    for number, deed in record.left:
        try:
            said = deed.undo()
            undolog.note_undone(record, number)
        except (OSError, ValueError, DaxcheckError) as error:
            say(f"{name}: FAILED to undo: {deed}: {error}")
            done = False
        else:
            say(f"{name}: {said}")
    if done:
        say(f"{name}: {_forget(record)}")
    return done


def end(mark: str, say: Say) -> bool:
    """Kill all processes that carry the mark of a run, and wait for their end. Return whether all are gone."""
    deadline = Deadline(DYING)
    gone = True
    # A process that is being forked shows only in a later round.
    while held := _marked(mark):
        for pid, fd in held:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            gone = _await_end(fd, deadline)
            os.close(fd)
            say(f"process {pid} killed" if gone else f"process {pid} does not die: it hangs in the kernel; reboot")
        if not gone or deadline.expired:
            return False
    return gone


def _marked(mark: str) -> list[tuple[int, int]]:
    """The processes of that mark, each with a descriptor that will never mean another (pidfd_open(2))."""
    found = []
    for path in PROC.glob("[0-9]*"):
        pid = int(path.name)
        if pid == os.getpid() or not _has_mark(pid, mark):
            continue
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            if _has_mark(pid, mark) and undolog.started(pid) is not None:
                found.append((pid, fd))
            else:
                os.close(fd)
    return found


def _has_mark(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _await_end(fd: int, deadline: Deadline) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(deadline.remaining() * 1000))


def _forget(record: RunJournal) -> str:
    record.path.unlink(missing_ok=True)
    return "its journal is removed"
