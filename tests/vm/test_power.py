"""A real power cut: `daxcheck arm` in a box, the power of the box goes, `daxcheck judge` after its next boot.

The box has two NVDIMMs: one is under test, and the other holds what must outlive the cut. It does so in earnest: of
that disk, too, only what was persisted is left.
"""

import contextlib
import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from harness.kernel.kernel import Kernel
from harness.targets.replica import HARDWARE, Replica
from harness.vm.machine import MIB, Qemu

KEEP = "/run/keep"
STATE = f"{KEEP}/state"
PUNCH = "punch_hole::page_inside_dirty_pmd"
ARM = f"daxcheck arm {PUNCH} --target /dev/pmem0 --erase /dev/pmem0 --state {STATE}"
WRITEBACK = "cat /proc/sys/vm/dirty_writeback_centisecs"
END = f"""\
import signal, subprocess, sys
log = open("{KEEP}/log", "w")
armed = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
said = ""
while "Ctrl-C disarms." not in said and (line := armed.stdout.readline()):
    said += line
armed.send_signal(int(sys.argv[1]))
print(said + armed.stdout.read() + open("{KEEP}/log").read(), armed.wait())
"""
"""Ends a command by a signal once it is armed; what it said, and its exit code."""


class Box(Replica):
    """A box whose power can be cut and which has a disk at KEEP."""

    def __init__(self, kernel: Kernel, qemu: Qemu) -> None:
        hardware = dataclasses.replace(HARDWARE, nvdimm=1024 * MIB, nvdimms=2)
        super().__init__(kernel, qemu, hardware=hardware, tracked=True)
        self.check("mkfs.ext4 -q -b 4096 /dev/pmem1")
        self.mount()

    def mount(self) -> None:
        self.check(f"mkdir {KEEP} && mount /dev/pmem1 {KEEP}")

    def arm(self, words: str) -> str:
        """What `daxcheck arm` said by the time that it was armed; it stays so."""
        self.check(f"({{ {ARM} {words}; echo ended: $?; }} >{KEEP}/out 2>&1 &)")
        until = f"grep -q -e 'Ctrl-C disarms' -e '^ended: ' {KEEP}/out"
        said = self.check(f"until {until}; do sleep 0.5; done; cat {KEEP}/out")
        assert "armed: " in said, said
        return said

    def end(self, number: int, words: str) -> str:
        """What it said that was sent a signal once it was armed, and its exit code."""
        return self.check(f"{sys.executable} - {number} {ARM} {words} <<'END'\n{END}END").strip()

    def cut_and_boot(self) -> None:
        self.cut_power()
        self.boot()
        self.mount()


@pytest.fixture
def box(qemu: Qemu) -> Iterator[Callable[[Kernel], Box]]:
    """Boots a box."""
    with contextlib.ExitStack() as stack:
        yield lambda kernel: stack.enter_context(Box(kernel, qemu))


@pytest.mark.nightly
def test_a_loss_is_found_after_a_real_cut(box: Callable[[Kernel], Box], kernel_6_12: Kernel) -> None:
    """Debian's 6.12 loses 511 pages on ext4, and is blamed."""
    here = box(kernel_6_12)
    here.arm("--fs ext4")
    here.cut_and_boot()
    code, said = here.run(f"daxcheck judge {STATE} --results {KEEP}/results --no-known --no-history")
    assert code == 1, said
    (told,) = re.findall("^.*recovery writes to it$", said, re.MULTILINE)
    assert "/dev/pmem0 holds the file system" in told and said.index(told) < said.index("511 of 512")
    assert "511 of 512 pages of data[0..2M) hold the older store" in said
    assert "ext4_punch_hole" in said
    (line,) = here.check(f"cat {KEEP}/results/results.jsonl").splitlines()
    result = json.loads(line)
    facts = {name: result[name] for name in ("outcome", "engine", "target", "fs", "kernel", "recovered_by", "images")}
    release = kernel_6_12.release
    assert facts == {"outcome": "FAIL", "engine": "power", "target": "local", "fs": "ext4", "kernel": release,
                     "recovered_by": release, "images": 1}  # fmt: skip


@pytest.mark.nightly
def test_what_was_armed_is_kept_until_it_is_judged(box: Callable[[Kernel], Box], kernel_6_12: Kernel) -> None:
    """No run erases it before that, unless it is told to; judging it again, from the copy, says the same. What is known
    is no news: it is told as known, and is in the history, as in a run."""
    here = box(kernel_6_12)
    here.arm("--fs ext4")
    here.cut_and_boot()
    run = "daxcheck run --target /dev/pmem0 --erase /dev/pmem0 --fs ext4 -k page_inside --no-known"
    code, said = here.run(run)
    assert code == 2 and "holds a run that was armed" in said and "--erase-signature armed" in said, said
    judge = f"daxcheck judge {STATE} --history {KEEP}/history.sqlite"
    code, said = here.run(judge)
    assert code == 0 and "511 of 512 pages" in said and "ext4-punch-hole" in said, said
    code, again = here.run(f"{judge} --no-known")
    assert code == 1, again
    assert f"judged before, under {kernel_6_12.release}: XFAIL" in again
    assert "511 of 512 pages" in again
    assert "20a7f111" in here.check(f"daxcheck history --history {KEEP}/history.sqlite")
    assert "testable: daxcheck run --target /dev/pmem0" in here.run("daxcheck doctor")[1]
    code, said = here.run(f"sed -i s/judged/armed/ {STATE}/dossier.json && {run}")
    assert code == 2 and f"which is not judged yet: daxcheck judge {STATE};" in said, said


@pytest.mark.nightly
def test_a_kernel_that_keeps_its_promises_passes(box: Callable[[Kernel], Box], kernel_6_1: Kernel) -> None:
    """Debian's 6.1 passes on xfs. All that the verdict needs is durable before the power command runs, and Ctrl-C
    before that has left nothing behind: not a mount, not a claim, not a setting."""
    here = box(kernel_6_1)
    said = here.end(2, "--fs xfs")
    assert said.endswith(" 130"), said
    assert "disarmed: the power was not cut" in said
    assert here.check(WRITEBACK) == "500\n"
    here.arm(f"--fs xfs --power 'cp {STATE}/dossier.json {KEEP}/before'")
    assert here.check(WRITEBACK) == "0\n"
    here.check(f"until test -s {KEEP}/before; do sleep 0.1; done; sync -f {KEEP}/before")
    here.cut_and_boot()
    assert json.loads(here.check(f"cat {KEEP}/before"))["phase"] == "armed"
    code, said = here.run(f"daxcheck judge {STATE}")
    assert code == 0, said
    assert f"ok    {kernel_6_1.release} xfs" in said


@pytest.mark.nightly
def test_a_run_that_was_killed_before_the_cut_is_not_judged(box: Callable[[Kernel], Box], kernel_6_12: Kernel) -> None:
    """Its umount has written back what the kernel had forgotten: a pass would be a lie."""
    here = box(kernel_6_12)
    assert here.end(9, "--fs xfs").endswith(" -9")
    here.check("until daxcheck cleanup; do sleep 1; done")
    here.cut_and_boot()
    code, said = here.run(f"daxcheck judge {STATE}")
    assert code == 3, said
    assert "unmounted before the power was cut" in said
