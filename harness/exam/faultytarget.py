"""A target whose kernel has faults: its text is altered, through QEMU's debugger stub, while the guest runs."""

from collections.abc import Callable
from typing import Any

from harness.errors import InfraError
from harness.exam.debugger import Debugger
from harness.exam.kerneltext import KernelText, Unplaced, symbols_of
from harness.exam.patch import Patch, PatchSite, placed
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.link.session import AgentSession, Attached, FlushSink
from harness.targets.guest import GuestTarget, Parts
from harness.vm import snapshot
from harness.vm.guest import Guest
from harness.vm.initrd import initramfs, interpreter

AT = 200 << 20
"""The place on the pmem device where a guest leaves its symbols for the host, between the metadata of an ext4."""
TELL = f"""
import os
text = open('/proc/kallsyms', 'rb').read()
fd = os.open('/dev/pmem0', os.O_WRONLY)
os.lseek(fd, {AT}, 0)
os.write(fd, text + bytes(4096 - len(text) % 4096))
os.fsync(fd)
"""
SHORTEN = "open('/proc/sys/kernel/hung_task_timeout_secs', 'w').write('2')"
Symbols = dict[str, list[int]]


def run_in(guest: Guest, source: str) -> int:
    """Run Python source as root, by way of attach, which runs any program as its mkfs; ends attached.

    Returns where on the medium the pmem device begins.
    """
    system = filesystem.find("ext4")
    argv = [str(interpreter.survey(initramfs.AGENT, initramfs.ROOT).program), "-ISc", source]
    answer = guest.call("attach", fs=system.name, options=system.mount, format=[argv])
    return int(answer["pieces"][0][0])


def origin(guest: Guest) -> int:
    """The inode of the RAM file that a guest was restored from: those with the same one have the same addresses."""
    ram = guest.machine.plan.ram
    if ram is None or not ram.template:
        raise InfraError("the guest was booted, not restored: where its kernel lies is not known")
    return ram.path.stat().st_ino


class Surveys:
    """Knows where the functions of kernels lie, by the snapshot that a guest was restored from: a guest of it tells.

    `unplaced` says of faults that had no place why not: their kernels were sound all the time.
    """

    def __init__(self) -> None:
        self.unplaced: dict[tuple[Patch, ...], Unplaced] = {}
        self._known: dict[int, Symbols] = {}
        self._sites: dict[tuple[int, tuple[Patch, ...]], tuple[PatchSite, ...]] = {}

    def sites(self, guest: Guest, patches: tuple[Patch, ...], debugger: Debugger) -> tuple[PatchSite, ...]:
        """Return the sites of the patches in this guest. Raises Unplaced."""
        key = origin(guest), patches
        if key not in self._sites:
            try:
                self._sites[key] = placed(patches, KernelText(self._known[key[0]], debugger.read))
            except Unplaced as error:
                self.unplaced[patches] = error
                raise
        return self._sites[key]

    def learn(self, target: GuestTarget, guest: Guest) -> None:
        """Ask another guest of the same snapshot, unless that was done. Raises InfraError."""
        if origin(guest) in self._known:
            return
        system = filesystem.find("ext4")
        with target.golden(system) as medium, snapshot.start(target.plan_for(system), medium, target.say) as other:
            start = run_in(other, TELL)
            text = medium.array[start + AT :].tobytes().partition(b"\0")[0].decode()
            self._known[origin(other)] = symbols_of(text)
        if origin(guest) not in self._known:
            raise InfraError("the guest has other NVDIMMs than one of ext4: where its kernel lies is not known")


class FaultySession(AgentSession):
    """Alters its guest's kernel as soon as the file system is mounted, and sets it right when it is unmounted."""

    def __init__(
        self, guest: Guest, system: FileSystem, flushes: FlushSink | None,
        alter: Callable[[Guest], tuple[PatchSite, ...]], *, impatient: bool,
    ) -> None:  # fmt: skip
        super().__init__(guest, system, flushes)
        self._machine = guest
        self._alter = alter
        self._impatient = impatient
        self._altered: tuple[PatchSite, ...] = ()

    def attach(self, **settings: Any) -> Attached:
        if self._impatient:
            run_in(self._machine, SHORTEN)
            self.detach()
        attached = super().attach(**settings)
        self._altered = self._alter(self._machine)
        return attached

    def detach(self, *, keep: bool = False) -> bool:
        bound = super().detach(keep=keep)
        if self._altered:
            with Debugger(self._machine) as debugger:
                for site in reversed(self._altered):
                    debugger.write(site.address, site.old)
            self._altered = ()
        return bound


def with_faults(
    target: GuestTarget, surveys: Surveys, patches: tuple[Patch, ...], *, recovery: bool = False,
    impatient: bool = False,
) -> GuestTarget:  # fmt: skip
    """A target whose kernel has faults: in the run, from after the mount on, or, given `recovery`, in recoveries.

    An `impatient` kernel tells of a hung task after 2 to 4 s.
    """

    def alter(guest: Guest) -> tuple[PatchSite, ...]:
        surveys.learn(target, guest)
        with Debugger(guest) as debugger:
            sites = surveys.sites(guest, patches, debugger)
            for site in sites:
                debugger.write(site.address, site.new)
        return sites

    def running(guest: Guest, system: FileSystem, flushes: FlushSink | None) -> AgentSession:
        return FaultySession(guest, system, flushes, alter, impatient=impatient)

    def recovering(guest: Guest, system: FileSystem, flushes: FlushSink | None) -> AgentSession:
        alter(guest)
        return AgentSession(guest, system, flushes)

    parts = Parts(recovery=recovering) if recovery else Parts(running)
    return GuestTarget(target.kernel, target.plan, target.tracker, target.say, parts)
