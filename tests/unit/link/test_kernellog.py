"""Which lines of a kernel's console are trouble, by samples in the formats of 6.1, 6.12 and 7.x."""

import os

import pytest

from harness.link.kernellog import LINE_LIMIT, OVERRAN, Console, Trouble, complaints
from harness.memfile import MemFile
from harness.model.wire.moment import COMMANDS, Moment, Phase, mark, marked

TROUBLE: tuple[tuple[Trouble, str], ...] = (
    (Trouble.WARNING, "[   12.345678] WARNING: CPU: 1 PID: 87 at fs/dax.c:380 dax_insert_entry+0x2a4/0x2f0"),
    (Trouble.WARNING, "[   12.345678] WARNING: CPU: 0 PID: 1 Comm: init at mm/memory.c:2231 insert_pfn+0x1a0/0x200"),
    (Trouble.WARNING, "[    9.12] WARNING: fs/ext4/inode.c:3421 at ext4_iomap_begin+0x2b0/0x310, CPU#1: python3/90"),
    (Trouble.WARNING, "[    9.1] WARNING: possible circular locking dependency detected"),
    (Trouble.WARNING, "[    9.1] WARNING: suspicious RCU usage"),
    (Trouble.WARNING, "[    9.1][   T87] WARNING: CPU: 1 PID: 87 at fs/iomap/iter.c:42 iomap_iter_done+0x90/0xa0"),
    (Trouble.BUG, "[    8.000001] kernel BUG at fs/dax.c:1234!"),
    (Trouble.BUG, "[    8.0] BUG: Bad page state in process python3  pfn:100200"),
    (Trouble.BUG, "[    8.0] BUG: sleeping function called from invalid context at fs/dax.c:900"),
    (Trouble.BUG, "[    8.0] BUG: Bad rss-counter state mm:00000000c0ffee type:MM_FILEPAGES val:512"),
    (Trouble.BUG, "[    8.0] BUG: KASAN: slab-use-after-free in dax_lock_entry+0x5d/0x80"),
    (Trouble.OOPS, "[    8.0] BUG: kernel NULL pointer dereference, address: 0000000000000018"),
    (Trouble.OOPS, "[    8.0] BUG: unable to handle page fault for address: ffffea0004000034"),
    (Trouble.OOPS, "[    8.0] Oops: 0000 [#1] PREEMPT SMP NOPTI"),
    (Trouble.OOPS, "[    8.0] Oops: Oops: 0002 [#1] SMP NOPTI"),
    (Trouble.OOPS, "[    8.0] invalid opcode: 0000 [#1] PREEMPT SMP NOPTI"),
    (Trouble.OOPS, "[    8.0] Oops: invalid opcode: 0000 [#1] SMP NOPTI"),
    (Trouble.OOPS, "[    8.0] general protection fault, probably for non-canonical address 0xdead000000000100"),
    (Trouble.OOPS, "[    8.0] stack segment: 0000 [#1] PREEMPT SMP"),
    (Trouble.OOPS, "[    8.0] divide error: 0000 [#1] SMP PTI"),
    (Trouble.PANIC, "[    8.0] Kernel panic - not syncing: sysrq triggered crash"),
    (Trouble.PANIC, "[    8.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007"),
    (Trouble.PANIC, "[    8.0] Kernel panic - not syncing: Oops: Fatal exception in interrupt"),
    (Trouble.HUNG_TASK, "[  242.9] INFO: task python3:87 blocked for more than 120 seconds."),
    (Trouble.HUNG_TASK, "[  242.9] INFO: task kworker/u8:2:87 blocked for more than 241 seconds."),
    (Trouble.FILE_SYSTEM, "[    9.0] EXT4-fs error (device pmem0): ext4_lookup:1785: inode #2: iget: checksum invalid"),
    (Trouble.FILE_SYSTEM, "[    9.0] EXT4-fs warning (device pmem0): ext4_dirblock_csum_verify:404: inode #2"),
    (Trouble.FILE_SYSTEM, "[    9.0] JBD2: journal checksum error"),
    (Trouble.FILE_SYSTEM, "[    9.0] Aborting journal on device pmem0-8."),
    (Trouble.FILE_SYSTEM, "[    9.0] XFS (pmem0): Metadata corruption detected at xfs_inode_buf_verify+0x12d/0x1a0"),
    (Trouble.FILE_SYSTEM, "[    9.0] XFS (pmem0): Corruption of in-memory data (0x8) detected at xfs_trans_cancel"),
    (Trouble.FILE_SYSTEM, "[    9.0] XFS (pmem0): Internal error ltbno + ltlen > bno at line 2066"),
    (Trouble.FILE_SYSTEM, "[    9.0] XFS (pmem0): log I/O error -5"),
    (Trouble.FILE_SYSTEM, "[    9.0] Buffer I/O error on dev pmem0, logical block 0, lost async page write"),
    (Trouble.STALL, "[   61.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
    (Trouble.STALL, "[   61.0] rcu: INFO: rcu_sched self-detected stall on CPU"),
    (Trouble.STALL, "[   61.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [python3:87]"),
    (Trouble.STALL, "[   61.0] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!"),
    (Trouble.STALL, "[   61.0] clocksource: Marking clocksource 'tsc' as unstable because the skew is too large:"),
    (Trouble.STALL, "[   61.0] hrtimer: interrupt took 12345678 ns"),
)  # fmt: skip

HARMLESS = (
    "[    9.491627] EXT4-fs (pmem0): DAX enabled. Warning: EXPERIMENTAL, use at your own risk",
    "[    9.49] EXT4-fs (pmem0): DAX enabled. Warning: EXPERIMENTAL",
    "[    9.49] XFS (pmem0): DAX enabled. Warning: EXPERIMENTAL, use at your own risk",
    "[    9.49] XFS (pmem0): EXPERIMENTAL online shrink feature in use. Use at your own risk!",
    "[    9.49] EXT4-fs (pmem0): mounted filesystem 1b4e28ba-2fa1-11d2-883f-b9a761bde3fb r/w with ordered data mode.",
    "[    9.49] EXT4-fs (pmem0): recovery complete",
    "[    9.49] EXT4-fs (pmem0): orphan cleanup on readonly fs",
    "[    9.49] EXT4-fs (pmem0): unmounting filesystem.",
    "[    9.49] XFS (pmem0): Mounting V5 Filesystem 1b4e28ba-2fa1-11d2-883f-b9a761bde3fb",
    "[    9.49] XFS (pmem0): Starting recovery (logdev: internal)",
    "[    9.49] XFS (pmem0): Ending recovery (logdev: internal)",
    "[    9.49] XFS (pmem0): Ending clean mount",
    "[    9.49] XFS (pmem0): Unmounting Filesystem",
    "[    0.00] Warning: unable to open an initial console.",
    "[    0.10] x86/cpu: SGX disabled by BIOS. WARNING turned off",
    "[    0.10] Spectre V2 : WARNING is given only with unprivileged eBPF",
    "[    0.30] DMAR-IR: This system BIOS has enabled interrupt remapping, see BUG reports",
    "[    0.30] debug: trying to unregister non-existing kfunc",
    "[    0.30] pci 0000:00:1f.0: quirk: [io  0x0600-0x067f] claimed by ICH6 ACPI/GPIO/TCO",
    "[    0.30] ACPI: _OSC evaluation for CPUs failed, trying _PDC",
    "[    0.30] ramoops: using module parameters",
    "[    0.30] pstore: Registered oops as persistent store backend",
    "[    0.40] systemd[1]: debugging enabled",
    "[    0.40] hung_task: detector enabled, panic on hung tasks off",
    "[    0.40] rcu: RCU restricting CPUs from NR_CPUS=8192 to nr_cpu_ids=2.",
    "[    0.40] clocksource: Switched to clocksource tsc-early",
    "[    0.50] Run /init as init process",
    "[    0.50] memmap_init_zone_device initialised 98304 pages in 12ms",
    "[    0.50] nd_pmem namespace0.0: unable to guarantee persistence of writes",
    "[    0.50] kauditd_printk_skb: 12 callbacks suppressed",
    "",
)


@pytest.mark.parametrize(("trouble", "line"), TROUBLE, ids=[f"{i}-{t}" for i, (t, _) in enumerate(TROUBLE)])
def test_trouble_is_recognised(trouble: Trouble, line: str) -> None:
    """A line in which a kernel complains is a complaint of the right kind, and is kept whole."""
    (complaint,) = complaints([line])
    assert (complaint.trouble, complaint.line) == (trouble, line)


@pytest.mark.parametrize("line", HARMLESS)
def test_announcements_are_no_trouble(line: str) -> None:
    """What a healthy kernel says, with words such as Warning or BUG in it, is no complaint."""
    assert complaints([line]) == []


def test_order_is_kept() -> None:
    """Complaints come in the order of the console, other lines left out."""
    lines = [line for pair in zip([line for _, line in TROUBLE], HARMLESS, strict=False) for line in pair]
    assert [complaint.line for complaint in complaints(lines)] == [line for _, line in TROUBLE][: len(HARMLESS)]


def test_a_long_line_is_cut() -> None:
    """A complaint keeps no more of its line than the limit."""
    (complaint,) = complaints(["WARNING: " + "x" * 100_000])
    assert len(complaint.line) == LINE_LIMIT


CLOCKS = ("[   12.345678] ", "[    9.1][   T87] ", "[    9.1][    C1] ", "")
WARNING = "[    9.3] WARNING: CPU: 0 PID: 1 at fs/dax.c:1"


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("moment", [Moment(Phase.OP, 12), Moment(Phase.VIEWS), *COMMANDS.values()])
def test_a_mark_is_read_as_it_was_written(moment: Moment, clock: str) -> None:
    """Whatever the kernel puts before it, with or without the index of an op."""
    assert marked(f"{clock}{mark(moment)}\n") == moment


@pytest.mark.parametrize(
    "line",
    ["daxcheck at op twelve", "daxcheck at dinner", "x daxcheck at op 1", "daxcheck at op 123456", "daxcheck at op 1 2",
     "[ 1.0] EXT4-fs error: comm daxcheck at op 1", "[ 1.0] " + " " * 100 + "daxcheck at op 1"],
)  # fmt: skip
def test_what_is_no_mark(line: str) -> None:
    """Nothing but the whole line is one: what a kernel quotes is not."""
    assert marked(line) is None


def test_a_complaint_is_of_the_mark_above_it() -> None:
    """Whatever else was said in between; before the first mark nobody knows."""
    lines = [WARNING, *(f"[ 9.2] {mark(Moment(Phase.OP, n))}" for n in range(3)), HARMLESS[0], WARNING, WARNING,
             f"[ 9.4] {mark(Moment(Phase.UMOUNT))}", WARNING]  # fmt: skip
    told = [complaint.moment for complaint in complaints(lines)]
    assert told == [None, Moment(Phase.OP, 2), Moment(Phase.OP, 2), Moment(Phase.UMOUNT)]


@pytest.mark.parametrize("gap", ["** 12 printk messages dropped **", "[ 9.2] ** 9 printk messages dropped **", OVERRAN])
def test_behind_a_gap_nobody_knows(gap: str) -> None:
    """The mark of what was done may be among the lines that are missing."""
    first, second = mark(Moment(Phase.OP, 1)), mark(Moment(Phase.OP, 9))
    told = [complaint.moment for complaint in complaints([first, WARNING, gap, WARNING, second, WARNING])]
    assert told == [Moment(Phase.OP, 1), None, Moment(Phase.OP, 9)]


def test_the_last_word_is_the_kernels() -> None:
    """Of a guest that went silent it is told what its kernel said, and not what we said."""
    with MemFile("console", 0) as file:
        os.write(file.fd, f"[ 1.0] the kernel\n[ 2.0] {mark(Moment(Phase.OP, 1))}\n".encode())
        assert Console(file).last_line() == "[ 1.0] the kernel"


def test_bytes_of_all_kinds() -> None:
    """A console with control bytes and broken UTF-8 is read: CRs go, the rest is replaced, complaints are found."""
    with MemFile("console", 0) as file:
        console = Console(file)
        assert console.text() == "" and console.last_line() == "(nothing)"
        os.write(file.fd, bytes(range(256)) + b"\r\n[ 1.0] BUG: planted\r\nlast\r\n\r\n")
        assert [complaint.line for complaint in console.complaints()] == ["[ 1.0] BUG: planted"]
        assert console.last_line() == "last"
        assert "\r" not in console.text()
