"""The plugin's page walk against the kernel's own word."""

import pytest

from harness.fs import filesystem
from harness.link.session import AgentSession
from harness.media.log import RecordKind
from harness.model.program.program import Program
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire import stamps
from harness.targets.guest import GuestTarget
from harness.targets.plugintracker import PluginTracker
from harness.targets.target import Job
from harness.targets.tracker import Media

BEGIN, END = 1 << 32, (1 << 32) + 1
"""The markers that harness.agent.translate puts around its flushes."""
PAGES = 3 * PMD // PAGE + 5


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_the_walk_agrees_with_pagemap(target_6_12: GuestTarget, fs: str) -> None:
    """Each line flushed through PMD and PTE mappings is recorded, in order and with its bytes, at the physical
    address that /proc/self/pagemap gives for it, and no other line is."""
    system, tracker = filesystem.find(fs), target_6_12.tracker
    assert isinstance(tracker, PluginTracker)
    with (
        target_6_12.golden(system) as base,
        base.copy("walked") as medium,
        target_6_12.start(Job(Program(()), system), Media(base, medium)) as guest,
        tracker.open() as log,
    ):
        session = AgentSession(guest, system)
        session.attach()
        lines = guest.call("translate", path="walked", pages=PAGES)["lines"]
        session.detach()
        log.check()
        start, stop = log.upto(BEGIN), log.upto(END)
        assert start is not None and stop is not None
        records = log.records(start, stop)
        nvdimm = guest.nvdimm()

    records = records[records["kind"] == RecordKind.LINE]
    assert len(lines) == 2 * PAGES
    assert len({address % PAGE for _, address in lines}) == PAGE // LINE
    assert records["address"].tolist() == [address for _, address in lines]
    assert all(nvdimm.base <= address < nvdimm.base + nvdimm.size for _, address in lines)
    seqs = [1] * PAGES + [2] * PAGES
    for seq, (offset, _), data in zip(seqs, lines, records["data"], strict=True):
        assert data.tobytes() == stamps.pattern(seq, 1, 0, offset, offset + LINE)
