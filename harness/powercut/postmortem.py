"""The target that was this machine before its power was cut: the run is on record, the data left is on the device."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence

from harness.box.armedrun import ArmedRun
from harness.box.target import LocalTarget
from harness.errors import InfraError, SetupError
from harness.fs.filesystem import FileSystem
from harness.link.session import Attached, Ran
from harness.media.image import END, UNKNOWN, CrashImage, CrashPoint, Draft
from harness.memfile import MemFile
from harness.model.program import ops
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.program.traits import traits
from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import PmemKind
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.engines.series import Series
from harness.targets.target import Doubt, Execution, Job, Recovery

_SUPERBLOCK = 1024
"""The byte at which ext4 has it, with the offsets of ext4_super_block (Documentation/filesystems/ext4/super.rst)."""
_EXT4_MAGIC, _EXT4_VALID, _EXT4_HAS_JOURNAL, _EXT4_RECOVER = 0xEF53, 0x1, 0x4, 0x4


class RealCut:
    """The result of a cut of the machine's own power: one image, of one moment. Nobody knows what memory held then."""

    def __init__(self, media: MemFile) -> None:
        self._media = media
        self.dated = False

    @property
    def unpersisted_lines(self) -> int:
        """Zero: nobody counted them."""
        return 0

    def series(self, plan: CrashPlan, marked: MarkedRun, seed: int) -> Series:
        """The one image, whatever the plan: the engine follows the usual one alone."""
        return Series(lambda: iter([Draft(END, UNKNOWN, 0, lambda: self._media.copy("power cut"))]))

    def at(self, point: CrashPoint, *, strict: bool = False) -> CrashImage:
        """The one image. Raises InfraError for another moment."""
        if strict or not point.is_end:
            raise InfraError("a real cut is of one moment")
        return CrashImage(END, UNKNOWN, self._media.copy("power cut"))

    def strict(self, last: int) -> None:
        return None

    def fence(self, record: int | None) -> tuple[int, ...]:
        """Empty: nobody saw an instruction."""
        return ()

    def fences(self) -> tuple[int, ...]:
        """Empty: nobody saw an instruction."""
        return ()

    def close(self) -> None:
        """Do nothing: the media are their owner's."""


class PowerTarget:
    """Gives the record of a dossier for a run, and recovers `media`, the medium after the cut, by `local`."""

    engine = Engine.POWER

    def __init__(self, dossier: ArmedRun, media: MemFile, local: LocalTarget) -> None:
        self._dossier = dossier
        self._media = media
        self._local = local

    @property
    def environment(self) -> Environment:
        """The environment of the run, with the kernel that ran the ops; only its release is on record."""
        return Environment("local", KernelBuild(self._dossier.kernel, ""))

    @property
    def device(self) -> PmemKind:
        return self._dossier.device

    def why_not_as_declared(self, planted: Collection[Plant], attached: Attached) -> str:
        """Return nothing: the device was checked before the cut."""
        return ""

    def false_fact(self, planted: Collection[Plant], attached: Attached) -> None:
        return None

    def why_not_run(self, program: Program) -> str:
        return ""

    @contextlib.contextmanager
    def execute(self, job: Job) -> Iterator[Execution]:
        """Yield the run that is on record."""
        told = self._dossier
        yield Execution(
            Attached(told.write_cache, told.persistence_domain), Ran(told.results, (), traced=told.traced),
            RealCut(self._media), complaints=told.complaints,
        )  # fmt: skip

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        """Recover as LocalTarget does. Raises SetupError for a file system that was unmounted before the power was cut,
        after all its ops; and where this kernel mounts no such file system at all: it need not be the kernel that made
        it."""
        for recovery in self._local.recover(crashes, job, doubt):
            if recovery.failure and not recovery.complaints:
                recovery = self._again(job, doubt)
            if clean(self._dossier, job.system, self._media, recovery):
                raise SetupError(
                    "the file system had been unmounted before the power was cut: `daxcheck arm` was killed, so there "
                    "is nothing to judge; arm it again"
                )
            yield recovery

    def symbols(self, addresses: Sequence[int], job: Job) -> tuple[str, ...]:
        """Hex: no engine of a box tells of instructions."""
        return tuple(f"{address:#x}" for address in addresses)

    def _again(self, job: Job, doubt: Doubt) -> Recovery:
        """Recover once more, after a fresh file system has been mounted. Raises SetupError when that cannot be."""
        try:
            self._local.golden(job.system)
        finally:
            # In any case the device holds again by which it is known, for another judging.
            crash = RealCut(self._media).at(END)
            (recovery,) = self._local.recover([crash], job, doubt)
        return recovery


def clean(told: ArmedRun, system: FileSystem, media: MemFile, recovery: Recovery) -> bool:
    """Say whether a file system that should have been mounted at the cut was not; `media` are as the cut left them.

    ext4 marks itself as mounted, from each mount, remount and thaw on (ext4_setup_super, ext4_unfreeze); for xfs the
    kernel says that the log needed recovery, at the next mount (xlog_recover).
    """
    if recovery.failure or _at_rest(told):
        return False
    if system.name == "xfs":
        # What is done after such an op need not have come to the log.
        quieted = any(traits(op).quiets for op in told.program.ops)
        return not quieted and "Starting recovery" not in recovery.console
    block = media.array[_SUPERBLOCK : _SUPERBLOCK + 1024].tobytes()

    def field(offset: int, size: int) -> int:
        return int.from_bytes(block[offset : offset + size], "little")

    if field(0x38, 2) != _EXT4_MAGIC:
        return False
    if field(0x5C, 4) & _EXT4_HAS_JOURNAL:
        return not field(0x60, 4) & _EXT4_RECOVER
    return bool(field(0x3A, 2) & _EXT4_VALID)


def _at_rest(told: ArmedRun) -> bool:
    """Say whether the Program itself left the file system frozen or read-only at the cut; none leaves it unmounted."""
    rest = False
    for op, result in zip(told.program.ops, told.results, strict=False):
        match op:
            case _ if result.errno:
                pass
            case ops.Freeze() | ops.Thaw():
                rest = isinstance(op, ops.Freeze)
            case ops.Remount(options):
                words = options.split(",")
                rest = "ro" in words or (rest and "rw" not in words)
            case _:
                pass
    return rest
