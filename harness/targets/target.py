"""Defines what every target can do: run Programs, have its power cut, and recover images.

Its agent interprets Programs where the device is; all else happens here, in the harness.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from harness.coverage.code import Code
from harness.fs.filesystem import FileSystem
from harness.link.kernellog import Complaint
from harness.link.session import Attached, Ran
from harness.media.image import CrashImage
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment
from harness.model.setting.hardware import FalseFact, PmemKind
from harness.model.wire.block import CodeBlock
from harness.model.wire.located import LocatedFiles
from harness.model.wire.observation import FileView
from harness.targets.engines.cut import Cut
from harness.targets.timing import Split

Say = Callable[[str], None]
Doubt = Callable[["Recovery"], bool]
"""Says whether a recovery shows anything that is no PASS, so that it must be sure."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run that a target is asked for: the lanes of the Program race as `seed` says; `split` counts the seconds.

    A `fresh` one is on a kernel that has run no other Program, where the target can have one. A `sure` one recovers
    whatever is in doubt in full, even if its guest has run others. A `screened` one is for a first look
    (cells.screening): it may share a guest with others even if it races, and nothing is recovered.
    """

    program: Program
    system: FileSystem
    seed: int = 1
    split: Split = field(default_factory=Split)
    fresh: bool = False
    sure: bool = False
    screened: bool = False


@dataclass(frozen=True, slots=True)
class Recovery:
    """The findings on one crash image.

    `failure` says why it could not be mounted or read; `unsound` is what fsck said of it once it was unmounted.
    """

    image: str
    files: tuple[FileView, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    console: str = ""
    failure: str = ""
    unsound: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a Program up to its cut. `ran` and `cut` are None when the kernel died before.

    `unsound` is what fsck said after all files had been removed and the file system was unmounted. `before` counts the
    Programs that its guest had run before. `located`: where its files lay right after the cut, for a job that is
    screened. `blocks` of the functions of `code` ran from the begin of the Program to the end of the last op that
    ended, on whichever processor; both are None when that was not recorded. `bound`: its device was left bound.
    """

    attached: Attached | None = None
    ran: Ran | None = None
    cut: Cut | None = None
    unsound: str = ""
    complaints: tuple[Complaint, ...] = ()
    console: str = ""
    before: int = 0
    located: LocatedFiles | None = None
    blocks: frozenset[CodeBlock] | None = None
    code: Code | None = None
    bound: bool = False


class Target(Protocol):
    """A machine that runs Programs. Methods raise InfraError for a failure that is no verdict on the kernel."""

    @property
    def environment(self) -> Environment:
        """The kernel under test, and the tools around it."""

    @property
    def engine(self) -> Engine:
        """The engine, which tells what is durable."""

    @property
    def device(self) -> PmemKind:
        """The kind of device that the file system lies on."""

    def why_not_as_declared(self, planted: Collection[Plant], attached: Attached) -> str:
        """Return why the kernel does not see the device as it must, with these faults planted; empty if it does."""

    def false_fact(self, planted: Collection[Plant], attached: Attached) -> FalseFact | None:
        """Return the kernel's promise of more than the device keeps, with these faults planted; None if none is."""

    def why_not_run(self, program: Program) -> str:
        """Return why the Program is not to run here at all; empty if it may."""

    def execute(self, job: Job) -> AbstractContextManager[Execution]:
        """Run the Program; the Execution's cut is valid inside the context."""

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        """Mount, reread and unmount each image of the job's run; closes the images.

        A target may have a quick way; what that brings and `doubt` calls into question is recovered again, in full.
        """

    def symbols(self, addresses: Sequence[int], job: Job) -> tuple[str, ...]:
        """The names of linear addresses of the kernel that ran the job, as "ext4_punch_hole+0x12"; hex where there is
        none."""
