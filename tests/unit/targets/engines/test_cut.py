"""Images of moments: what a cut gives at a point, by each engine, and what the point is called."""

from collections.abc import Iterator

import numpy as np
import pytest

from harness.errors import InfraError
from harness.media.flushes import FlushLog, LiveFile
from harness.media.image import END, EVICTED, PESSIMISTIC, STRICT, CrashImage, CrashPoint, Eviction
from harness.media.log import HEADER, HEADER_SIZE, NO_FENCE, RECORD, PersistLog, PersistLogError, RecordKind, log_bytes
from harness.memfile import MemFile
from harness.model.units import LINE, PAGE
from harness.model.wire.traced import Flushed
from harness.targets.engines.cut import Cut, FlushedCut, LoggedCut, Uncut

Step = tuple[int, int, bool] | int
"""(line, byte, fenced): the line becomes durable with that byte in it; a number: a marker."""


def written(file: MemFile, steps: list[Step]) -> PersistLog:
    """A log of these steps."""
    PersistLog.create(file.fd, 100).close()
    records = np.zeros(len(steps), RECORD)
    for row, step in enumerate(steps):
        records[row]["sequence"] = row
        if isinstance(step, int):
            records[row]["kind"], records[row]["address"] = RecordKind.MARK, step
        else:
            line, byte, fenced = step
            records[row]["kind"], records[row]["address"], records[row]["length"] = RecordKind.LINE, line * LINE, LINE
            records[row]["flags"], records[row]["data"][:] = 0 if fenced else NO_FENCE, byte
    data = np.frombuffer(records.tobytes(), np.uint8)
    file.array[HEADER_SIZE : HEADER_SIZE + data.size] = data
    assert HEADER.fields is not None
    at = HEADER.fields["count"][1]
    file.array[at : at + 8] = np.frombuffer(len(steps).to_bytes(8, "little"), np.uint8)
    return PersistLog.open(file.fd)


STEPS: list[Step] = [0, (0, 1, True), 1, (1, 2, True), (0, 3, False), 2, (2, 4, True)]
"""Op 0 persists line 0; op 1 line 1, then line 0 again without a fence; after it line 2 becomes durable."""


@pytest.fixture
def logged() -> Iterator[LoggedCut]:
    with MemFile("base", PAGE) as base, MemFile("live", PAGE) as live, MemFile("log", log_bytes(100)) as file:
        live.array[3 * LINE] = 9
        with written(file, STEPS) as log:
            cut = LoggedCut(base, live.copy("live"), log, 0, keeps_caches=False)
            yield cut
            cut.close()


def lines(crash: CrashImage) -> list[int]:
    with crash.media as media:
        return [int(media.array[line * LINE]) for line in range(4)]


@pytest.mark.parametrize(
    ("point", "strict", "wanted"),
    [
        (CrashPoint(0), False, [1, 0, 0, 0]), (CrashPoint(1), False, [3, 2, 0, 0]),
        (CrashPoint(1), True, [1, 2, 0, 0]), (END, False, [3, 2, 4, 0]), (END, True, [3, 2, 4, 0]),
        (CrashPoint(1, 3), False, [1, 0, 0, 0]), (CrashPoint(1, 4), False, [1, 2, 0, 0]),
        (CrashPoint(1, 5), False, [3, 2, 0, 0]), (CrashPoint(0, 0), False, [0, 0, 0, 0]),
    ],
)  # fmt: skip
def test_the_log_gives_the_image_of_each_record(
    logged: LoggedCut, point: CrashPoint, strict: bool, wanted: list[int]
) -> None:
    """After an op, inside one, and at the end."""
    crash = logged.at(point, strict=strict)
    assert (crash.point, crash.eviction) == (point, STRICT if strict else PESSIMISTIC)
    assert lines(crash) == wanted


@pytest.mark.parametrize("point", [CrashPoint(2), CrashPoint(1, 8), CrashPoint(1, -1)])
def test_a_moment_that_was_not_is_refused(logged: LoggedCut, point: CrashPoint) -> None:
    """An op without a mark did not return; a record beyond the log was not written."""
    with pytest.raises(PersistLogError):
        logged.at(point)


def test_what_became_durable_after_the_cut_was_not_there_before_it() -> None:
    """The guest goes on after the cut, and so does its log: of that no image is made, whatever is asked for."""
    with MemFile("base", PAGE) as base, MemFile("live", PAGE) as live, MemFile("log", log_bytes(100)) as file:
        written(file, STEPS[:3]).close()
        with PersistLog.open(file.fd) as log:
            cut = LoggedCut(base, live.copy("live"), log, 0, keeps_caches=False)
            written(file, STEPS).close()
            assert log.count == len(STEPS) and lines(cut.at(END)) == lines(cut.at(CrashPoint(0))) == [1, 0, 0, 0]
            for beyond in (CrashPoint(0, 4), CrashPoint(1)):
                with pytest.raises(PersistLogError, match="not among the 3 before the cut"):
                    cut.at(beyond)
            cut.close()


def test_where_caches_survive_the_end_alone_is_known() -> None:
    """There it is memory as it was; of an earlier moment nothing is told."""
    with MemFile("base", PAGE) as base, MemFile("live", PAGE) as live, MemFile("log", log_bytes(100)) as file:
        live.array[:] = 9
        with written(file, STEPS) as log, FlushLog() as flushes:
            flushes.begin(base.copy("base"))
            cuts = (LoggedCut(base, live.copy("live"), log, 0, keeps_caches=True),
                    FlushedCut(live.copy("live"), flushes, keeps_caches=True))  # fmt: skip
            for cut in cuts:
                assert lines(cut.at(END)) == [9, 9, 9, 9] and not cut.dated
                with pytest.raises(InfraError):
                    cut.at(CrashPoint(0))
                cut.close()


def test_the_strict_image_is_that_of_the_cut(logged: LoggedCut) -> None:
    """It is judged like the other images of the end, though it is made right after the op."""
    crash = logged.strict(1)
    assert crash is not None and (crash.name, lines(crash)) == ("strict", [1, 2, 0, 0])
    assert logged.strict(0) is None


def test_tracing_knows_ops_and_no_moment_inside() -> None:
    """Nor fences. Where caches survive, or no media are kept, nothing of the past can be told."""
    with MemFile("base", PAGE) as live, FlushLog() as log:
        log.begin(live.copy("base"))
        live.array[:] = 7
        log.add(Flushed(4, ((0, LINE),)), LiveFile(live))
        cut = FlushedCut(live.copy("live"), log, keeps_caches=False)
        keeping = FlushedCut(live.copy("live"), log, keeps_caches=True)
        assert lines(cut.at(CrashPoint(3))) == [0, 0, 0, 0]
        assert lines(cut.at(CrashPoint(4))) == lines(cut.at(END)) == [7, 0, 0, 0]
        assert cut.strict(4) is None
        asked: list[tuple[Cut, CrashPoint, bool]] = [
            (cut, CrashPoint(4, 1), False), (cut, CrashPoint(4), True), (keeping, CrashPoint(4), False),
            (Uncut(), END, False),
        ]  # fmt: skip
        for one, point, strict in asked:
            with pytest.raises(InfraError):
                one.at(point, strict=strict)
        cut.close()
        keeping.close()


@pytest.mark.parametrize(
    ("point", "eviction", "name"),
    [
        (END, PESSIMISTIC, "pessimistic"), (END, Eviction("random", 7), "random:7"), (END, STRICT, "strict"),
        (CrashPoint(5), PESSIMISTIC, "after op 5"), (CrashPoint(5), STRICT, "after op 5"),
        (CrashPoint(5, 12), PESSIMISTIC, "inside op 5 at record 12"),
        (CrashPoint(5, 12), EVICTED, "inside op 5 at record 12, evicted"),
    ],
)  # fmt: skip
def test_the_words_for_an_image(point: CrashPoint, eviction: Eviction, name: str) -> None:
    """As results.jsonl has had them; two images of one point never have one name, but that strict ones only date."""
    with MemFile("media", 0) as media:
        assert CrashImage(point, eviction, media).name == name
