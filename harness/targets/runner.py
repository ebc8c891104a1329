"""Starts the guest of each run, or has that of an earlier one do it on a fresh medium: the quick way.

A fresh guest translates all its code anew, which takes longer than most Programs. What a run leaves behind is on the
medium, which is replaced, and in the page structs of the device, which stays bound as long as the next medium has the
same. A Program that may leave more, or whose timing is what it tests, gets a guest of its own, and so does a fixed
sample of all others. What looks wrong after other Programs is run again in a guest of its own (cells.cell).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.errors import InfraError
from harness.memfile import MemFile
from harness.model.program import ops
from harness.model.program.ops import Advice
from harness.model.program.program import Program
from harness.targets import binding
from harness.targets.engines.engine import faults
from harness.targets.sample import in_sample
from harness.targets.target import Execution, Job
from harness.targets.tracker import Media, Tracker
from harness.vm.guest import Guest
from harness.vm.machine import Plan

RUNS = 64
"""Programs that one guest runs, which bounds what its kernel leaks and says."""

Start = Callable[[Plan, Job, Media], Guest]
"""Starts a guest for a run, watched from its start on."""


@dataclass(frozen=True, slots=True)
class Running:
    """A guest that is to do a run on these media; `before` counts the Programs that it has run.

    `bound`: its device has stayed bound, and these media make the same one. To `keep` it bound is worth the while.
    """

    guest: Guest
    media: Media
    before: int = 0
    bound: bool = False
    keep: bool = False


class Runner:
    """Owns the guest that stays, and its medium."""

    def __init__(self, tracker: Tracker, start: Start) -> None:
        self._tracker = tracker
        self._start = start
        self._plan: Plan | None = None
        self._guest: Guest | None = None
        self._live = MemFile("nothing", 0)
        self._runs = 0
        self._sound = False
        self._made_by = self._bound = b""
        """Layout and info block of the device of this run, and of that which the last left bound: empty if none is."""

    @contextlib.contextmanager
    def guest(self, plan: Plan, job: Job, base: MemFile, *, stay: bool) -> Iterator[Running]:
        """Give a guest of the plan whose device holds what `base` does. It ends with the context unless it is to `stay`
        and keep() was called. Raises what the start of a guest raises."""
        if not stay or not self._tracker.renews or not may_stay(job):
            recorder = self._tracker.recorder
            aside = recorder.aside() if recorder else contextlib.nullcontext()
            with aside, base.copy("nvdimm") as live, self._start(plan, job, Media(base, live)) as guest:
                yield Running(guest, Media(base, live))
            return
        if self._plan != plan or self._runs >= RUNS:
            self.end()
        self._sound = False
        self._made_by = binding.made_by(job.system, base)
        try:
            yield self._renewed(self._guest, job, base) if self._guest else self._started(plan, job, base)
        finally:
            self._pause()

    def keep(self, execution: Execution) -> None:
        """Have the guest stay for the next run, unless its kernel complained or did not come to the end of this one."""
        self._sound = execution.cut is not None and not execution.complaints and not execution.unsound
        self._bound = self._made_by if execution.bound else b""

    def _pause(self) -> None:
        """Hold a sound guest still until the next run: what it did now would go into another run's log."""
        if self._sound and self._guest is not None:
            with contextlib.suppress(InfraError):
                self._guest.pause()
                return
        self.end()

    def end(self) -> None:
        """End the guest that stayed, if there is one."""
        if self._guest is not None:
            self._guest.close()
            self._live.close()
        self._guest, self._plan, self._runs, self._bound = None, None, 0, b""

    def _started(self, plan: Plan, job: Job, base: MemFile) -> Running:
        with contextlib.ExitStack() as stack:
            live = stack.enter_context(base.copy("nvdimm"))
            self._guest = self._start(plan, job, Media(base, live))
            stack.pop_all()
        self._live, self._plan, self._runs = live, plan, 1
        return Running(self._guest, Media(base, live), keep=self._made_by != b"")

    def _renewed(self, guest: Guest, job: Job, base: MemFile) -> Running:
        self._live.replace(base)
        self._tracker.renew(job.program, guest.nvdimm())
        guest.resume()
        self._runs += 1
        bound = self._made_by == self._bound != b""
        return Running(guest, Media(base, self._live), self._runs - 1, bound, keep=self._made_by != b"")


def may_stay(job: Job) -> bool:
    """Say whether a guest that has run other Programs may run this one, and one that has run this may run others."""
    if job.screened:
        return not faults(job.program)
    return not job.fresh and not _is_delicate(job.program) and not in_sample(job, 0)


def _is_delicate(program: Program) -> bool:
    """Say whether a Program plants a fault, races, or has the kernel take memory for broken (which it counts for all
    time: num_poisoned_pages)."""
    poisons = any(isinstance(op, ops.Madvise) and op.advice is Advice.HWPOISON for op in program.ops)
    return poisons or bool(faults(program)) or any(isinstance(op, ops.Lane) for op in program.ops)
