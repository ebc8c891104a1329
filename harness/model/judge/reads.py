"""Judges the contents that an op has read."""

from dataclasses import dataclass

from harness.model.contract.allowed import ANYTHING
from harness.model.contract.state import State
from harness.model.judge.compare import Expected
from harness.model.program.ops import DirectLoad, Load, Pread, Sharing

Read = Load | Pread | DirectLoad


@dataclass(frozen=True, slots=True)
class Reading:
    """The file that is read (0: none), what each byte may be, and how many of them must have been seen."""

    file: int = 0
    expected: tuple[Expected, ...] = ()
    needed: int = 0


def expected_read(before: State, op: Read, past: bool = False) -> Reading:
    """Return what an op may read in state `before`; nothing past the end of the file.

    read(2) and a shared mapping return the current contents (mmap(2), MAP_SHARED). In a private mapping pages that
    were stored to hold their private copy; for others it is unspecified whether later changes show (mmap(2)). Where
    the file may end earlier, a read may end earlier too. A load may see there what was stored past the end, so it is
    expected to show only what is surely in the file. Poisoned bytes are not looked at. `past`: with what was there
    before, which is not needed to tell whether a read is right (compare.compare_file).
    """
    if isinstance(op, Pread):
        mapping, id, start = None, before.fds.get(op.fd), op.offset
    else:
        mapping = before.maps.get(op.map)
        id, start = (mapping.file, mapping.offset + op.offset) if mapping else (None, 0)
    if id is None:
        return Reading()
    file = before.files[id]
    sure = min(start + op.length, file.shortest)
    end = sure if mapping else min(start + op.length, file.longest)
    contents = file.contents if past else file.held
    runs = [Expected(low, high, byte.current, byte.ever) for low, high, byte in contents.runs(start, end)]
    if mapping is not None and mapping.sharing is Sharing.PRIVATE:
        runs = [
            Expected(low, high, seen.sources, run.past)
            for run in runs
            for low, high, seen in mapping.seen.runs(run.start, run.end)
        ]
    runs = [run for run in runs if ANYTHING not in run.sources]
    return Reading(id, tuple(runs), sum(max(0, min(run.end, sure) - run.start) for run in runs))
