"""Where a thread sleeps, and whether that is in the system call of an op."""

import os

import pytest

from harness.linux import waiting
from harness.linux.waiting import Waiting

ENTRY = ("do_syscall_64", "entry_SYSCALL_64_after_hwframe")


@pytest.mark.parametrize(
    ("state", "functions", "held"),
    [
        ("S", ("ext4_break_layouts", "ext4_punch_hole", "vfs_fallocate", "__x64_sys_fallocate", *ENTRY), True),
        ("S", ("xfs_wait_dax_page", "__do_sys_msync", "x64_sys_call", *ENTRY), True),
        ("S", ("dax_iomap_pmd_fault", "handle_mm_fault", "exc_page_fault", "asm_exc_page_fault"), True),
        ("D", ("ext4_break_layouts", "__x64_sys_fallocate", *ENTRY), False),
        ("R", ("__x64_sys_fallocate", *ENTRY), False),
        ("S", ("futex_wait_queue", "futex_wait", "__x64_sys_futex", *ENTRY), False),
        ("S", ("do_wait", "__x64_sys_wait4", *ENTRY), False),
        ("S", ("pipe_read", "vfs_read", "__x64_sys_read", *ENTRY), False),
        ("S", (), False),
        ("", (), False),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0] if isinstance(value, tuple) and value else None,
)
def test_what_holds_a_lane(state: str, functions: tuple[str, ...], held: bool) -> None:
    """An interruptible sleep in an op's own call or page fault; of an uninterruptible one the kernel tells, and all
    else is daxcheck's own waiting."""
    assert Waiting(state, functions).held is held


def test_a_thread_that_is_gone_or_runs() -> None:
    """What cannot be read is left out, and is no sleep."""
    assert waiting.where(2**22 + 1) == Waiting("", ())
    mine = waiting.where(os.getpid())
    assert mine.state == "R" and not mine.held
