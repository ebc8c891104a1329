"""Each kind of violation, planted on the media between the cut and the recovery, turns a pass red and is named."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.memfile import MemFile
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition
from harness.model.judge.violation import Kind, Violation
from harness.model.program.ops import Msync
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire import stamps
from harness.report import words
from harness.report.words import why
from harness.targets.guest import GuestTarget

Alter = Callable[[MemFile], None]
Altered = Callable[[Alter], GuestTarget]
Place = Callable[[MemFile, int, int, int], int]
START = PMD
"""Bytes of the namespace's info block, after which the file system begins."""
OLD, NEW, OTHER = 1, 3, 4
AT = 5 * PAGE + 3 * LINE
"""The offset in `data` (file 1) at which the faults are planted."""


def judged(target: GuestTarget, program: Program, fs: str = "ext4") -> CellResult:
    return judge_cell(target, cell_on(target, "planted", program, filesystem.find(fs))).result


def only(result: CellResult, kind: Kind, *beside: Kind) -> Violation:
    """The one violation of a kind, of a cell that has no others but of all the kinds `beside`."""
    assert result.outcome is Outcome.FAIL, why(result)
    assert result.error == ""
    assert {violation.kind for violation in result.violations} == {kind, *beside}, why(result)
    (violation,) = [violation for violation in result.violations if violation.kind is kind]
    return violation


def write(media: MemFile, at: int, data: bytes) -> None:
    media.array[at : at + len(data)] = memoryview(data)


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_nothing_planted(altered: Altered, overwritten: Program, fs: str) -> None:
    """The Program that the other tests spoil passes when nothing is altered."""
    result = judged(altered(lambda media: None), overwritten, fs)
    assert result.outcome is Outcome.PASS, why(result)


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_a_zeroed_page(altered: Altered, overwritten: Program, place: Place, fs: str) -> None:
    """A page of zeroes where a store was promised is `zero`, in exactly that page."""

    def zero(media: MemFile) -> None:
        write(media, place(media, NEW, 1, 5 * PAGE), bytes(PAGE))

    violation = only(judged(altered(zero), overwritten, fs), Kind.ZERO)
    assert violation.ranges == ((5 * PAGE, 6 * PAGE),) and violation.bytes == PAGE
    assert violation.path == "data" and violation.verb == "msync"


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_an_older_line(altered: Altered, overwritten: Program, place: Place, fs: str) -> None:
    """One cache line of the older store is `stale`, in exactly that line; the promise broken is the last msync's."""

    def stale(media: MemFile) -> None:
        write(media, place(media, NEW, 1, AT), stamps.pattern(OLD, 1, 0, AT, AT + LINE))

    violation = only(judged(altered(stale), overwritten, fs), Kind.STALE)
    assert violation.ranges == ((AT, AT + LINE),)
    op = violation.op
    assert op is not None
    msyncs = [index for index, op in enumerate(overwritten.ops) if isinstance(op, Msync) and op.map == "m1"]
    assert op == msyncs[-1]


@pytest.mark.parametrize(("start", "end"), [(0, 32), (32, 64), (8, 16), (61, 64)])
def test_part_of_a_line(altered: Altered, overwritten: Program, place: Place, start: int, end: int) -> None:
    """A line that is new in part and old in part is `torn`: caches write whole lines."""

    def tear(media: MemFile) -> None:
        old = stamps.pattern(OLD, 1, 0, AT, AT + LINE)
        write(media, place(media, NEW, 1, AT) + start, old[start:end])

    violation = only(judged(altered(tear), overwritten), Kind.TORN)
    assert violation.path == "data"
    assert all(AT <= low < high <= AT + LINE for low, high in violation.ranges)


@pytest.mark.parametrize("what", ["another file", "elsewhere in the file", "noise"])
def test_foreign_bytes(altered: Altered, overwritten: Program, place: Place, what: str) -> None:
    """Bytes of another file, of another place of the file, or of nobody are `foreign`."""

    def intrude(media: MemFile) -> None:
        data = {
            "another file": stamps.pattern(OTHER, 2, 0, AT, AT + LINE),
            "elsewhere in the file": stamps.pattern(NEW, 1, 0, AT + PAGE, AT + PAGE + LINE),
            "noise": bytes(range(131, 131 + LINE)),
        }[what]
        write(media, place(media, NEW, 1, AT), data)

    violation = only(judged(altered(intrude), overwritten), Kind.FOREIGN)
    assert violation.ranges == ((AT, AT + LINE),)


def test_a_single_flipped_bit(altered: Altered, overwritten: Program, place: Place) -> None:
    """One wrong bit in 256 KiB is found."""

    def flip(media: MemFile) -> None:
        media.array[place(media, NEW, 1, AT) + 3] ^= 1

    result = judged(altered(flip), overwritten)
    assert result.outcome is Outcome.FAIL
    (violation,) = result.violations
    assert violation.kind in (Kind.TORN, Kind.FOREIGN)
    assert all(AT <= low < high <= AT + LINE for low, high in violation.ranges)


def debugfs(media: MemFile, directory: Path, *commands: str) -> None:
    """Change the ext4 on the media as its own tool does, checksums and all, after replaying the journal."""
    whole, part = directory / "whole", directory / "part"
    for path in (whole, part):
        path.unlink(missing_ok=True)
    media.save(whole)
    copy = ["dd", "bs=2M", "conv=sparse,notrunc", "status=none"]
    subprocess.run([*copy, f"if={whole}", f"of={part}", "skip=1"], check=True)
    with part.open("r+b") as file:
        file.truncate(media.size - START)
    script = directory / "script"
    script.write_text("\n".join(commands) + "\n")
    subprocess.run(["/sbin/e2fsck", "-E", "journal_only", "-y", str(part)], check=False, capture_output=True)
    subprocess.run(["/sbin/debugfs", "-w", "-f", str(script), str(part)], check=True, capture_output=True)
    subprocess.run([*copy, f"if={part}", f"of={whole}", "seek=1", "conv=notrunc"], check=True)
    media.load(whole)


def test_a_shrunk_file(altered: Altered, overwritten: Program, tmp_path: Path) -> None:
    """A file that is shorter than was promised is `size`."""
    result = judged(altered(lambda media: debugfs(media, tmp_path, "set_inode_field /data size 4096")), overwritten)
    violation = only(result, Kind.SIZE, Kind.FSCK)
    assert violation.ranges == ((PAGE, PMD),)


def test_a_removed_file(altered: Altered, overwritten: Program, tmp_path: Path) -> None:
    """A file whose name was made durable and is gone is `size`: missing."""
    result = judged(altered(lambda media: debugfs(media, tmp_path, "unlink /other")), overwritten)
    violation = only(result, Kind.SIZE, Kind.FSCK)
    assert (violation.path, violation.found) == ("other", Condition.MISSING)


def test_a_name_that_comes_back(altered: Altered, tmp_path: Path) -> None:
    """A name whose end was made durable and that is there again is `name`."""
    dax = Recorder()
    dax.create("data").pwrite(0, PAGE)
    dax.rename("data", "moved")
    dax.sync()
    dax.cut_power()
    result = judged(altered(lambda media: debugfs(media, tmp_path, "link /moved /data")), dax.program())
    violation = only(result, Kind.NAME, Kind.FSCK)
    assert violation.path == "data" and "sync" in violation.verb


def test_a_damaged_inode(altered: Altered, overwritten: Program, tmp_path: Path) -> None:
    """A file system that the kernel finds corrupt is `kernel`, with the kernel's words."""
    result = judged(altered(lambda media: debugfs(media, tmp_path, "set_inode_field /data checksum 7")), overwritten)
    assert result.outcome is Outcome.FAIL
    complaints = [violation for violation in result.violations if violation.kind is Kind.KERNEL]
    assert any("EXT4-fs error" in words.value(violation.found) for violation in complaints)


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_a_damaged_superblock(altered: Altered, overwritten: Program, fs: str) -> None:
    """A file system that cannot be mounted after the cut is `recovery`."""

    def wipe(media: MemFile) -> None:
        write(media, START, bytes(PAGE))

    result = judged(altered(wipe), overwritten, fs)
    assert result.outcome is Outcome.FAIL
    assert Kind.RECOVERY in {violation.kind for violation in result.violations}
    assert fs in why(result)
