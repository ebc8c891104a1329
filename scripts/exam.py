"""Plants known faults in a stock kernel, one at a time, and tells which of them the suite sees, and by what."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import ending
from harness.errors import DaxcheckError
from harness.exam import catalogue, questions, scoretable
from harness.exam.examiner import Examiner, Manner
from harness.exam.fault import Fault
from harness.exam.kerneltext import Unplaced
from harness.exam.record import ExamRecord
from harness.findings import knownfile
from harness.kernel import cache
from harness.kernel.kernel import matches
from harness.pytestplugin.arguments import SCENARIOS
from harness.vm.machine import find_qemu


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/exam", description=__doc__)
    parser.add_argument("--kernel", default="6.1", metavar="SPEC", help="cached kernel to spoil (%(default)s)")
    parser.add_argument("--only", default="", metavar="ID,...", help="these faults (all)")
    parser.add_argument("--list", action="store_true", help="tell the faults, and run nothing")
    parser.add_argument("--results", type=Path, metavar="DIR", help="keep verdicts in DIR, and leave out those it has")
    parser.add_argument("--again", action="store_true", help="examine faults again that DIR has a verdict on")
    parser.add_argument("--table", action="store_true", help="print the table of DIR, and run nothing")
    parser.add_argument("--near", action="store_true", help="ask the families of a fault first")
    parser.add_argument("--full", action="store_true", help="ask all scenarios, not only the quick and the near ones")
    parser.add_argument("--trust", action="store_true", help="do not run a killer on the sound kernel")
    return parser.parse_args()


def main() -> int:
    given = options()
    try:
        with ending.signals():
            return run(given)
    except DaxcheckError as error:
        print(f"scripts/exam: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("scripts/exam: ended; what was judged is kept", file=sys.stderr)
        return 130


def run(given: argparse.Namespace) -> int:
    faults = catalogue.find(given.only)
    if given.list:
        print(*scoretable.catalogue(faults), sep="\n")
        return 0
    with contextlib.ExitStack() as stack:
        record = stack.enter_context(contextlib.closing(ExamRecord(given.results or Path("results/exam"))))
        known = record.read(ending.say)
        if not given.table:
            left = [fault for fault in faults if given.again or fault.id not in known]
            examine(given, left, record)
        sats = record.read(ending.say)
        print("", *scoretable.table(faults, sats), "", *scoretable.score(faults, sats), sep="\n")
    return 0


def examine(given: argparse.Namespace, faults: Sequence[Fault], record: ExamRecord) -> None:
    kernel = cache.find(given.kernel)
    asked = questions.all_of(SCENARIOS)
    issues = knownfile.load([], own=True)
    manner = Manner(near=given.near, full=given.full, sound=not given.trust)
    with Examiner(kernel, find_qemu(), asked, issues, ending.say) as examiner:
        for number, fault in enumerate(faults, 1):
            if not any(matches(series, kernel.release) for series in fault.kernels):
                ending.say(f"{fault.id}: not for {kernel.release}")
                continue
            ending.say(f"{number}/{len(faults)} {fault.id}: {fault.does}")
            try:
                with examiner.faulty(fault) as runner:
                    sat, _ = examiner.sit(fault, runner, manner)
            except Unplaced as error:
                ending.say(f"ERROR {fault.id}: it has no place in {kernel.release}: {error}")
                continue
            record.add(sat)
            what = f"killed by {sat.killer}" if sat.killed else "SURVIVES"
            ending.say(f"{fault.id}: {what} after {sat.seconds:.0f} s, {sat.cells} cells")


if __name__ == "__main__":
    sys.exit(main())
