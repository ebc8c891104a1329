"""Guests that panic, complain, hang, or whose QEMU dies: each a typed outcome in one line, never a hang."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.deadline import now
from harness.errors import GuestDied, GuestHang, SilentGuest
from harness.fs import filesystem
from harness.link.kernellog import Trouble
from harness.link.session import AgentSession
from harness.link.silence import SILENT
from harness.model.judge.result import Outcome
from harness.model.judge.violation import Kind
from harness.model.program.program import Program, parse
from harness.report.words import why
from harness.targets.guest import GuestTarget
from harness.vm import snapshot
from harness.vm.guest import ANSWER, Guest

SHORT = 5.0
"""Seconds of silence after which these tests let a guest count as hung; a healthy one answers in milliseconds."""
EXT4 = filesystem.find("ext4")
CRASH = "open('/proc/sysrq-trigger', 'w').write('c')"
CRASH_LATER = f"""
import os
if os.fork() == 0:
    for fd in (0, 1, 2):
        os.close(fd)
    while not os.path.exists('/mnt/data'):
        pass
    {CRASH}
"""
"""A crash from a process that outlives its parent: once the Program has made its file."""
InGuest = Callable[..., None]
Meddled = Any


@pytest.fixture
def session(target_6_1: GuestTarget) -> Iterator[AgentSession]:
    """An untracked guest with a formatted NVDIMM, not yet attached."""
    with target_6_1.golden(EXT4) as medium, snapshot.start(target_6_1.plan, medium, print) as guest:
        yield AgentSession(guest, EXT4)


def its_guest(session: AgentSession) -> Guest:
    assert isinstance(session.guest, Guest)
    return session.guest


def sigstop(guest: Guest) -> None:
    """Stop the process: the monitor is silent too."""
    os.kill(guest.machine.pid, signal.SIGSTOP)


def qmp_stop(guest: Guest) -> None:
    """Stop its vCPUs alone."""
    guest.monitor.execute("stop")


def one_line(text: str) -> bool:
    return "\n" not in text and bool(text)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_panic_is_told_in_the_kernels_words(session: AgentSession, in_guest: InGuest) -> None:
    """A kernel that panics during a command ends it with GuestDied, which quotes the panic in one line."""
    with pytest.raises(GuestDied) as caught:
        in_guest(session, CRASH)
    assert "Kernel panic - not syncing: sysrq triggered crash" in str(caught.value)
    assert "during attach" in str(caught.value) and one_line(str(caught.value))
    assert Trouble.PANIC in {complaint.trouble for complaint in session.guest.complaints()}


def test_a_line_of_the_console_is_seen(session: AgentSession, in_guest: InGuest) -> None:
    """What the guest's kernel prints reaches the complaints: a WARNING does, a mount's announcement does not."""
    in_guest(session, "pass")
    session.detach()
    assert "mounted filesystem" in its_guest(session).console.text()
    assert session.guest.complaints() == []
    line = "WARNING: CPU: 0 PID: 1 at fs/dax.c:380 dax_insert_entry+0x2a4/0x2f0"
    in_guest(session, f"open('/dev/kmsg', 'w').write('<4>{line}')")
    (complaint,) = session.guest.complaints()
    assert complaint.trouble is Trouble.WARNING
    assert complaint.line.endswith(line)


def test_a_flood_of_the_console_is_bounded(session: AgentSession, in_guest: InGuest) -> None:
    """Control bytes and an endless line in the console neither stop the guest nor hide the complaint after them."""
    noise = "open('/dev/console', 'wb').write(bytes(range(256)) * 64 + b'\\n')"
    in_guest(session, f"{noise}; open('/dev/kmsg', 'w').write('<1>BUG: planted')")
    assert Trouble.BUG in {complaint.trouble for complaint in session.guest.complaints()}
    assert all(len(complaint.line) <= 400 for complaint in session.guest.complaints())


def test_a_stopped_guest_is_a_hang(session: AgentSession) -> None:
    """A guest whose vCPUs stand still does not answer: GuestHang at the deadline, and the guest can be ended."""
    its_guest(session).monitor.execute("stop")
    with pytest.raises(GuestHang) as caught:
        session.guest.call("hello", SHORT)
    assert "silent during hello" in str(caught.value) and one_line(str(caught.value))


@pytest.mark.nightly
def test_an_agent_that_never_answers_is_not_silent(session: AgentSession, in_guest: InGuest) -> None:
    """A guest whose agent waits for ever, in its kernel or not, has a pulse all the same: the deadline is what ends it,
    so that the kernel has the time to tell of a hung task."""
    with pytest.raises(GuestHang) as caught:
        in_guest(session, "import os; os.read(os.pipe()[0], 1)", 1.5 * SILENT)
    assert not isinstance(caught.value, SilentGuest)
    assert session.guest.said().count("monitor says") == 0


def test_an_agent_that_never_answers_is_a_hang(session: AgentSession, in_guest: InGuest) -> None:
    """An agent that is stuck in a command is a GuestHang although its kernel and QEMU are well."""
    with pytest.raises(GuestHang) as caught:
        in_guest(session, "import os; os.read(os.pipe()[0], 1)", SHORT)
    assert "silent during attach" in str(caught.value) and its_guest(session).machine.running


def test_a_killed_qemu_is_no_word_of_the_kernel(session: AgentSession) -> None:
    """kill -9 of QEMU is GuestDied that names the signal; the kernel is not blamed."""
    os.kill(its_guest(session).machine.pid, signal.SIGKILL)
    with pytest.raises(GuestDied) as caught:
        session.attach()
    assert "SIGKILL" in str(caught.value) and one_line(str(caught.value))
    assert session.guest.complaints() == []


def test_a_panic_during_the_ops_fails_the_cell(
    target_6_1: GuestTarget, kept: Program, monkeypatch: pytest.MonkeyPatch, in_guest: InGuest
) -> None:
    """When the kernel under test dies in the middle of a Program, the cell is a FAIL of kind kernel with its words."""
    attach = AgentSession.attach

    def attach_and_plan_a_crash(self: AgentSession, **settings: Any) -> object:
        attached = attach(self, **settings)
        if "persist" not in its_guest(self).machine.plan.plugin:
            return attached
        self.detach()
        in_guest(self, CRASH_LATER)
        return attached

    monkeypatch.setattr(AgentSession, "attach", attach_and_plan_a_crash)
    judged = judge_cell(target_6_1, cell_on(target_6_1, "panic", kept, EXT4))
    assert judged.result.outcome is Outcome.FAIL
    assert Kind.KERNEL in {violation.kind for violation in judged.result.violations}
    assert "sysrq triggered crash" in why(judged.result) and one_line(why(judged.result))
    assert "sysrq triggered crash" in judged.console


def test_a_qemu_killed_during_the_ops_is_an_error(
    target_6_1: GuestTarget, kept: Program, meddled: Meddled
) -> None:
    """When QEMU dies by itself the cell is an ERROR after a second try: nothing was learnt about the kernel."""

    def kill(guest: Guest, message: dict[str, Any]) -> None:
        os.kill(guest.machine.pid, signal.SIGKILL)

    target = meddled(target_6_1, kill, SHORT)
    result = judge_cell(target, cell_on(target, "killed", kept, EXT4)).result
    assert result.outcome is Outcome.ERROR
    assert "SIGKILL" in result.error and "tried 2 times" in result.error and one_line(result.error)
    assert result.violations == ()
    assert len(target.pids) == 2 and all(map(gone, target.pids))


@pytest.mark.parametrize("event", ["op", pytest.param("cut", marks=pytest.mark.nightly)])
def test_a_hang_during_the_ops_is_an_error(
    target_6_1: GuestTarget, kept: Program, meddled: Meddled, event: str
) -> None:
    """A guest that goes silent in an op, or after the cut, is an ERROR after its deadline; its QEMU is gone."""

    def stop(guest: Guest, message: dict[str, Any]) -> None:
        if message["event"] == event:
            guest.monitor.execute("stop")

    target = meddled(target_6_1, stop, SHORT)
    result = judge_cell(target, cell_on(target, "hung", kept, EXT4)).result
    assert result.outcome is Outcome.ERROR
    assert "silent during run" in result.error and one_line(result.error)
    assert all(map(gone, target.pids))


@pytest.mark.nightly
@pytest.mark.parametrize("still", [sigstop, qmp_stop])
def test_a_guest_that_falls_silent_is_run_again(
    target_6_1: GuestTarget, kept: Program, meddled: Meddled, still: Callable[[Guest], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A QEMU that stands still in the middle of a run is told from one that works long before its deadline, its console
    and what its monitor says are kept, and the second run gives the verdict."""
    stopped: list[float] = []
    told: list[tuple[float, str]] = []
    ask = Guest.why_not_alive

    def stop_once(guest: Guest, message: dict[str, Any]) -> None:
        if not stopped:
            still(guest)
            stopped.append(now())

    def noting(guest: Guest) -> str:
        if reason := ask(guest):
            told.append((now(), reason))
        return reason

    monkeypatch.setattr(Guest, "why_not_alive", noting)
    target = meddled(target_6_1, stop_once, ANSWER)
    judged = judge_cell(target, cell_on(target, "fell silent", kept, EXT4))
    assert (judged.result.outcome, judged.result.tries) == (Outcome.PASS, 2), why(judged.result)
    assert "no sign of life; QEMU's monitor says" in judged.console and "the cell is run again" in judged.console
    assert len(target.pids) == 2 and gone(target.pids[0])
    ((when, reason),) = told
    assert reason.startswith("no sign of life for 30 s")
    assert when - stopped[0] < ANSWER / 2


def test_one_hang_is_forgiven(target_6_1: GuestTarget, kept: Program, meddled: Meddled) -> None:
    """A guest that hangs once is run again, and the second run's verdict counts."""
    hung: list[int] = []

    def stop_once(guest: Guest, message: dict[str, Any]) -> None:
        if not hung:
            hung.append(guest.machine.pid)
            guest.monitor.execute("stop")

    target = meddled(target_6_1, stop_once, SHORT)
    result = judge_cell(target, cell_on(target, "hung once", kept, EXT4)).result
    assert result.outcome is Outcome.PASS, why(result)
    assert target.pids[0] == hung[0] and len(target.pids) == 2


HANGS = "6.1.0-50-"
"""Debian's kernel of which it is known (scenarios/known/debian.toml, break-layouts-never-woken)."""
PUNCHED = """daxcheck program 1
create f data
fallocate f allocate 0 8M
fsync f
fsyncdir
mmap m f 0 8M
store m 0 8M
msync m 0 8M
lane a times=50
direct_store m 0 64K
lane b times=50
fallocate f punch_hole 16K 16K
join
msync m 0 8M
cut_power
"""


@pytest.mark.nightly
def test_an_op_that_the_kernel_never_ends_fails_the_cell(target_6_1: GuestTarget) -> None:
    """The lane of O_DIRECT has ended and nobody wakes the punch; the function in which it sleeps is told."""
    if not target_6_1.kernel.release.startswith(HANGS):
        pytest.skip(f"{target_6_1.kernel.release} may have been mended; it is known of {HANGS}*")
    result = judge_cell(target_6_1, cell_on(target_6_1, "held", parse(PUNCHED), EXT4)).result
    assert (result.outcome, result.tries) == (Outcome.FAIL, 1), why(result)
    assert [one.kind for one in result.violations] == [Kind.KERNEL]
    assert "op 10 of lane 1, S in ext4_break_layouts <- " in why(result)
