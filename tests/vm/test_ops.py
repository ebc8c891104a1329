"""Every op runs in a real guest; whatever a Program leaves behind is thawed, mounted and evicted without complaint."""

import contextlib
import errno
import sys
import typing
from collections.abc import Iterator

import pytest

from harness.fs import filesystem
from harness.link.kernellog import Trouble
from harness.link.session import AgentSession, Ran
from harness.model.program import ops, program
from harness.model.program.program import Program
from harness.model.units import PAGE
from harness.model.wire.observation import Segment, Stamp
from harness.targets.guest import GuestTarget
from harness.vm import snapshot

MADE = "daxcheck program 1\ncreate f data\nfallocate f allocate 0 8M\nmmap m f 0 8M\nstore m 0 8M\n"
FILES = """expect_mapped m pmd 6M 2M
expect_signal SIGBUS
madvise m 8K 4K hwpoison
store m 8K 4K
fsync f
create g copy
fallocate g allocate 0 8M
fsyncdir
clone g 2M 4K f 0
dedupe g 0 4K f 0
clone_file g f
swapext g f
exchange_range g 0 64K f 0
copy_file_range g 1M 1M f 0
splice g 3M 200K f 512
sendfile g 4M 200K f 1K
read_into m 0 8K g 4M how=direct
write_from g 5M 8K m 0
expect_short 4K
pread g 8188K 8K
direct_store m 0 64K
direct_load m 0 64K
pwrite f 2M 4K how=dsync
pread f 2M 8K how=direct
set_dax f off
expect_dax f on
link copy other
rename other third
open h third
unlink third
close h
"""
NAMES = """mkdir dir
symlink dir/soft data
tmpfile t
pwrite t 0 4K
fsync t
link_fd t dir/hard
fsyncdir path=dir
rename dir/soft dir/hard flag=exchange
unlink dir/soft
unlink dir/hard
rmdir dir
close t
"""
MEMORY = """mlock m 0 100
mprotect m 4K 4K read
expect_signal SIGSEGV
store m 4K 4K
mprotect m 4K 4K write
load m 4K 4K
flush m 0 4K
msync m 0 4M flag=invalidate
sync_file_range f 0 4M wait=write_and_wait
fdatasync f
madvise m 2M 4K remove
mremap m 4M n
load n 0 2M
mresize n 2M
mresize n 3M
mmap_over n 1M o f 0
load o 0 64K
lane a times=20
store m 0 4K
barrier
lane b times=20 worker=process
fallocate f punch_hole 0 4K
barrier
join
"""
WHOLE = """observe
fill 1M
unfill
syncfs
freeze
load m 0 4K
thaw
ftruncate f 4M
munmap m
munmap n
munmap o
close f
close g
sync
remount ro
remount rw
shutdown logflush
umount
drop_caches
mount
cut_power
"""
EVERY = MADE + FILES + NAMES + MEMORY + WHOLE
REFLINK = (ops.Clone, ops.CloneFile, ops.Dedupe)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> GuestTarget:
    found: GuestTarget = request.getfixturevalue(f"target_{request.param.replace('.', '_')}")
    return found


@contextlib.contextmanager
def session(target: GuestTarget, label: str, shut: bool = False) -> Iterator[AgentSession]:
    """A fresh file system, attached; at the end it is evicted and detached, and the kernel has not complained, but of
    the shutdown that it was told to do."""
    system = filesystem.find(label)
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(target.golden(system))
        medium = stack.enter_context(base.copy("medium"))
        guest = stack.enter_context(snapshot.start(target.plan_for(system), medium, say))
        found = AgentSession(guest, system)
        found.attach()
        yield found
        found.detach()
        assert {complaint.trouble for complaint in guest.complaints()} <= ({Trouble.FILE_SYSTEM} if shut else set())


def say(text: str) -> None:
    print(text, file=sys.stderr)


def evicted(session: AgentSession, wanted: Program) -> None:
    """Nothing of the Program is left."""
    session.evict(wanted.names())
    assert [view.path for view in session.observe(wanted.names()) if view.size is not None] == []


def refused(wanted: Program, ran: Ran) -> dict[type[ops.Op], int]:
    return {type(wanted.ops[result.index]): result.errno for result in ran.results if result.errno}


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("6.1", "ext4"),
        ("6.12", "xfs"),
        pytest.param("6.1", "xfs", marks=pytest.mark.nightly),
        pytest.param("6.12", "ext4", marks=pytest.mark.nightly),
    ],
    indirect=["target"],
)
def test_every_op_runs(target: GuestTarget, label: str) -> None:
    """There is no op that does not work on a file system that has it; the others refuse, by the right errno.

    A page is poisoned before it is shared: of a shared one 6.1 and 6.12 oops (fs/dax.c, dax_lock_folio). And 6.1 warns
    of what it does to shared pages (fs/dax.c, dax_insert_entry), so there xfs is one without.
    """
    reflink = label == "xfs" and not target.kernel.release.startswith("6.1.")
    wanted = program.parse(EVERY)
    assert {type(op) for op in wanted.ops} == set(typing.get_args(ops.Op)) - {ops.ExpectErrno, ops.Planted}
    with session(target, f"{label}:reflink" if reflink else label, shut=True) as found:
        ran = found.run(wanted, 3, lambda: None)
        assert ran.signal == 0
        assert [result.unmet for result in ran.results if result.unmet] == []
        assert [result.signal for result in ran.results if result.signal] == [7, 11]
        refusals = refused(wanted, ran)
        refusals.pop(ops.ExchangeRange)  # not before Linux 6.10, and only where mkfs was told
        lacking = {} if reflink else dict.fromkeys(REFLINK, errno.EOPNOTSUPP)
        assert refusals == lacking | ({ops.Swapext: errno.ENOTTY} if label == "ext4" else {})
        (seen,) = [result.files for result in ran.results if result.files]
        gone = ("other", "third", "dir", "dir/soft", "dir/hard")
        sizes = {"data": 8 << 20, "copy": 8 << 20, **dict.fromkeys(gone)}
        assert {view.path: view.size for view in seen} == sizes
        assert all(view.allocation is not None for view in seen if view.size)
        evicted(found, wanted)


@pytest.mark.parametrize("target", ["6.1", pytest.param("6.12", marks=pytest.mark.nightly)], indirect=True)
@pytest.mark.parametrize(
    "left",
    [
        "create g gone\npwrite g 0 8K\nunlink gone\nfreeze\n",
        "fill 0\n",
        "munmap m\nclose f\nremount ro\n",
        "lane a times=100\nstore m 0 4K\nlane b\nftruncate f 0\nload m 0 8\njoin\n",
        "lane a times=10000\nstore m 0 4K\nlane b worker=process\nftruncate f 0\nload m 0 8\njoin\n",
    ],
)
def test_whatever_is_left_is_evicted(target: GuestTarget, left: str) -> None:
    """A file system that is frozen with an unlinked file open, full, read-only, or whose lanes died, is evicted."""
    wanted = program.parse(f"{MADE}{left}cut_power\n")
    with session(target, "xfs") as found:
        ran = found.run(wanted, 1, lambda: None)
        assert (ran.signal == 7) is ("lane" in left)
        evicted(found, wanted)


@pytest.mark.parametrize("target", ["6.1", pytest.param("6.12", marks=pytest.mark.nightly)], indirect=True)
def test_a_mapping_that_pins_its_pages_is_stored_to(target: GuestTarget) -> None:
    """What comes from another disk by O_DIRECT is the op's own stamp, and is what goes back to it."""
    wanted = program.parse(f"{MADE}direct_store m 4K 4K\ndirect_load m 4K 8K\ncut_power\n")
    with session(target, "ext4") as found:
        ran = found.run(wanted, 1, lambda: None)
        assert ran.results[5].segments == (
            Segment(PAGE, 2 * PAGE, Stamp(2, 1)),
            Segment(2 * PAGE, 3 * PAGE, Stamp(1, 1)),
        )
        evicted(found, wanted)
