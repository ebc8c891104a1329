"""`daxcheck judge`: after the boot that followed a real power cut, reread what is left and judge it.

The first mount recovers the file system and so changes the medium for ever. Therefore the medium is copied before that,
into the dossier, and every later judging starts from the copy: it can be repeated, also under another kernel.
"""

import argparse
import contextlib
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import ending
from harness.box import armed, armedrun, dimms, discover, permit
from harness.box.armedrun import ArmedPhase, ArmedRun
from harness.box.discover import PmemDevice
from harness.box.permit import Permit
from harness.box.signature import ARMED
from harness.box.target import OWNED, LocalTarget
from harness.cells.cell import Judged, cell_on, judge_cell, unjudged
from harness.errors import EXIT_CLEAN, EXIT_INFRA, EXIT_VIOLATION, UsageError
from harness.findings import knownfile
from harness.fs import filesystem
from harness.history.writer import HistoryWriter
from harness.memfile import MemFile
from harness.model.judge.result import CellResult, Outcome
from harness.model.setting.engine import Engine
from harness.powercut.postmortem import PowerTarget
from harness.report import text
from harness.report.journal import Journal
from harness.report.kept import kept

KEPT = (
    "the control kept what nothing protected, so this cut proves nothing: it was none of the power, or the caches had "
    "been written back before it; until a control loses data here, do not believe a pass"
)
"""With a guest that is a fault of the harness. Here eviction is real and nobody's fault, but it was not put to the test
whether a loss would have shown, so it is no verdict either."""
_CODES = {Outcome.FAIL: EXIT_VIOLATION, Outcome.ERROR: EXIT_INFRA}


def main(options: argparse.Namespace) -> int:
    """Judge one dossier: 0 clean or known, 1 a promise was broken, 3 it could not be judged. Raises UsageError."""
    known = knownfile.load(options.known, own=not options.no_known)
    folder = options.state
    told = armedrun.read(folder)
    refuse(told, armedrun.boot_id(), folder)
    device = find(told, discover.devices())
    present = frozenset(signature.type for signature in device.signatures)
    if failed := armed.note(told.uuid, folder):
        _say(failed)
    types = (present & frozenset(told.types)) | {ARMED for signature in device.signatures if signature.armed}
    allowed = permit.check(device.path, device.path, ",".join(sorted(types)))
    _say(f"{device.path} holds the file system {told.uuid} of this run, which was armed on /dev/{told.disk}: "
         "recovery writes to it")  # fmt: skip
    with contextlib.ExitStack() as stack:
        journal = Journal(options.results) if options.results else None
        if journal is not None:
            stack.callback(journal.close)
        release = platform.release()
        if release != told.kernel:
            _say(f"the ops ran under {told.kernel}, and {release} recovers what they left")
        judged = _judge(folder, told, allowed, stack)
        result = known.settle(replace(judged.result, recovered_by=release))
        issues = [f"known issues: {', '.join(result.known)} (daxcheck known list)"] if result.known else []
        print(text.line(result), *text.losses([result])[1:], *issues, sep="\n", flush=True)
        if journal is not None:
            journal.add(result, judged.console)
        if not options.no_history:
            _remember(result, HistoryWriter(options.history, options.results))
        if result.outcome is not Outcome.ERROR or result.kept:
            armedrun.write(folder, replace(told, phase=ArmedPhase.JUDGED, outcome=result.outcome, judged_by=release))
    return _CODES.get(result.outcome, EXIT_CLEAN)


def _remember(result: CellResult, writer: HistoryWriter) -> None:
    writer.add(kept(result))
    if missing := writer.close():
        _say(missing)


def refuse(told: ArmedRun, boot: str, folder: Path) -> None:
    """Raises UsageError for a dossier of which nothing can be judged now."""
    match told.phase:
        case ArmedPhase.ARMING:
            raise UsageError(f"{folder}: the run had not come to its cut when it ended: daxcheck arm again")
        case ArmedPhase.DISARMED:
            raise UsageError(f"{folder}: the run was disarmed, and its files were let go of: daxcheck arm again")
        case ArmedPhase.ARMED if told.boot == boot:
            raise UsageError(f"{folder}: this machine has not been booted since it was armed: cut its power first")
        case ArmedPhase.JUDGED if not (folder / armedrun.MEDIUM).exists():
            raise UsageError(f"{folder / armedrun.MEDIUM} is gone, and recovery has changed the medium: arm again")
        case ArmedPhase.JUDGED:
            _say(f"judged before, under {told.judged_by}: {told.outcome}; judged again from the copy made before that")
        case _:
            pass


def find(told: ArmedRun, devices: Sequence[PmemDevice]) -> PmemDevice:
    """The device that holds the file system of the run, whatever it is called now. Raises UsageError."""
    found = [device for device in devices if any(one.ours and one.uuid == told.uuid for one in device.signatures)]
    if not found:
        unread = "".join(f"; {device.unread}" for device in devices if device.unread)
        raise UsageError(f"no pmem device here holds the file system {told.uuid} of this run (it was on {told.disk})"
                         f"{unread}: daxcheck doctor lists them")  # fmt: skip
    if len(found) > 1:
        paths = " and ".join(device.path for device in found)
        raise UsageError(f"{paths} both hold the file system {told.uuid}: one is a copy: wipefs -a that")
    if found[0].size != told.size:
        raise UsageError(f"{found[0].path}: has {found[0].size} bytes, and had {told.size} when it was armed")
    return found[0]


def _judge(folder: Path, told: ArmedRun, allowed: Permit, stack: contextlib.ExitStack) -> Judged:
    local = stack.enter_context(LocalTarget(allowed, Engine.POWER, _say))
    medium = stack.enter_context(_medium(folder, local))
    target = PowerTarget(told, medium, local)
    cell = cell_on(target, told.scenario, told.program, filesystem.find(told.fs), told.seed)
    if failed := dimms.failure(told.dirty, dimms.below(allowed.device.region)):
        blank = unjudged(target.environment, cell)
        return Judged(replace(blank, error=f"{failed}: what is lost may be lost by the hardware"))
    judged = judge_cell(target, cell)
    return replace(judged, result=_explained(judged.result))


def _explained(result: CellResult) -> CellResult:
    return replace(result, error=KEPT) if result.kept else result


def _medium(folder: Path, local: LocalTarget) -> MemFile:
    """Return the medium as the cut left it; it is copied into the dossier before anything changes it."""
    medium = armedrun.kept(folder, OWNED)
    if medium is None:
        medium = local.left("power cut")
        try:
            armedrun.keep(folder, medium)
        except UsageError:
            medium.close()
            raise
    return medium


def _say(line: str) -> None:
    ending.say(f"  {line}")
