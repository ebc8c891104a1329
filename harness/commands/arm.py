"""`daxcheck arm`: save what the verdict needs, and bring this machine to the moment before its own power is cut.

These are real cuts. IPMI 2.0, 28.3 Chassis Control: `power off` and `power cycle` deassert POWERGOOD without telling
the system; so does a switched outlet, or the plug. Data in the CPU caches is lost, and data that had reached the memory
controller is not, if the firmware declares it (ADR: ACPI 6.5, 5.2.25.9, platform capabilities, bit 1 "on power loss").

These are none. reboot, poweroff, sysrq-o and `chassis power soft` are orderly: file systems are synced first. A reset
(button, `chassis power reset`, sysrq-b, watchdog) takes no power away. RESET invalidates the processor's caches (Intel
SDM volume 3, Initialization Overview), but firmware may have them written back before; and the capability above says
nothing of resets, so that data still in the write queues may be lost too. INIT, and so kexec, a crash kernel and taking
processors offline, leaves the caches as they are (ibid.), if the kernel does not itself do WBINVD (stop_this_cpu,
mwait_play_dead): all their data will reach the medium. So a loss after a reset need not be the kernel's fault, and a
pass proves nothing.

From the last op on as little as possible is done: every line that is touched may push out one that was not flushed, and
then the loss does not show. Deep idle states write caches back too, so they are forbidden meanwhile.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from harness import ending
from harness.box import armed, armedrun, dimms, discover, permit
from harness.box.armedrun import ArmedPhase, ArmedRun
from harness.box.discover import MemoryKind, PmemDevice
from harness.box.target import LocalTarget, kind_of
from harness.cells import matrix
from harness.cells.answers import unfit
from harness.deadline import Deadline, DeadlineExpired, poll
from harness.errors import InfraError, Refused, UsageError
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.link.kernellog import Complaint
from harness.link.session import Attached, Ran
from harness.model.contract import oracle
from harness.model.contract.worth import NO_CUT, why_not_judged
from harness.model.judge.refusal import judge_refusals
from harness.model.judge.result import Outcome
from harness.model.program import ops
from harness.model.setting import hardware as devices
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import TRAITS
from harness.model.setting.heading import Heading
from harness.powercut import outlives
from harness.pytestplugin import precedence, recording
from harness.pytestplugin.arguments import SCENARIOS
from harness.pytestplugin.recording import Recorded
from harness.targets.target import Execution

COMMAND = 300.0
"""Seconds that --power may take to return, if it does."""
ALIVE = 120.0
"""Seconds from its return until this machine, if it still runs, counts as one whose power was not cut."""
LATENCY = Path("/dev/cpu_dma_latency")
"""The file to hold open, with microseconds written to it, to bound the depth of idle states (pm_qos_interface.rst)."""

VIRTUAL = "this is a virtual machine: to end it takes nothing from the host's caches, so that all will be kept"
ARMED = """\
armed: {scenario} on {path}, {fs}, {kernel}. All ops are done; {folder} holds what the verdict needs.
Take this machine's power away now, in a way that it has no part in, and give it back:
  ipmitool -I lanplus -H BMC -U USER -f FILE chassis power cycle
  labgrid-client -p PLACE power cycle
  a switched outlet (PDU), or the plug
No reboot, poweroff, kexec or sysrq, no reset by button, BMC or watchdog: they sync, or leave the caches to firmware.
After the boot: daxcheck judge {folder}
Ctrl-C disarms."""


def main(options: argparse.Namespace) -> int:
    """Arm, and stay so until the power goes. Raises UsageError, SetupError, InfraError; never returns otherwise."""
    recorded = recording.record(options.scenario, SCENARIOS)
    options = _completed(options, recorded)
    system = _system(recorded, options.fs)
    power = _command(options.power)
    allowed = permit.check(options.target, options.erase, options.erase_signature)
    _refuse(recorded, allowed.device)
    folder = _folder(options.state, allowed.device)
    if " hypervisor" in Path("/proc/cpuinfo").read_text():
        _say(VIRTUAL)
    with contextlib.ExitStack() as stack:
        target = LocalTarget(allowed, Engine.POWER, _say)
        if reason := _why_not_on(target, recorded.heading) or target.why_not_run(recorded.program):
            raise UsageError(f"{recorded.scenario}: {reason}")
        stack.enter_context(target)
        target.golden(system)
        kernel = target.environment.kernel.release
        if failed := armed.note(target.identity(), folder):
            _say(failed)
        blank = ArmedRun(
            ArmedPhase.ARMING, recorded.scenario, recorded.program, system.label, options.seed, kernel,
            armedrun.boot_id(), target.device, allowed.device.name, allowed.device.size,
            types=tuple(sorted(allowed.types)), dirty=dimms.counts(dimms.below(allowed.device.region)),
        )  # fmt: skip
        armedrun.write(folder, blank)
        stack.callback(_say, "disarmed: the power was not cut")
        stack.callback(armedrun.write, folder, replace(blank, phase=ArmedPhase.DISARMED))
        stack.enter_context(_awake())

        def at_cut(uuid: str, attached: Attached, ran: Ran, complaints: tuple[Complaint, ...]) -> None:
            _check(target, recorded, system, attached, ran)
            armedrun.write(folder, replace(
                blank, phase=ArmedPhase.ARMED, uuid=uuid, write_cache=attached.write_cache,
                persistence_domain=attached.persistence_domain, results=ran.results, traced=ran.traced,
                complaints=complaints[: armedrun.COMPLAINTS],
            ))  # fmt: skip
            print(ARMED.format(scenario=recorded.scenario, path=allowed.path, fs=system.label, kernel=kernel,
                               folder=folder), flush=True)  # fmt: skip
            _await_cut(power)

        target.until_cut(recorded.program, system, options.seed, at_cut)
    raise InfraError(f"{recorded.scenario}: the run went on after its cut")


def _completed(options: argparse.Namespace, recorded: Recorded) -> argparse.Namespace:
    """The options, with what the heading of a .prog file says where nothing was typed."""
    typed = [option for option in ("--fs", "--seed") if getattr(options, option[2:]) is not None]
    for line in precedence.remarks(options, typed, [(Path(options.scenario), recorded.text)]):
        _say(line)
    return precedence.completed(options, recorded.text, fs="ext4")


def _why_not_on(target: LocalTarget, heading: Heading) -> str:
    """Return why the heading of a .prog file rules this machine out; empty if it does not."""
    if heading.device not in (None, target.device):
        return f"the file is for {heading.device}, and this device is {target.device}"
    return heading.why_not_on(target.environment.kernel.release)


def _system(recorded: Recorded, label: str) -> FileSystem:
    """The one file system to run on. Raises UsageError where the scenario's marks leave none, or several."""
    found = matrix.choose(filesystem.find(label), recorded.wanted)
    if reason := next(iter(found.values())):
        raise UsageError(f"{recorded.scenario}: {reason}")
    labels = {system.label: system for system in found}
    chosen = labels.get(label) or (next(iter(found)) if len(labels) == 1 else None)
    if chosen is None:
        raise UsageError(f"{recorded.scenario} runs on several formats: name one, --fs {' or --fs '.join(labels)}")
    if chosen.layout:
        raise UsageError(f"--fs {chosen.label}: the layout {chosen.layout} is made in guests only")
    if chosen.has_own:
        raise UsageError(f"--fs {chosen.label}: options of mkfs and mount are for guests: leave them out")
    return chosen


def _command(text: str) -> list[str]:
    """The words of --power, its program found. Raises UsageError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--power {text!r}: {error}") from error
    if words and not shutil.which(words[0]):
        raise UsageError(f"--power {text!r}: {words[0]} is not found: give the path of a program")
    return words


def _refuse(recorded: Recorded, device: PmemDevice) -> None:
    """Raises UsageError for what a real cut can tell nothing of."""
    program, name = recorded.program, recorded.scenario
    if not program.ops or not isinstance(program.ops[-1], ops.CutPower):
        raise UsageError(f"{name}: {NO_CUT}")
    for op in program.ops:
        if isinstance(op, ops.Planted):
            raise UsageError(f"{name}: plants a fault ({op.plant}) that real hardware does not have: guests run it")
    if device.kind is MemoryKind.MEMMAP:
        raise UsageError(f"--target {device.path}: is ordinary memory (memmap=), which keeps nothing without power")
    if device.kind is MemoryKind.VIRTIO:
        raise UsageError(f"--target {device.path}: is a file of the host (virtio-pmem), which keeps all")
    kind = kind_of(device)
    if device.persistence_domain != TRAITS[kind].persistence_domain:
        raise UsageError(
            f"--target {device.path}: the firmware does not say what survives a power failure (persistence_domain is "
            f"{device.persistence_domain or 'empty'}), so a loss would prove nothing"
        )
    if reason := devices.why_not_run(program, kind) or why_not_judged(program):
        raise UsageError(f"{name}: {reason}")
    if failed := dimms.failure({}, dimms.below(device.region)):
        raise UsageError(f"--target {device.path}: {failed}")


def _folder(folder: Path, device: PmemDevice) -> Path:
    """The directory of --state, absolute. Raises UsageError when it is in use, or would not outlive the cut."""
    folder = folder.absolute()
    place = folder if folder.exists() else folder.parent
    if not place.is_dir():
        raise UsageError(f"--state {folder}: {place} is no directory")
    phase = armedrun.read(folder).phase if (folder / armedrun.STATE).exists() else None
    if phase in (ArmedPhase.ARMED, ArmedPhase.JUDGED):
        what = "is not judged yet" if phase is ArmedPhase.ARMED else "was judged"
        raise UsageError(f"--state {folder}: holds a run that {what}: daxcheck judge {folder}, or name another place")
    if (folder / armedrun.MEDIUM).exists():
        raise UsageError(f"--state {folder}: holds {armedrun.MEDIUM}, what another cut left: name another place")
    try:
        reason = outlives.why_not_outlived(place, device.name, discover.devices())
    except OSError as error:
        raise UsageError(f"--state {folder}: {error.strerror}") from error
    if reason:
        raise UsageError(f"--state {folder}: {reason}: name a directory that outlives the power cut")
    return folder


def _check(target: LocalTarget, recorded: Recorded, system: FileSystem, attached: Attached, ran: Ran) -> None:
    """Raises InfraError, before anybody cuts the power, where that would prove nothing."""
    program = recorded.program
    states = oracle.run(program, ran.results, TRAITS[target.device].domain, system.journal)
    refusals = judge_refusals(program, states, ran.results)
    if spoilt := unfit(program, Execution(attached, ran), refusals, target, system):
        raise (InfraError if spoilt[0] is Outcome.ERROR else Refused)(f"{recorded.scenario}: {spoilt[1]}")


def _await_cut(power: Sequence[str]) -> NoReturn:
    """Have the power cut, or wait until somebody does that. Raises InfraError when this machine outlives it."""
    if not power:
        while True:
            signal.pause()
    try:
        done = subprocess.run(
            power, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=COMMAND,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"--power: {error}") from error
    said = " ".join(done.stdout.decode(errors="replace").split())[:500]
    if done.returncode:
        raise InfraError(f"--power: {power[0]} ended with {done.returncode}: {said}")
    what = f"--power: {power[0]} returned, and this machine still has power; it said: {said or 'nothing'}"
    with contextlib.suppress(DeadlineExpired):
        poll(lambda: None, Deadline(ALIVE), what)
    raise InfraError(f"{what} (waited {ALIVE:g} s)")


@contextlib.contextmanager
def _awake() -> Iterator[None]:
    """Forbid idle states in which a core gives its caches up; a kernel that has no such file has no such states."""
    try:
        fd = os.open(LATENCY, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        os.write(fd, struct.pack("=i", 0))
        yield
    finally:
        os.close(fd)


def _say(text: str) -> None:
    ending.say(f"  {text}")
