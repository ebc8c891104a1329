"""Lanes of a reproducer: they run, they end, and only what they are sure to have done is judged."""

import re
from pathlib import Path

import pytest

from tests.unit.repro.built import reproducer, run

RACE = """\
create f data
ftruncate f 4M
mmap m f 0 4M
lane a times=50
store m 0 4K
barrier
lane b worker=process times=50
store m 8K 4K
barrier
join
fsync f
cut_power
"""


def test_lanes_run(tmp_path: Path) -> None:
    """A thread and a forked process store, meet, and end; the sync behind them promises what both have stored."""
    ended = run(reproducer(RACE), tmp_path)
    assert (ended.code, ended.said[-1]) == (1, "LOST 2 of 2 promised pages")


@pytest.mark.parametrize("worker", ["a", "b"])
def test_a_lane_that_does_not_come_back(tmp_path: Path, worker: str) -> None:
    """A kernel that forgets a thread or a process leaves no reproducer waiting: 77."""
    text = reproducer(RACE).replace("alarm(300)", "alarm(1)")
    stuck = re.sub(rf"(void \*lane_{worker}.*?gate\);)", r"\1\n\tpause();", text, flags=re.DOTALL)
    assert stuck != text
    ended = run(stuck, tmp_path)
    assert ended.code == 77 and ended.said[-1].endswith("cannot tell")


def test_a_killed_process(tmp_path: Path) -> None:
    """A process that is killed has stored its page or not, so that of it nothing is promised; the others go on."""
    lanes = RACE.replace("barrier\n", "").replace("join\n", "lane c worker=killed times=50\nstore m 16K 4K\njoin\n")
    text = reproducer(lanes)
    assert "killed(p2);" in text and "join(p1);" in text
    ended = run(text, tmp_path)
    assert (ended.code, ended.said[-1]) == (1, "LOST 2 of 2 promised pages")
    alone = lanes.replace("lane b worker=process times=50\nstore m 8K 4K\n", "")
    (tmp_path / "alone").mkdir()
    assert run(reproducer(alone), tmp_path / "alone").said[-1] == "LOST 1 of 1 promised pages"
