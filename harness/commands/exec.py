"""`daxcheck exec`: a program of the user's own on a DAX mount, its power cut, its verifier on what is left."""

import argparse
import dataclasses
import sys

from harness import ending
from harness.cells import guests
from harness.commands.shell import LIBRARY, TOOLS
from harness.deadline import now
from harness.errors import EXIT_CLEAN, EXIT_INFRA, EXIT_VIOLATION, InfraError, UsageError
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.kernel import config
from harness.kernel.kernel import Kernel
from harness.model.setting import crashplan
from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import find as find_device
from harness.model.wire.commanded import Commanded
from harness.plain import plain_lines
from harness.report.progress import LiveLine
from harness.targets import provision
from harness.targets.engines.table import ENGINES
from harness.trial import kit
from harness.trial.judging import TrialJudge, TrialVerdict
from harness.trial.keeping import Keeping
from harness.trial.kit import Kit
from harness.trial.sessions import CommandFailed, Orders
from harness.trial.trial import Trial, Wrote
from harness.trial.words import Telling
from harness.vm.initrd import initramfs
from harness.vm.machine import Hardware, find_qemu

LONGEST = 24 * 3600.0
"""Seconds that --timeout may give a command."""
SHOWN = 4000
"""Characters of a failed command's output that are shown: its end."""
FEW = 8
"""Images of which nothing is told while they are looked at, unless it is on a terminal."""
SILENCE = 30.0
"""Seconds between two lines that tell how far the images are, where there is no live line."""


def main(options: argparse.Namespace) -> int:
    """Run, cut, recover and verify; 1 for a bad moment, 3 where nobody could tell of some. Raises UsageError."""
    plan, orders, system = _plan(options), _orders(options), filesystem.find(options.fs)
    with Keeping(options.results, image=options.keep_image) as keeping:
        (kernel,) = guests.choose(options.kernel, options.modules, ending.say)[:1]
        config.check(kernel, (system.name,))
        where = f"{kernel.release} {system.label}"
        with _trial(options, kernel, system, orders) as trial:
            return _carried_out(trial, orders, plan, options.seed, keeping, where)


def _carried_out(trial: Trial, orders: Orders, plan: CrashPlan, seed: int, keeping: Keeping, where: str) -> int:
    """Run and judge; of what fails, keep what there is to read. Raises CommandFailed, InfraError."""
    try:
        with trial.written() as wrote:
            keeping.command("write", wrote.written)
            return _judge(trial, wrote, plan, seed, orders, keeping, where)
    except CommandFailed as error:
        keeping.command("failed", error.found)
        _show(error.found)
        raise
    except InfraError as error:
        keeping.console("failed", error.console)
        raise


def _plan(options: argparse.Namespace) -> CrashPlan:
    """Return the plan of crash points. Raises UsageError for one that a command or the device cannot have."""
    if options.crash == crashplan.OPS:
        raise UsageError("--crash ops: a command has no ops: wants fences, a number of points, or end")
    plan = crashplan.find(options.crash, options.evictions)
    if reason := ENGINES[Engine.PLUGIN].why_not(plan, find_device(options.device)):
        raise UsageError(f"{reason}: take --crash end")
    return plan


def _orders(options: argparse.Namespace) -> Orders:
    """Return what is to be done in the guest. Raises UsageError."""
    if not 0 < options.timeout <= LONGEST:
        raise UsageError(f"--timeout {options.timeout:g}: wants seconds from 1 to {LONGEST:.0f}")
    for name, command in (("--write", options.write), ("--verify", options.verify)):
        if not command.strip() or "\0" in command:
            raise UsageError(f"{name} {command!r}: wants a command of the shell")
    return Orders(options.write, options.verify, options.timeout, Kit(kit.load(options.copy)))


def _trial(options: argparse.Namespace, kernel: Kernel, system: FileSystem, orders: Orders) -> Trial:
    qemu = find_qemu(options.qemu, plugin=True)
    hardware = Hardware(device=find_device(options.device))
    base = provision.plan(kernel, qemu, hardware)
    plan = dataclasses.replace(base, initramfs=initramfs.build(kernel, extra=TOOLS, library=LIBRARY))
    return Trial(kernel, plan, provision.tracker(qemu, hardware, Engine.PLUGIN), system, orders, ending.say)


def _judge(
    trial: Trial, wrote: Wrote, plan: CrashPlan, seed: int, orders: Orders, keeping: Keeping, where: str
) -> int:
    judge = TrialJudge(wrote.cut, wrote.written, plan, seed, trial.look)
    progress = ImageProgress()
    verdict = judge.run(progress.show, keeping.bad)
    progress.clear()
    telling = Telling(wrote.cut, wrote.written, orders.kit.files, trial.symbols)
    lines = [*_remarks(wrote, verdict), *_verdict(verdict, telling)]
    lines[-1:] = [f"{where}: {lines[-1]}"]
    for line in lines:
        ending.say(line)
    keeping.report(lines)
    if verdict.bad is not None:
        return EXIT_VIOLATION
    return EXIT_INFRA if verdict.untold or not verdict.looked else EXIT_CLEAN


def _remarks(wrote: Wrote, verdict: TrialVerdict) -> list[str]:
    """Return what a reader of the verdict must know beside it."""
    lines = []
    if wrote.written.cut_short:
        lines.append(f"--write printed more than the {len(wrote.written.out)} bytes that DAX_ACKED can hold")
    if verdict.refused:
        lines.append(f"--verify does not accept the file system as it was before --write ({verdict.refused}), so "
                     f"{verdict.left_out} images before the first output are left out")  # fmt: skip
    execution = wrote.execution
    lines += [f"the kernel said while --write ran: {one.line}" for one in execution.complaints]
    lines += [f"fsck said after --write, with the power on: {execution.unsound}"] if execution.unsound else []
    return lines


def _verdict(verdict: TrialVerdict, telling: Telling) -> list[str]:
    """Return the lines that tell the verdict, that itself the last."""
    lines = [f"cannot tell {telling.moment(one.point, one.eviction)}: {one.looked.words}" for one in verdict.untold]
    if verdict.bad is not None:
        bad = verdict.bad
        lines.append(f"--write had printed by then: {telling.promised(bad.point)}")
        return [*lines, f"bad {telling.moment(bad.point, bad.eviction)}: {bad.looked.words}"]
    cut = f"cut at {verdict.taken} of {verdict.moments} moments, {verdict.different} different images"
    if verdict.untold or not verdict.looked:
        return [*lines, f"cannot tell of every image, and none was bad ({cut})"]
    return [*lines, f"good: the verifier accepts every image ({cut})"]


def _show(found: Commanded) -> None:
    """Show the end of what a failed command wrote, on standard error."""
    for data in (found.out, found.err):
        if text := data.decode(errors="replace")[-SHOWN:].rstrip("\n"):
            print(plain_lines(text), file=sys.stderr, flush=True)


class ImageProgress:
    """Tells how many images are done: in a live line on a terminal, elsewhere now and then in a line of its own."""

    def __init__(self) -> None:
        self._start = self._told = now()
        self._live = LiveLine(self._write) if sys.stdout.isatty() else None

    def show(self, done: int, total: int) -> None:
        """Tell that so many are done."""
        if self._live is None and (total <= FEW or now() - self._told < SILENCE):
            return
        left = (now() - self._start) / done * (total - done)
        line = f"{done}/{total} images, about {left:.0f} s left"
        if self._live is not None:
            self._live.show(line)
        else:
            self._told = now()
            ending.say(f"    {line}")

    def clear(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.clear()

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
