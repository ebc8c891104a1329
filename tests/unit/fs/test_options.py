"""Laws of harness.fs.options: options of the user's own are bounded, have one spelling, and are a part of the label."""

import pytest

from harness.errors import EXIT_USAGE, UsageError
from harness.fs import filesystem, options
from harness.fs.filesystem import NoFormat


def test_one_spelling() -> None:
    """However options are ordered and split, the label is the same, and finds the same file system again."""
    one = filesystem.with_own("xfs:reflink", "-m rmapbt=1 -i size=1024 -m crc=1", "wsync,allocsize=64k")
    two = filesystem.with_own("xfs:reflink", "-i size=1024 -m crc=1,rmapbt=1", "allocsize=64k,wsync")
    assert one == two
    assert one.label == "xfs:reflink+mkfs(-i size=1024 -m crc=1,rmapbt=1)+mount(allocsize=64k,wsync)"
    assert filesystem.find(one.label) == one
    assert one.format == "xfs:reflink" and one.has_own and not filesystem.find(one.format).has_own
    assert (one.own("mkfs"), one.own("mount")) == ("-i size=1024 -m crc=1,rmapbt=1", "allocsize=64k,wsync")


def test_they_reach_mkfs_and_mount() -> None:
    """An option that daxcheck gives has the user's value, and comes once: mkfs.xfs takes none twice."""
    system = filesystem.with_own("xfs", "-m rmapbt=1 -d agcount=4", "wsync")
    assert system.mkfs[3:7] == ("-m", "reflink=0,rmapbt=1", "-d", "su=2m,sw=1,agcount=4")
    assert system.mount == "dax,wsync"
    argv = filesystem.with_own("ext4", "-I 256 -O ^metadata_csum", "").mkfs
    assert argv[-5:-1] == ("-I", "256", "-O", "^metadata_csum")
    assert filesystem.with_own("ext4", "", "") == filesystem.find("ext4")


def test_where_files_lie_may_rule_out_pmds() -> None:
    """Options that place files may put them on no PMD; the others leave that as it was."""
    for name, mkfs, pmds in (
        ("xfs", "-d agcount=4", False), ("ext4", "-E stride=1", False), ("xfs", "-m crc=1", True),
    ):  # fmt: skip
        assert filesystem.with_own(name, mkfs, "").pmds is pmds


def test_a_list_of_labels_is_split_between_them() -> None:
    """The commas of options separate no labels."""
    text = "ext4,xfs:mkfs(-m crc=1,rmapbt=1)+mount(wsync,allocsize=64k),ext4,xfs"
    assert filesystem.labels(text) == ["ext4", "xfs:mkfs(-m crc=1,rmapbt=1)+mount(wsync,allocsize=64k)", "xfs"]


@pytest.mark.parametrize(("name", "text", "said"), [
    ("xfs", "-L mine", "mkfs -L: may not be given; flags of xfs: -m, -d, -i, -l, -n, -r"),
    ("xfs", "/dev/sda", "mkfs /dev/sda: may not be given"),
    ("xfs", "-m", "mkfs -m '': write KEY or KEY=VALUE"),
    ("xfs", "-d name=/dev/sda", "mkfs -d 'name=/dev/sda': write KEY"),
    ("xfs", "-d file=1", "mkfs -d file: the file system lies on the device under test"),
    ("xfs", "-l logdev=x", "mkfs -l logdev: the file system lies on the device under test"),
    ("xfs", "-m uuid=1", "mkfs -m uuid: daxcheck sets it itself"),
    ("xfs", "-m crc=1;reboot", "mkfs -m 'crc=1;reboot': write KEY"),
    ("xfs", "-m $(id)", "mkfs -m '$(id)': write KEY"),
    ("xfs", "-m crc=1 -m crc=0", "mkfs -m crc: stands there twice: leave one out"),
    ("ext4", "-n -O x", "mkfs -n: may not be given"),
    ("ext4", "-b 1024", "mkfs -b: may not be given"),
    ("ext4", "-J device=sda", "mkfs -J device: the file system lies on the device under test"),
    ("ext4", "-E lazy_itable_init=1", "mkfs -E lazy_itable_init: daxcheck sets it itself"),
    ("ext4", "-O ^has_journal", "mkfs -O ^has_journal: the format ext4:nojournal is that: leave it out"),
    ("ext4", "-E " + "x," * 120, "mkfs: wants options of 1 to 200 characters"),
])  # fmt: skip
def test_what_mkfs_may_not_be_given(name: str, text: str, said: str) -> None:
    """One line that names the option: no device, no path, no shell, nothing that daxcheck needs otherwise."""
    with pytest.raises(UsageError) as raised:
        options.mkfs(name, text)
    assert str(raised.value).startswith(said) and raised.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(("text", "said"), [
    ("dax=never", "mount -o dax: daxcheck sets it itself"),
    ("noatime", "mount -o noatime: it is an option of mount(8) for every file system"),
    ("nobarrier", "mount -o nobarrier: without barriers no sync promises anything"),
    ("norecovery", "mount -o norecovery: a crash image must be recovered"),
    ("logdev=/dev/sda", "mount -o 'logdev=/dev/sda': write KEY"),
    ("wsync,wsync", "mount -o wsync: stands there twice"),
    ("a b", "mount -o 'a b': write KEY"),
    ("", "mount: wants options of 1 to 200 characters"),
])  # fmt: skip
def test_what_mount_may_not_be_given(text: str, said: str) -> None:
    """One line that names the option."""
    with pytest.raises(UsageError) as raised:
        options.mount(text)
    assert str(raised.value).startswith(said) and raised.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("label", [
    "xfs:reflink+mkfs(-m reflink=0)", "ext4:writeback+mount(data=ordered)", "xfs:mkfs(-m crc=1)+mkfs(-m crc=0)",
])  # fmt: skip
def test_two_words_that_disagree(label: str) -> None:
    """A word of the label that sets the same is no longer true: such a label is none, also for a scenario's marks."""
    with pytest.raises(NoFormat, match=r"leave one out|join the two"):
        filesystem.find(label)
