"""Laws of harness.cells.matrix: where a scenario runs, its marks considered. A mark never makes a scenario vanish."""

import pytest

from harness.cells.matrix import Matrix, Wanted
from harness.errors import UsageError
from harness.fs import filesystem
from harness.model.setting.environment import KernelBuild
from harness.model.setting.hardware import EMULATED, PmemKind

KERNELS = tuple(KernelBuild(release, release) for release in ("6.1", "6.12"))
EXT4 = filesystem.find("ext4")


def labels(fs: str, *formats: str, layouts: tuple[str, ...] = ()) -> list[str]:
    """Where it runs on one kernel; in brackets where it is skipped."""
    systems = tuple(filesystem.find(label) for label in fs.split(","))
    found = Matrix(KERNELS[:1], systems).slots(Wanted(formats, layouts))
    return [f"({slot.config.fs})" if slot.skip else slot.config.fs for slot in found]


def test_without_marks_all_slots_count() -> None:
    """Every kernel times every file system, repeated as often as asked for, each by a name of its own."""
    found = Matrix(KERNELS, (filesystem.find("ext4"), filesystem.find("xfs:reflink"))).slots(repeat=2)
    names = [str(slot) for slot in found]
    assert names[:4] == ["6.1-ext4", "6.1-ext4~2", "6.1-xfs:reflink", "6.1-xfs:reflink~2"]
    assert len(names) == len(set(names)) == 8


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (labels("ext4,xfs", "reflink"), ["(ext4:reflink)", "xfs:reflink"]),
        (labels("xfs", "reflink", "rmapbt", "reflink+rmapbt"), ["xfs:reflink", "xfs:rmapbt", "xfs:reflink+rmapbt"]),
        (labels("ext4,xfs", "nojournal", "rmapbt"), ["ext4:nojournal", "xfs:rmapbt"]),
        (labels("ext4,xfs", "inode"), ["ext4:inode", "xfs:inode"]),
        (labels("xfs:reflink,xfs", "reflink"), ["xfs:reflink"]),
        (labels("xfs:rmapbt", "reflink"), ["xfs:reflink+rmapbt"]),
        (labels("ext4,xfs", layouts=("linear",)), ["ext4:linear", "xfs:linear"]),
        (labels("ext4:linear", layouts=("linear", "4k")), ["ext4:linear"]),
        (labels("ext4:partition", layouts=("linear",)), ["(ext4:partition+linear)"]),
        (labels("xfs", "reflink", layouts=("4k", "linear")), ["xfs:reflink+4k", "xfs:reflink+linear"]),
        (labels("ext4", "reflink", "rmapbt", layouts=("4k",)), ["(ext4:reflink|rmapbt)"]),
        (labels("ext4:writeback", "nojournal"), ["(ext4:writeback+nojournal)"]),
    ],
)
def test_marks_choose_formats_and_layouts(found: list[str], expected: list[str]) -> None:
    """One cell per format that a file system has, those of its label kept; one skip where it has none."""
    assert found == expected


def test_a_skip_says_why() -> None:
    """The reason names the file system and what it has not."""
    (slot,) = Matrix(KERNELS[:1], (EXT4,)).slots(Wanted(("reflink", "rmapbt")))
    assert slot.skip == "ext4 has no format reflink or rmapbt"


@pytest.mark.parametrize(
    ("formats", "layouts", "said"),
    [
        (("relfink",), (), "no format 'relfink'; known: writeback, "),
        ((), ("reflink",), "no layout 'reflink'; known: 4k, "),
    ],
)
def test_a_word_that_nobody_knows_is_bad_usage(formats: tuple[str, ...], layouts: tuple[str, ...], said: str) -> None:
    """A misspelt mark is told at once, whatever --fs says."""
    with pytest.raises(UsageError, match=said):
        Wanted(formats, layouts)


def test_devices_multiply_the_slots_and_are_named() -> None:
    """Each device is a slot of its own, named unless it is an NVDIMM."""
    found = Matrix(KERNELS[:1], (EXT4,), EMULATED).slots()
    release = KERNELS[0].release
    assert [str(slot) for slot in found] == [f"{release}-ext4{end}" for end in ("", "-eadr", "-virtio-pmem")]
    assert [slot.config.device for slot in found] == list(EMULATED)
    assert not any(slot.skip for slot in found)


@pytest.mark.parametrize("layout", ["4k", "linear", "partition"])
def test_a_layout_that_a_device_cannot_have_is_a_skip(layout: str) -> None:
    """A virtio-pmem device is alone and has no info block, so it has neither legs nor another alignment."""
    found = Matrix(KERNELS[:1], (filesystem.find(f"ext4:{layout}"),), EMULATED).slots()
    skipped = {slot.config.device: slot.skip for slot in found if slot.skip}
    wanted = {} if layout == "partition" else {PmemKind.VIRTIO_PMEM: f"no layout {layout} on virtio-pmem"}
    assert skipped.keys() == wanted.keys()
    assert all(skipped[device].startswith(said) for device, said in wanted.items())
