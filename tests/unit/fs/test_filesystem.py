"""Laws of harness.fs.filesystem: what a label means to mkfs, to mount and to the layout below."""

import pytest

from harness.errors import UsageError
from harness.fs import filesystem
from harness.fs.filesystem import NoFormat
from harness.linux.layout import LAYOUTS

EXT4 = ("writeback", "nojournal", "noextents", "fast_commit", "bigalloc", "quota", "project", "inline_data", "inode")
XFS = ("reflink", "cowextsize", "rmapbt", "exchange", "metadir", "quota", "extsize", "inode")
LABELS = [
    "ext4", "xfs", *(f"ext4:{word}" for word in EXT4), *(f"xfs:{word}" for word in XFS),
    *(f"{name}:{word}" for name in ("ext4", "xfs") for word in LAYOUTS if word and word != "realtime"),
    "xfs:realtime", "xfs:realtime2m", "xfs:reflink+rmapbt+linear",
]  # fmt: skip


def argument(label: str, flag: str) -> set[str]:
    """What mkfs is given with a flag, which comes at most once: mkfs.xfs takes no option twice."""
    argv = filesystem.find(label).mkfs
    assert argv.count(flag) <= 1
    return set(argv[argv.index(flag) + 1].split(",")) if flag in argv else set()


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_found_again(label: str) -> None:
    """The label of what was found finds the same, and tells everything apart."""
    system = filesystem.find(label)
    assert system.label == label
    assert filesystem.find(system.label) == system
    others = [filesystem.find(other) for other in LABELS if other != label]
    assert (system.mkfs, system.mount, system.layout) not in [(o.mkfs, o.mount, o.layout) for o in others]


@pytest.mark.parametrize("label", LABELS)
def test_mkfs_ends_with_the_device_of_the_layout(label: str) -> None:
    """mkfs is told the device that the layout makes, and mount a DAX option."""
    system = filesystem.find(label)
    assert system.mkfs[0] == f"mkfs.{system.name}"
    assert system.mkfs[-1] == LAYOUTS[system.layout].device
    assert {"dax", "dax=inode"} & set(system.mount.split(","))
    assert system.nvdimms == (1 if LAYOUTS[system.layout].legs == 1 else 2)
    assert (system.nvdimms, system.devices) in ((1, 1), (2, 2) if LAYOUTS[system.layout].beside else (2, 1))


def test_words_change_what_they_name() -> None:
    """Each word changes its option of mkfs or mount and leaves the others."""
    assert argument("xfs", "-m") == {"reflink=0", "rmapbt=0"}
    assert argument("xfs:reflink", "-m") == {"reflink=1", "rmapbt=0"}
    assert argument("xfs:reflink+rmapbt", "-m") == {"reflink=1", "rmapbt=1"}
    assert argument("xfs", "-d") == {"su=2m", "sw=1", "agcount=2"}
    assert argument("xfs:extsize", "-d") == {"agcount=2", "extszinherit=512"}
    assert argument("ext4:nojournal+noextents", "-O") == {"^has_journal", "^extent", "^64bit"}
    assert argument("ext4", "-O") == set()
    assert (argument("ext4:bigalloc", "-O"), argument("ext4:bigalloc", "-C")) == ({"bigalloc"}, {"65536"})
    assert argument("xfs:cowextsize", "-m") == {"reflink=1", "rmapbt=0"}
    assert filesystem.find("ext4:writeback").mount == "dax,data=writeback"
    assert filesystem.find("ext4:writeback+inode").mount == "dax=inode,data=writeback"
    assert [label for label in LABELS if not filesystem.find(label).journal] == ["ext4:nojournal"]


def test_the_order_of_words_does_not_matter() -> None:
    """One format has one label, however it was asked for."""
    assert filesystem.find("xfs:linear+rmapbt+reflink+linear").label == "xfs:reflink+rmapbt+linear"
    assert filesystem.find("xfs:reflink").plus("linear+reflink").label == "xfs:reflink+linear"


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("btrfs", "--fs btrfs: unknown file system; known: ext4, xfs"),
        ("ext4:reflink", "ext4 has no format reflink; known: writeback, nojournal, noextents, fast_commit, bigalloc, "),
        ("xfs:", "xfs has no format ''; known: reflink, cowextsize, rmapbt"),
        ("xfs:reflink+fast", "xfs has no format fast"),
        ("ext4:writeback+nojournal", "ext4 cannot be writeback and nojournal at once"),
        ("ext4:nojournal+log", "ext4 cannot be nojournal and log at once"),
        ("ext4:noextents+bigalloc", "ext4 cannot be noextents and bigalloc at once"),
        ("xfs:linear+partition", "xfs cannot be partition and linear at once"),
    ],
)
def test_what_cannot_be_is_told(label: str, said: str) -> None:
    """A wrong label is one line that names what is known, and bad usage (exit code 2)."""
    with pytest.raises(UsageError) as raised:
        filesystem.find(label)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_names_stand_for_themselves() -> None:
    """Every file system can be tested without words."""
    assert [filesystem.find(name).words for name in filesystem.names()] == [(), ()]
    with pytest.raises(NoFormat):
        filesystem.find("ext4").plus("rmapbt")


def test_what_rules_out_pmds() -> None:
    """Where the file system starts on no PMD of the memory, or has no aligned extents, none can be mapped."""
    assert {label for label in LABELS if not filesystem.find(label).pmds} == {
        "ext4:noextents", "ext4:inline_data", "xfs:extsize", "xfs:realtime", "ext4:4k", "xfs:4k", "ext4:partition",
        "xfs:partition",
    }  # fmt: skip


def test_nvdimms_of_words() -> None:
    """Words need two NVDIMMs if one of them does."""
    words = ("reflink", "linear", "reflink+linear", "log", "realtime2m", "partition", "nojournal+linear")
    assert [filesystem.nvdimms(one) for one in words] == [1, 2, 2, 2, 2, 1, 2]


def test_a_second_device() -> None:
    """mkfs and mount are told of the second device, which ext4 must be given a journal on before."""
    ext4, xfs, realtime = (filesystem.find(label) for label in ("ext4:log", "xfs:log", "xfs:realtime2m"))
    assert ext4.first[-3:] == ("-O", "journal_dev", "/dev/pmem1") and not xfs.first and not realtime.first
    assert (argument("ext4:log", "-J"), ext4.mount) == ({"device=/dev/pmem1"}, "dax,journal_path=/dev/pmem1")
    assert (argument("xfs:log", "-l"), xfs.mount) == ({"logdev=/dev/pmem1"}, "dax,logdev=/dev/pmem1")
    assert argument("xfs:realtime2m", "-r") == {"rtdev=/dev/pmem1", "extsize=2m"}
    assert {one.mkfs[-1] for one in (ext4, xfs, realtime)} == {"/dev/pmem0"}
