"""Laws of the words for crash images: every one that was made, spared or left out is counted."""

from dataclasses import replace

from harness.model.judge.result import CellResult, Outcome
from harness.model.setting.crashplan import CrashPlan
from harness.report import images
from harness.report.images import counted
from harness.report.setting import image

CELL = CellResult(
    "x", "qemu", "6.12", "ext4", Outcome.PASS, 1.0, images=27, plan=CrashPlan("80"), points=100, points_taken=80,
    equal_images=53, violations_left_out=2,
)  # fmt: skip


def test_the_counts_of_a_cell() -> None:
    """What is zero is not told; of the usual plan nothing is."""
    told = "27 images at 80 moments, 53 equal to one of them, 20 moments left out, 2 violations left out"
    assert counted(CELL) == told
    assert counted(replace(CELL, points=80, equal_images=0, violations_left_out=0)) == "27 images at 80 moments"
    assert counted(replace(CELL, plan=CrashPlan())) == counted(replace(CELL, points=0)) == ""


def test_the_counts_of_a_run() -> None:
    """They are added up by kernel, file system and plan."""
    found = images.summary([CELL, CELL, replace(CELL, fs="xfs"), replace(CELL, plan=CrashPlan())])
    assert [line.partition(":")[0] for line in found] == ["6.12 ext4 80", "6.12 xfs 80"]
    assert found[0].endswith("54 images at 160 moments, 106 equal to one of them, 40 moments left out, "
                             "4 violations left out, in 2 cells")  # fmt: skip


def test_an_image_of_another_moment_is_named() -> None:
    """By its moment, in a mail and on a page."""
    assert image("inside op 5 at record 9, random:1") == "with the power cut inside op 5 at record 9, random:1"
    assert image("random:7") == "where some dirty cache lines were evicted before the cut, by chance"
