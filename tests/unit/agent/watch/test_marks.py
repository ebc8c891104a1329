"""Marks stand in the kernel's log where the agent was, or there are none."""

from pathlib import Path

import pytest

from harness.agent import run
from harness.agent.watch.marks import HostsMarks, Marks
from harness.agent.watch.observer import Traces
from harness.agent.x86.cpu import Cpu
from harness.linux.mounts import Place
from harness.model.program.program import parse
from harness.model.wire.frame import Message
from harness.model.wire.moment import Moment, Phase

LOOKING = """daxcheck program 1
create f data
observe
lane a
pread f 0 4K
lane b worker=process
pread f 0 4K
join
fsync f
cut_power
"""


def test_every_op_has_its_mark(tmp_path: Path) -> None:
    """Written before the op begins, at the level of a warning; lanes have that of their join, and what an observe reads
    is no doing of an op."""
    kmsg, rate = tmp_path / "kmsg", tmp_path / "rate"
    kmsg.touch()
    rate.write_text("off\n")
    (tmp_path / "files").mkdir()
    marks = Marks(str(kmsg), str(rate))
    run.run(Cpu(), Traces(), Place(str(tmp_path / "files")), parse(LOOKING), 1, lambda event: None, marks)
    assert kmsg.read_text().splitlines() == [
        f"<4>daxcheck at {what}" for what in ("op 0", "op 1", "views 1", "op 6", "op 7", "op 8")
    ]


@pytest.mark.parametrize("rate", ["/dev/full", "/dev/null", "/missing"])
def test_none_where_some_could_be_dropped(tmp_path: Path, rate: str) -> None:
    """The kernel's command line can fix the rate (printk.devkmsg): a write is refused, or changes nothing. A mark that
    is missing would leave the blame with an earlier op."""
    kmsg = tmp_path / "kmsg"
    kmsg.touch()
    Marks(str(kmsg), rate).at(Moment(Phase.OP, 1))
    assert kmsg.read_text() == ""


def test_who_reads_the_log_is_waited_for(tmp_path: Path) -> None:
    """On a box each op and each look begins only after the host has noted it, so nothing is written into its log."""
    events: list[Message] = []
    happened: list[bool] = []

    def on_event(event: Message) -> None:
        events.append(event)
        happened.append((tmp_path / "data").exists())

    run.run(Cpu(), Traces(), Place(str(tmp_path)), parse(LOOKING), 1, on_event, HostsMarks())
    told = [(event["event"], event.get("index")) for event in events]
    assert told == [("op", 0), ("op", 1), ("views", 1), ("op", 6), ("op", 7), ("op", 8), ("cut", None)]
    assert happened[:2] == [False, True]
