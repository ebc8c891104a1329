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
from harness.target.replica import Replica
from harness.vm.machine import Qemu

pytestmark = pytest.mark.xdist_group("refusals")  # one worker, so that all share one box

PMEM = "/dev/pmem0"
LEGACY = "memmap=128M!512M"
"""Memory that the kernel calls persistent: /dev/pmem1."""
UNSEEN = "is claimed: by a mount or a program that cannot be seen from here"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is asked for, and words of the refusal.

    `before`, `checked` and `claimed` are Python that runs in the box, among the functions of BURGLARY: before all, when
    the device has passed the check, and when it is held. What they do is undone after the attempt.
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
    called("a path to it", "name of the device itself", "/dev/../dev/pmem0"),
    called("a name by udev", "name of the device itself", "/dev/disk/by-id/pmem",
           "sh('mkdir -p /dev/disk/by-id; ln -s /dev/pmem0 /dev/disk/by-id/pmem', 'rm -r /dev/disk')"),
    called("a symbolic link", "is a symbolic link to /dev/pmem0", "/dev/mine",
           "sh('ln -s pmem0 /dev/mine', 'rm /dev/mine')"),
    called("another node", "is another name of /dev/pmem0", "/dev/mine", "node('/dev/mine', 'pmem0')"),
    called("a file", "is a regular file", "/dev/mine", "sh('truncate -s 800M /dev/mine', 'rm /dev/mine')"),
    called("a character device", "is a character device", "/dev/null"),
    Attempt("name on a loop device", "is a loop device, not", "loop('/run/file'); away(); node(P, 'loop0')"),
)  # fmt: skip
USES = (
    Attempt("mounted", "is mounted at /mnt/a: unmount it", "mkfs(); mount()", types="ext4"),
    Attempt("mounted in another namespace", "is mounted at /mnt/a in the mount namespace of process",
            "mkfs(); mount_elsewhere()", types="ext4"),
    Attempt("mounted nowhere to be seen", UNSEEN, "mkfs(); mount_lazily()", types="ext4"),
    Attempt("partition", "has partitions (pmem0p1)", "partition()"),
    Attempt("journal of a mounted ext4", UNSEEN, "journal()", types="jbd"),
    Attempt("swap", "is in use as swap on /dev/pmem0", "swap()", types="swap"),
    Attempt("held by dm", "is held by dm-0", "join()"),
    Attempt("backs a loop device", "is in use: backing file of loop device loop0", "loop(P)"),
    Attempt("open", "is in use: sleep (process", "hold('exec 3<>/dev/pmem0')"),
    Attempt("open by another name", "is in use: sleep (process",
            "node('/run/mine', 'pmem0'); hold('exec 3<>/run/mine')"),
    Attempt("mapped, not open", "is in use: python", "hold_mapped()"),
    Attempt("locked", "is locked by another program", "lock()"),
)  # fmt: skip
CONTENTS = (
    Attempt("ext4", "carries ext4 (label home", "mkfs()"),
    Attempt("ext4, xfs named", "not xfs: is it the device that you mean?", "mkfs()", types="xfs"),
    Attempt("partition table", "--erase-signature dos", "put(TABLE, 446)"),
    Attempt("part of LVM, named", "is part of something larger: LVM1_member", "put(b'HM\\1\\0')", types="LVM1_member"),
)  # fmt: skip
RACES = (
    Attempt("checked, then made ext4", "carries ext4", checked="mkfs()"),
    Attempt("checked, then made another ext4", "carries something since it was checked: ext4 (label other", "mkfs()",
            types="ext4", checked="mkfs(label='other')"),
    Attempt("checked, then mounted", "is claimed: /mnt/a", "mkfs()", types="ext4", checked="mount()"),
    Attempt("checked, then its name is a link", "has changed since it was checked: Too many levels of symbolic links",
            checked="away(); sh('ln -s pmem1 /dev/pmem0')"),
    Attempt("checked, then its name is another's", "is not the device any more that was checked",
            checked="away(); node(P, 'pmem1')"),
    Attempt("held, then made ext4", "carries ext4", claimed="mkfs()"),
    Attempt("held, then mounted", "is claimed: /mnt/a", "mkfs()", types="ext4", claimed="mount()"),
)  # fmt: skip
VARIANTS = (
    called("a partition", "is a partition of /dev/pmem0", "/dev/pmem0p1", "partition()"),
    Attempt("read-only", "is read-only", "freeze()"),
    Attempt("unreadable", "its signatures cannot be read", "mkfs(); nobody()", types="ext4"),
    Attempt("checked, then taken by dm", "is claimed: dm-0", checked="join()"),
    called("a device made of it", "is a device-mapper device, not persistent memory", "/dev/dm-0", "join()"),
    Attempt("name on another pmem", "is another name of /dev/pmem1", "away(); node(P, 'pmem1')"),
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
    Attempt("held, then its name is another's", "", claimed="away(); node(P, 'pmem1')"),
    Attempt("nothing in the way at last", ""),
)

COMMON = """\
import contextlib, fcntl, glob, json, mmap, os, signal, subprocess, sys
from harness.agent import layout, mapper, probes, syscalls, tracefs
from harness.deadline import Deadline, DeadlineExpired, poll
from harness.errors import UsageError
from harness.target import claim, deedbook, permit
from harness.target.deeds import Erased, Tracing, WriteCache

P = "/dev/pmem0"

def free():
    # True when nothing claims the device.
    try:
        os.close(os.open(P, os.O_RDONLY | os.O_EXCL))
    except OSError:
        return None
    return True

"""
BURGLARY = """\
PFN = "/sys/bus/nd/drivers/nd_pmem"
TABLE = bytes((0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0)) + bytes(48) + b"\\x55\\xaa"
claim.LOCK_WAIT = permit.SETTLE = 0.5
undo = contextlib.ExitStack()

def sh(command, back=""):
    done = subprocess.run(["sh", "-ec", command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")
    if back:
        undo.callback(sh, back)

def hold(command, *prefix):
    script = f"{command}; echo ready; exec sleep 1000"
    process = subprocess.Popen([*prefix, "sh", "-ec", script], stdout=subprocess.PIPE)
    undo.callback(process.wait)
    undo.callback(process.kill)
    if process.stdout.readline() != b"ready\\n":
        raise RuntimeError(f"{command} fails")

def hold_mapped():
    fd = os.open(P, os.O_RDWR)
    address = syscalls.mmap(0, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    pid = os.fork()
    if not pid:
        signal.pause()
    syscalls.munmap(address, 4096)
    undo.callback(os.waitpid, pid, 0)
    undo.callback(os.kill, pid, signal.SIGKILL)

def mkfs(path=P, label="home", more=""):
    # Nothing is left for a mount to write later, which would look as if daxcheck had.
    sh(f"mkfs.ext4 -q -F -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 {more} -L {label} {path} 32m")

def mount(path=P):
    sh(f"mount {path} /mnt/a", "umount /mnt/a")

def mount_elsewhere():
    hold("mount /dev/pmem0 /mnt/a", "unshare", "-m")

def mount_lazily():
    hold("mount /dev/pmem0 /mnt/a; exec 3>/mnt/a/file; umount -l /mnt/a")

def journal():
    sh("mke2fs -q -F -b 4096 -O journal_dev /dev/pmem0 8192")
    mkfs("/dev/pmem1", more="-J device=/dev/pmem0")
    mount("/dev/pmem1")

def swap():
    sh("mkswap /dev/pmem0; swapon /dev/pmem0", "swapoff /dev/pmem0")

def join():
    undo.callback(mapper.remove)
    mapper.join([(P, 64 << 20)])

def partition():
    layout._add_partition(P, 2 << 20, 64 << 20)
    undo.callback(sh, "partx -d /dev/pmem0")

def loop(path):
    sh(f"modprobe loop; truncate -s 800M /run/file; losetup /dev/loop0 {path}", "losetup -d /dev/loop0")

def node(path, name):
    sh(f"mknod {path} b $(tr : ' ' </sys/block/{name}/dev)", f"rm {path}")

def away():
    sh("mv /dev/pmem0 /dev/away", "mv /dev/away /dev/pmem0")

def lock():
    fcntl.flock(undo.enter_context(open(P)), fcntl.LOCK_SH)

def freeze():
    sh("blockdev --setro /dev/pmem0", "blockdev --setrw /dev/pmem0")

def unbind():
    undo.callback(poll, lambda: os.path.exists(P) or None, Deadline(30), "pmem0 does not come back")
    sh(f"echo pfn0.0 >{PFN}/unbind", f"echo pfn0.0 >{PFN}/bind")

def put(data, offset=0, path=P):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)

def nobody():
    undo.callback(os.seteuid, 0)
    os.seteuid(65534)

def written():
    # Sectors by disk: the kernel counts no I/O of pmem unless it is told to.
    os.sync()
    for path in glob.glob("/sys/block/*/queue/iostats"):
        with contextlib.suppress(OSError), open(path, "w") as file:
            file.write("1")
    return {path.split("/")[3]: int(open(path).read().split()[6]) for path in glob.glob("/sys/block/*/stat")}

def attempt(target, erase, types, checked, claimed, **words):
    total, last = {}, written()
    def count():
        for name, sectors in written().items():
            if sectors != last.get(name, 0):
                total[name] = total.get(name, 0) + sectors - last.get(name, 0)
    def meanwhile(step):
        nonlocal last
        if step:
            count()
            exec(step, globals())
            last = written()
    try:
        allowed = permit.check(target, erase, types)
        meanwhile(checked)
        with claim.Claim(allowed, 64 << 20) as held:
            meanwhile(claimed)
            with held.writing() as writer:
                writer.write(0, bytes(4096))
        said = "written"
    except UsageError as error:
        said = f"refused: {error}"
    count()
    return said, total

sh("mkdir -p /mnt/a")
for wanted in json.loads(sys.argv[1]):
    name, before = wanted.pop("name"), wanted.pop("before")
    put(bytes(64 << 10))
    put(bytes(64 << 10), path="/dev/pmem1")
    try:
        with undo:
            exec(before)
            said, total = attempt(**wanted)
    except Exception as error:
        said, total = repr(error), {}
    poll(free, Deadline(30), f"{name}: what it did is not undone")
    print(json.dumps([name, said, total]), flush=True)
"""
"""Takes attempts as JSON; says of each what came of it, and how many sectors of which disk daxcheck has written."""
COMMANDS = (
    ("--target /dev/pmem0 --erase /dev/pmem0", "say --erase-signature ext4"),
    ("--target /dev/pmem1 --erase /dev/pmem1 --erase-signature ext4", "is mounted at /mnt/b: unmount it"),
    ("--target /dev/pmem0", "repeat its name, --erase /dev/pmem0"),
    ("--target /dev/mine --erase /dev/mine", "is a symbolic link to /dev/pmem0"),
)
"""Arguments of `daxcheck run`, and words of the refusal, while the box is as SCENE makes it."""
SCENE = """\
mkdir -p /mnt/b && ln -s pmem0 /dev/mine
mkfs.ext4 -q -F /dev/pmem0 && mkfs.ext4 -q -F /dev/pmem1 && mount /dev/pmem1 /mnt/b
"""

KILLED_RUN = """\
subprocess.run(["sh", "-ec", "mkdir -p /mnt/a; mkfs.ext4 -q -F /dev/pmem0"], check=True)
if os.fork() == 0:
    book = deedbook.Deedbook().__enter__()
    book.record(Erased("pmem0"))
    book.record(Tracing())
    probes.define([probes.Probe("daxcheck_x", "vfs_fsync_range")])
    instance = tracefs.Instance("daxcheck_test", 64)
    instance.write("events/daxcheck/daxcheck_x/enable", "1")
    book.record(WriteCache.of("pmem0"))
    open("/sys/block/pmem0/dax/write_cache", "w").write("0")
    agent = subprocess.Popen(
        ["unshare", "-m", "sh", "-ec", "mount -o dax /dev/pmem0 /mnt/a; echo ready; exec sleep 1000"],
        stdout=subprocess.PIPE, env={**os.environ, **book.environment}, start_new_session=True,
    )
    agent.stdout.readline()
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
"""
"""A run that is killed while it traces and its agent has the device mounted, in a namespace of its own."""
LEFT = """\
left = [*probes.defined(), *tracefs.instances(), *(record.path for record in deedbook.records()[0])]
if open("/sys/block/pmem0/dax/write_cache").read() != "1\\n":
    left.append("write_cache")
try:
    poll(free, Deadline(2), "pmem0 is held")
except DeadlineExpired:
    left.append("mount")
print(*left)
"""
"""Says what of it can still be seen."""


@pytest.fixture(scope="module")
def box(kernel_6_12: Kernel, qemu: Qemu) -> Iterator[Replica]:
    with Replica(kernel_6_12, qemu, append=LEGACY) as replica:
        yield replica


def python(box: Replica, source: str, *arguments: str) -> str:
    """What Python source says that runs in the box, in the interpreter of these tests."""
    return box.check(f"{sys.executable} - {shlex.join(arguments)} <<'END'\n{COMMON}{source}END")


@pytest.fixture(scope="module")
def attempted(box: Replica, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What came of each attempt and control that is to be tested: what was said, and the sectors written by disk."""
    tested = " ".join(item.name for item in request.session.items)
    first, *others = CONTROLS
    rows = [asdict(row) for row in (first, *ATTEMPTS, *VARIANTS, *others) if f"[{row.name}]" in tested]
    told = [json.loads(line) for line in python(box, BURGLARY, json.dumps(rows)).splitlines()]
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
    python(box, KILLED_RUN)
    left = python(box, LEFT).split()
    assert {"daxcheck_x", "daxcheck_test", "write_cache", "mount"} < set(left) and len(left) == 5
    said = box.check("daxcheck cleanup")
    assert "write_cache is 1 again" in said and "killed" in said
    assert python(box, LEFT).split() == []
