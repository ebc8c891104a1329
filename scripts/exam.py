"""Plants known faults in a stock kernel, one at a time, and tells which of them the suite sees, and by what."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import cli, ending
from harness.errors import DaxcheckError
from harness.exam import catalogue, questions, scoretable
from harness.exam.examiner import Examiner, GivenUp, Manner, Seat
from harness.exam.fault import PlantedFault
from harness.exam.kerneltext import Unplaced
from harness.exam.record import ExamRecord
from harness.exam.sat import Sat
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
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into docs/score.md; run nothing")
    parser.add_argument("--near", action="store_true", help="ask the families of a fault first")
    parser.add_argument("--full", action="store_true", help="ask all scenarios, not only the quick and the near ones")
    parser.add_argument("--trust", action="store_true", help="do not run a killer on the sound kernel")
    parser.add_argument("--others", action="store_true", help="have the other ways look at what a killer sees")
    parser.add_argument("--fuzz", type=float, default=0.0, metavar="MINUTES", help="have random Programs look, too")
    parser.add_argument("--false-alarms", type=int, default=0, metavar="N",
                        help="run the controls N times and the quick set N/50 times on the sound kernel instead")
    parser.add_argument("--cells", type=int, default=0, metavar="N", help="give a fault up after N cells (never)")
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
    if given.false_alarms:
        return false_alarms(given)
    if given.list:
        print(*scoretable.catalogue(faults), sep="\n")
        return 0
    with contextlib.ExitStack() as stack:
        record = stack.enter_context(contextlib.closing(ExamRecord(given.results or Path("results/exam"))))
        known = record.read(ending.say)
        if not (given.table or given.write):
            left = [fault for fault in faults if given.again or fault.id not in known]
            examine(given, left, record)
        sats = record.read(ending.say)
        if given.write:
            given.write.write_text(scoretable.document(given.write.read_text(), catalogue.FAULTS, sats))
        print("", *scoretable.table(faults, sats), "", *scoretable.score(faults, sats), sep="\n")
    return 0


def examine(given: argparse.Namespace, faults: Sequence[PlantedFault], record: ExamRecord) -> None:
    kernel = cache.find(given.kernel)
    asked = questions.all_of(SCENARIOS)
    issues = knownfile.load([], own=True)
    with Examiner(kernel, find_qemu(), asked, issues, ending.say) as examiner:
        for number, fault in enumerate(faults, 1):
            if not any(matches(series, kernel.release) for series in fault.kernels):
                ending.say(f"{fault.id}: not for {kernel.release}")
                continue
            ending.say(f"{number}/{len(faults)} {fault.id}: {fault.does}")
            try:
                with examiner.seated(fault) as seat:
                    sat = verdict(given, examiner, seat)
            except GivenUp as error:
                ending.say(f"{fault.id}: given up: {error}")
                continue
            except Unplaced as error:
                ending.say(f"ERROR {fault.id}: it has no place in {kernel.release}: {error}")
                continue
            record.add(sat)
            what = f"killed by {sat.killer}" if sat.killed else "SURVIVES"
            ending.say(f"{fault.id}: {what} after {sat.seconds:.0f} s, {sat.cells} cells")


def verdict(given: argparse.Namespace, examiner: Examiner, seat: Seat) -> Sat:
    manner = Manner(near=given.near, full=given.full, sound=not given.trust, most=given.cells)
    sat, killer = examiner.sit(seat, manner)
    if given.others and killer is not None:
        sat = examiner.others(seat, sat, killer)
    return replace(sat, fuzzed=examiner.fuzzed(seat, given.fuzz)) if given.fuzz else sat


def false_alarms(given: argparse.Namespace) -> int:
    """Run the controls and the quick set again and again; the number of cells that did not pass."""
    kernel = cache.find(given.kernel).release
    quick = max(given.false_alarms // 50, 1)
    status = 0
    for name, options in (("controls", ["-k", "controls", "--repeat", str(given.false_alarms)]),
                          ("quick", ["-m", "quick", "--repeat", str(quick)])):  # fmt: skip
        results = (given.results or Path("results/exam")) / f"sound-{name}"
        argv = ["run", "--kernel", kernel, "--no-history", "--results", str(results), "--resume", *options]
        ending.say(f"daxcheck {' '.join(argv)}")
        status = cli.main(argv) or status
    return status


if __name__ == "__main__":
    sys.exit(main())
