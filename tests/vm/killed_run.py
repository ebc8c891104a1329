"""A run that is killed while it traces and its agent has /dev/pmem0 mounted, for the box that this runs in.

python -m tests.vm.killed_run is that run; with the argument left it says what of it can still be seen.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from harness.box import undolog
from harness.box.undo import Erased, Tracing, WriteCache
from harness.deadline import Deadline, DeadlineExpired, poll
from harness.linux import probes, tracefs
from tests.vm import burglary

PROBE, INSTANCE = "daxcheck_x", "daxcheck_test"
CACHE = Path("/sys/block/pmem0/dax/write_cache")
AGENT = "mount -o dax /dev/pmem0 /mnt/a; echo ready; exec sleep 1000"


def run() -> None:
    """Does what a run does, in its order, and is killed."""
    book = undolog.UndoLog().__enter__()
    book.record(Erased("pmem0"))
    book.record(Tracing())
    probes.define([probes.Probe(PROBE, "vfs_fsync_range")])
    tracefs.Instance(INSTANCE, 64).write(f"events/daxcheck/{PROBE}/enable", "1")
    book.record(WriteCache.of("pmem0"))
    CACHE.write_text("0")
    agent = subprocess.Popen(
        ["unshare", "-m", "sh", "-ec", AGENT], stdout=subprocess.PIPE, env={**os.environ, **book.environment},
        start_new_session=True,
    )  # fmt: skip
    if agent.stdout is not None:
        agent.stdout.readline()
    os.kill(os.getpid(), signal.SIGKILL)


def left() -> list[str]:
    """What can be seen of it."""
    found = [*probes.defined(), *tracefs.instances(), *(str(record.path) for record in undolog.records()[0])]
    if CACHE.read_text() != "1\n":
        found.append("write_cache")
    try:
        poll(burglary.free, Deadline(2), "pmem0 is held")
    except DeadlineExpired:
        found.append("mount")
    return found


def main() -> None:
    if sys.argv[1:] == ["left"]:
        print(*left())
        return
    burglary.sh("mkdir -p /mnt/a")
    burglary.mkfs()
    if os.fork() == 0:
        run()
    os.wait()


if __name__ == "__main__":
    main()
