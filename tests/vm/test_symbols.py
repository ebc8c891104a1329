"""Names of what completed, on a real kernel: asked of a guest that recovers, true of the one that ran."""

from harness.fs import filesystem
from harness.kernel.kernel import Kernel
from harness.link.session import AgentSession
from harness.media.image import END
from harness.model.program.recorder import Recorder
from harness.model.setting.hardware import PmemKind
from harness.model.units import PAGE, PMD
from harness.targets import provision
from harness.targets.engines.cut import LoggedCut
from harness.targets.guest import GuestTarget, Parts
from harness.targets.target import Job
from harness.vm.machine import Qemu


def test_a_completion_is_told_by_its_function(kernel_6_1: Kernel, qemu: Qemu) -> None:
    """Another guest of the snapshot names every address of the kernel; the explicit fences are those of the NVDIMM's
    driver and of the copy from user space, and what a locked instruction completes is jbd2's and DAX's doing. The
    stack tells whose."""
    asked: list[int] = []
    told: list[str] = []

    class Asking(AgentSession):
        """Asks for names before it detaches."""

        def detach(self, *, keep: bool = False) -> bool:
            told[:] = self.symbols(asked)
            return super().detach(keep=keep)

    dax = Recorder()
    file = dax.create("data", size=PMD)
    file.pwrite(0, PAGE)
    file.fsync()
    mapping = file.mmap()
    mapping.store(0, PMD)
    mapping.msync()
    dax.cut_power()
    made = provision.target(kernel_6_1, qemu, print, PmemKind.NVDIMM)
    target = GuestTarget(made.kernel, made.plan, made.tracker, made.say, Parts(recovery=Asking))
    job = Job(dax.program(), filesystem.find("ext4"))
    with target.execute(job) as execution:
        assert isinstance(execution.cut, LoggedCut)
        log = execution.cut._log
        completions = log.completions()
        asked += [one.address for one in completions]
        chains = [log.callers(one) for one in completions]
        asked += [address for chain in chains for address in chain]
        assert [not one.failure for one in target.recover([execution.cut.at(END)], job, lambda _: False)] == [True]
    names = [name.partition("+")[0] for name in told]
    callers = iter(names[len(completions) :])
    above = [{next(callers) for _ in chain} for chain in chains]
    names = names[: len(completions)]
    assert not any(name.startswith("0xffff") for name in names), told
    by = {fenced: {name for one, name in zip(completions, names, strict=True) if one.fenced is fenced}
          for fenced in (True, False)}  # fmt: skip
    assert {"generic_nvdimm_flush"} <= by[True] <= {"generic_nvdimm_flush", "__copy_user_nocache"}
    flushes = [functions for name, functions in zip(names, above, strict=True) if name == "generic_nvdimm_flush"]
    assert all("pmem_submit_bio" in functions for functions in flushes)
    assert any("jbd2_journal_commit_transaction" in functions for functions in above)
    assert any("dax_writeback_mapping_range" in functions for functions in above)
    assert {"journal_end_buffer_io_sync", "_raw_spin_lock_irqsave"} <= by[False]
