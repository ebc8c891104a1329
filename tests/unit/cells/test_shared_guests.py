"""A verdict that is no PASS rests on a fresh guest, but what a guest with a past has shown is not forgotten."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from harness.fs import filesystem
from harness.media.image import CrashImage
from harness.model.judge.result import CellResult, Outcome
from harness.model.program.program import parse
from harness.targets import runner
from harness.targets.sample import ONE_IN, in_sample
from harness.targets.target import Doubt, Execution, Job, Recovery
from tests.unit.cells.conftest import ToyFaults, ToyTarget

Judged = Callable[..., CellResult]

MAPPED = "create f data\npwrite f 0 16K\nfsync f\nfsyncdir\nmmap m f 0 16K align=4K\nstore m 0 16K\n"
SYNCED = MAPPED + "msync m 0 16K\nfsync f\ncut_power"
FORGETS = ToyFaults(forgets={6: ((0, 4096),), 7: ((0, 4096),)})


class Aged(ToyTarget):
    """Its guest has run three Programs before unless the job is fresh; each kind of guest has its own faults."""

    def __init__(self, shared: ToyFaults, fresh: ToyFaults) -> None:
        super().__init__()
        self.faults = {False: shared, True: fresh}
        self.jobs: list[bool] = []
        self.sure: list[bool] = []

    @contextlib.contextmanager
    def execute(self, job: Job) -> Iterator[Execution]:
        self.jobs.append(job.fresh)
        self.sure.append(job.sure)
        self.planted = self.faults[job.fresh]
        with super().execute(job) as execution:
            if self.faults[job.fresh].heals:
                self.faults[job.fresh] = ToyFaults()
            yield replace(execution, before=0 if job.fresh else 3)


def test_a_pass_is_one_run(judged: Judged) -> None:
    """The quick way is for what passes; the result says that its guest had a past."""
    target = Aged(ToyFaults(), ToyFaults())
    result = judged(target, SYNCED)
    assert (result.outcome, result.earlier_programs, target.jobs) == (Outcome.PASS, 3, [False])
    assert CellResult.from_json(result.to_json()) == result


def test_a_loss_is_that_of_the_fresh_guest(judged: Judged) -> None:
    """So that one command shows it again."""
    target = Aged(FORGETS, FORGETS)
    result = judged(target, SYNCED)
    assert (result.outcome, result.earlier_programs, target.jobs) == (Outcome.FAIL, 0, [False, True])


def test_a_run_that_is_repeated_stops_at_its_first_wrong_image(judged: Judged) -> None:
    """What its other images show, and since when, the fresh run tells."""
    target = Aged(FORGETS, FORGETS)
    real, images = target.recover, []

    def recover(crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        for one in real(crashes, job, doubt):
            images.append((job.fresh, one.image))
            yield one

    target.recover = recover  # type: ignore[method-assign]
    result = judged(target, SYNCED)
    assert images[0] == (False, "pessimistic") and {fresh for fresh, _ in images[1:]} == {True} and len(images) > 3
    assert result.images == len({image for _, image in images[1:] if not image.startswith("after")})


def test_a_loss_that_a_fresh_guest_does_not_show_stands(judged: Judged) -> None:
    """It is the kernel's all the same, once a job that is sure of what it sees has shown it again; the result says that
    the guest had a past."""
    target = Aged(FORGETS, ToyFaults())
    result = judged(target, SYNCED)
    assert (result.outcome, result.earlier_programs, target.jobs) == (Outcome.FAIL, 3, [False, True, False])
    assert target.sure == [False, False, True]


def test_a_loss_that_nothing_shows_again_is_none(judged: Judged) -> None:
    """What the quick way alone has seen is nobody's verdict."""
    target = Aged(replace(FORGETS, heals=True), ToyFaults())
    result = judged(target, SYNCED)
    assert (result.outcome, result.earlier_programs, target.jobs) == (Outcome.PASS, 0, [False, True, False])


def test_what_could_not_be_judged_is_run_in_a_fresh_guest(judged: Judged) -> None:
    """Such as a control that kept its data: its ERROR is that of a kernel that has run nothing else."""
    target = Aged(ToyFaults(), ToyFaults())
    result = judged(target, "expect loss\n" + SYNCED)
    assert (result.outcome, result.kept, result.earlier_programs) == (Outcome.ERROR, True, 0)
    assert target.jobs == [False, True]


def job(text: str, *, fresh: bool = False) -> Job:
    """A job outside of the sample: of the seeds, the first for which that is so."""
    program = parse(f"daxcheck program 1\n{text}\ncut_power\n")
    jobs = (Job(program, filesystem.find("ext4"), seed, fresh=fresh) for seed in range(1, 1000))
    return next(one for one in jobs if not in_sample(one, 0))


DELICATE = {
    "fresh": (job("create f data", fresh=True)),
    "a race": job("create f data\nlane a\npwrite f 0 4K\nlane b\nfsync f\njoin"),
    "a planted fault": job("plant ignore_flush 0 4K\ncreate f data"),
    "poison": job("create f data\nfallocate f allocate 0 2M\nmmap m f 0 2M\nmadvise m 0 4K hwpoison"),
}


def test_a_delicate_program_has_a_guest_of_its_own() -> None:
    """It may leave something behind, or its timing is what counts; an ordinary one may share."""
    assert runner.may_stay(job("create f data\npwrite f 0 4K\nfsync f"))
    assert [name for name, one in DELICATE.items() if runner.may_stay(one)] == []


def test_a_fixed_part_of_all_jobs_goes_the_full_way() -> None:
    """About one in ONE_IN, the same each time; of the images of a run every ONE_IN-th."""
    jobs = [replace(job("create f data"), seed=seed) for seed in range(400)]
    chosen = [in_sample(one, 0) for one in jobs]
    assert chosen == [in_sample(one, 0) for one in jobs]
    assert 400 // ONE_IN // 2 < sum(chosen) < 2 * 400 // ONE_IN
    assert sum(in_sample(jobs[0], number) for number in range(10 * ONE_IN)) == 10
