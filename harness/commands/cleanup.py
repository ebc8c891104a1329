"""`daxcheck cleanup`: undo what a run on a real device left behind when it was killed."""

import argparse
import contextlib
import os

from harness import ending
from harness.box import cleanup, undolog
from harness.errors import EXIT_CLEAN, EXIT_INFRA


def main(_: argparse.Namespace) -> int:
    """Undo all that dead runs of this user left; 3 when something stays, each step and each failure on a line.

    Raises UsageError while a run is at work, which a restored setting would disturb.
    """
    records, complaints = undolog.records()
    for complaint in complaints:
        _say(complaint)
    if os.geteuid() and undolog.RUN.is_dir():
        _say(f"{undolog.RUN} is root's: for runs of root, run daxcheck cleanup as root")
    if not records and not complaints:
        _say("nothing to do: no run has left anything")
    with undolog.exclusive_run() if records else contextlib.nullcontext():
        done = [cleanup.repair(record, _say) for record in records]
    return EXIT_CLEAN if all(done) and not complaints else EXIT_INFRA


def _say(text: str) -> None:
    ending.say(text)
