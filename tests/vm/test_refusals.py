"""Attempts to make daxcheck write to a device that it must not write to, on a box with pmem: none does.

Each is refused for a reason of its own, and no block device of the box is written to meanwhile. The same call writes
when nothing is in the way, before all attempts and after them.
"""

import json
import operator
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from harness.kernel.kernel import Kernel
from harness.targets.replica import Replica
from harness.vm.machine import Qemu

PMEM = "/dev/pmem0"
LEGACY = "memmap=128M!512M"
"""Memory that the kernel calls persistent: /dev/pmem1."""
UNSEEN = "is claimed: by a mount or a program that cannot be seen from here"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is asked for, and words of the refusal.

    `before`, `checked` and `claimed` are steps, which are Python among the functions of burglary: before all, when the
    device has passed the check, and when it is held.
    """

    name: str
    words: str
    before: str = ""
    target: str = PMEM
    erase: str = PMEM
    types: str = ""
    checked: str = ""
    claimed: str = ""


def called(name: str, words: str, target: str, before: str = "") -> Attempt:
    """An attempt under another name, which is said twice."""
    return Attempt(name, words, before, target, target)


NAMES = (
    Attempt("erase not said", "repeat its name, --erase /dev/pmem0", erase=""),
    Attempt("erase of another", "must be the same name", erase="/dev/pmem1"),
    called("a name by udev", "name of the device itself", "/dev/disk/by-id/pmem",
           "sh('mkdir -p /dev/disk/by-id; ln -s /dev/pmem0 /dev/disk/by-id/pmem', 'rm -r /dev/disk')"),
    called("a symbolic link", "is a symbolic link to /dev/pmem0", "/dev/mine",
           "sh('ln -s pmem0 /dev/mine', 'rm /dev/mine')"),
    called("another node", "is another name of /dev/pmem0", "/dev/mine", "node('/dev/mine', 'pmem0')"),
    called("a file", "is a regular file", "/dev/mine", "sh('truncate -s 800M /dev/mine', 'rm /dev/mine')"),
    Attempt("name on a loop device", "is a loop device, not", "loop('/run/file'); away(); node(PMEM, 'loop0')"),
)  # fmt: skip
USES = (
    Attempt("mounted", "is mounted at /mnt/a: unmount it", "mkfs(); mount()", types="ext4"),
    Attempt("mounted in another namespace", "is mounted at /mnt/a in the mount namespace of process",
            "mkfs(); mount_elsewhere()", types="ext4"),
    Attempt("partition", "has partitions (pmem0p1)", "partition()"),
    Attempt("journal of a mounted ext4", "may be part of something larger: jbd", "journal()", types="jbd"),
    Attempt("swap", "is in use as swap on /dev/pmem0", "swap()", types="swap"),
    Attempt("held by dm", "is held by dm-0", "join()"),
    Attempt("backs a loop device", "is in use: backing file of loop device loop0", "loop(PMEM)"),
    Attempt("open", "is in use: sleep (process", "hold('exec 3<>/dev/pmem0')"),
    Attempt("mapped, not open", "is in use: python", "hold_mapped()"),
    Attempt("locked", "is locked by another program", "lock()"),
    Attempt("open by root, asked by group disk", "only root sees who else uses it",
            "hold('exec 3<>/dev/pmem0'); group_disk()"),
    Attempt("sent, not received", "cannot be seen: 1 descriptors that were sent to python", "hidden('sent')"),
    Attempt("registered with an io_uring", "is in use: io_uring of python", "hidden('registered')"),
)  # fmt: skip
CONTENTS = (
    Attempt("ext4", "carries ext4 (label home", "mkfs()"),
    Attempt("ext4, xfs named", "not xfs: is it the device that you mean?", "mkfs()", types="xfs"),
    Attempt("partition table", "--erase-signature dos", "put(TABLE, 446)"),
    Attempt("ext4 without its first block", "say --erase-signature data", "mkfs(); put(bytes(4096))"),
)  # fmt: skip
RACES = (
    Attempt("checked, then made ext4", "carries ext4", checked="mkfs()"),
    Attempt("checked, then made another ext4", "carries something since it was checked: ext4 (label other", "mkfs()",
            types="ext4", checked="mkfs(label='other')"),
    Attempt("checked, then mounted", "is claimed: /mnt/a", "mkfs()", types="ext4", checked="mount()"),
    Attempt("checked, then its name is another's", "is not the device any more that was checked",
            checked="away(); node(PMEM, 'pmem1')"),
    Attempt("held, then made ext4", "carries ext4", claimed="mkfs()"),
)  # fmt: skip
VARIANTS = (
    called("a path to it", "name of the device itself", "/dev/../dev/pmem0"),
    called("a character device", "is a character device", "/dev/null"),
    Attempt("mounted nowhere to be seen", UNSEEN, "mkfs(); mount_lazily()", types="ext4"),
    Attempt("open by another name", "is in use: sleep (process",
            "node('/run/mine', 'pmem0'); hold('exec 3<>/run/mine')"),
    Attempt("open in a thread alone", "is in use: python", "hidden('own_table')"),
    Attempt("open, its main thread ended", "is in use: python", "hidden('no_leader')"),
    Attempt("sent to a socket that nobody shows", "is open where it cannot be seen: nd_pmem counts 3 opens",
            "hidden('buried')"),
    Attempt("GPT of 4 KiB sectors", "say --erase-signature data", "put(b'EFI PART' + bytes((0, 0, 1, 0, 92)), 4096)"),
    Attempt("data at the end", "say --erase-signature data",
            "put(b'x', size() - 1); undo.callback(clear, PMEM, size() - 4096, 4096)"),
    Attempt("checked, then its name is a link", "has changed since it was checked: Too many levels of symbolic links",
            checked="away(); sh('ln -s pmem1 /dev/pmem0')"),
    Attempt("held, then mounted", "is claimed: /mnt/a", "mkfs()", types="ext4", claimed="mount()"),
    Attempt("part of LVM, named", "is part of something larger: LVM1_member", "put(b'HM\\1\\0')", types="LVM1_member"),
    called("a partition", "is a partition of /dev/pmem0", "/dev/pmem0p1", "partition()"),
    Attempt("read-only", "is read-only", "freeze()"),
    Attempt("another user", "only root sees who else uses it", "mkfs(); nobody()", types="ext4"),
    Attempt("mount namespace of its own", "is a mount namespace of its own", "elsewhere()"),
    Attempt("mapped, its main thread ended", "is in use: python", "hidden('no_leader_mapped')"),
    Attempt("sent, not accepted", "1 descriptors that were sent", "hidden('sent_unaccepted')"),
    Attempt("ext4 at 1 MiB", "say --erase-signature data", "mkfs(more='-E offset=1048576')"),
    Attempt("xfs without its first block", "say --erase-signature data", "xfs()"),
    Attempt("raw data", "say --erase-signature data", "put(b'x', 60 << 20)"),
    Attempt("nothing, data named", "carries no signature, not data", types="data"),
    Attempt("checked, then raw data", "carries data of no known kind", checked="put(b'x', 60 << 20)"),
    Attempt("held, then raw data", "carries data of no known kind", claimed="put(b'x', 60 << 20)"),
    Attempt("checked, then taken by dm", "is claimed: dm-0", checked="join()"),
    called("a device made of it", "is a device-mapper device, not persistent memory", "/dev/dm-0", "join()"),
    Attempt("name on another pmem", "is another name of /dev/pmem1", "away(); node(PMEM, 'pmem1')"),
    Attempt("name bound to another pmem", "is another name of /dev/pmem1",
            "sh('mount --bind /dev/pmem1 /dev/pmem0', 'umount /dev/pmem0')"),
    Attempt("partition mounted", "is mounted at /mnt/a", "partition(); mkfs('/dev/pmem0p1'); mount('/dev/pmem0p1')"),
    Attempt("ext4 with our label", "carries ext4 (label daxcheck", "mkfs(label='daxcheck')"),
    Attempt("nothing, ext4 named", "carries no signature, not ext4", types="ext4"),
    Attempt("swap area", "--erase-signature swap", "sh('mkswap /dev/pmem0')"),
    Attempt("checked, then mounted in another namespace", "is claimed: /mnt/a in the mount namespace", "mkfs()",
            types="ext4", checked="mount_elsewhere()"),
    Attempt("checked, then partitioned", "has partitions (pmem0p1)", checked="partition()"),
    Attempt("checked, then swap", "is claimed: swap on /dev/pmem0", checked="swap()"),
    Attempt("checked, then opened", "is in use: sleep (process", checked="hold('exec 3<>/dev/pmem0')"),
    Attempt("checked, then read-only", "is read-only", checked="freeze()"),
    Attempt("checked, then gone", "has changed since it was checked: No such file", checked="unbind()"),
    Attempt("held, then made another ext4", "carries something since it was checked: ext4 (label other", "mkfs()",
            types="ext4", claimed="mkfs(label='other')"),
    Attempt("held, then taken by dm", "is claimed: dm-0", claimed="join()"),
    Attempt("held, then read-only", "is read-only", claimed="freeze()"),
    Attempt("held, then gone", "cannot be opened for writing", claimed="unbind()"),
)  # fmt: skip
"""For the night."""
ATTEMPTS = (*NAMES, *USES, *CONTENTS, *RACES)
CONTROLS = (
    Attempt("nothing in the way", ""),
    Attempt("ext4, named", "", "mkfs()", types="ext4"),
    Attempt("raw data, named", "", "put(b'x', 60 << 20)", types="data"),
    Attempt("held, then its name is another's", "", claimed="away(); node(PMEM, 'pmem1')"),
    Attempt("nothing in the way at last", ""),
)

COMMANDS = (
    ("--target /dev/pmem0 --erase /dev/pmem0", "say --erase-signature ext4"),
    ("--target /dev/pmem1 --erase /dev/pmem1 --erase-signature ext4", "is mounted at /mnt/b: unmount it"),
    ("--target /dev/pmem0", "repeat its name, --erase /dev/pmem0"),
    ("--target /dev/mine --erase /dev/mine", "is a symbolic link to /dev/pmem0"),
    ("--target /dev/pmem0 --erase /dev/pmem1", "must be the same name"),
)
"""Arguments of `daxcheck run`, and words of the refusal, while the box is as SCENE makes it."""
SCENE = """\
mkdir -p /mnt/b && ln -s pmem0 /dev/mine
mkfs.ext4 -q -F /dev/pmem0 && mkfs.ext4 -q -F /dev/pmem1 && mount /dev/pmem1 /mnt/b
"""


@pytest.fixture(scope="module")
def box(kernel_6_12: Kernel, qemu: Qemu) -> Iterator[Replica]:
    with Replica(kernel_6_12, qemu, append=LEGACY) as replica:
        yield replica


def python(box: Replica, module: str, *arguments: str) -> str:
    """What a module of these tests says that runs in the box."""
    return box.check(shlex.join([sys.executable, "-m", f"tests.vm.{module}", *arguments]))


@pytest.fixture(scope="module")
def attempted(box: Replica, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What came of each attempt and control that is to be tested: what was said, and the sectors written by disk."""
    tested = " ".join(item.name for item in request.session.items)
    first, *others = CONTROLS
    rows = [asdict(row) for row in (first, *ATTEMPTS, *VARIANTS, *others) if f"[{row.name}]" in tested]
    told = [json.loads(line) for line in python(box, "burglary", json.dumps(rows)).splitlines()]
    return {name: (said, sectors) for name, said, sectors in told}


@pytest.fixture
def scene(box: Replica) -> Iterator[Replica]:
    """The box as SCENE makes it."""
    box.check(SCENE)
    yield box
    box.check("umount /mnt/b && rm /dev/mine")


@pytest.mark.parametrize(
    "attempt",
    [*ATTEMPTS, *(pytest.param(attempt, marks=pytest.mark.nightly) for attempt in VARIANTS)],
    ids=operator.attrgetter("name"),
)
def test_it_is_refused_before_a_byte_is_written(attempted: dict[str, Any], attempt: Attempt) -> None:
    """By its own reason, and no disk of the box is written to."""
    said, sectors = attempted[attempt.name]
    assert attempt.words in said
    assert said.startswith("refused: --target ") and sectors == {}


@pytest.mark.parametrize("control", CONTROLS, ids=operator.attrgetter("name"))
def test_else_it_writes_to_what_was_checked(attempted: dict[str, Any], control: Attempt) -> None:
    """The same call writes one page, and to no other disk, whatever became of the name of what it holds."""
    assert attempted[control.name] == ("written", {"pmem0": 8})


@pytest.mark.parametrize(
    ("arguments", "words"), [*COMMANDS[:2], *(pytest.param(*row, marks=pytest.mark.nightly) for row in COMMANDS[2:])]
)
def test_the_command_line_refuses_in_one_line(scene: Replica, arguments: str, words: str) -> None:
    """Exit code 2, and one line with target and reason."""
    code, said = scene.run(f"daxcheck run {arguments}")
    (line,) = filter(None, said.splitlines())
    assert code == 2 and arguments.split()[1] in line and words in line


def test_cleanup_after_a_killed_run(box: Replica) -> None:
    """All that it left goes: the agent and its mount, the probes, the instance, write_cache, the journal."""
    python(box, "killed_run")
    left = python(box, "killed_run", "left").split()
    assert {"daxcheck_x", "daxcheck_test", "write_cache", "mount"} < set(left) and len(left) == 5
    said = box.check("daxcheck cleanup")
    assert "write_cache is 1 again" in said and "killed" in said
    assert python(box, "killed_run", "left").split() == []
