"""Tells, beside a run's results, what each op flushed, where files then lay, and what became of DAX entries."""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.agent.handles import Handles
from harness.agent.watch.drops import DropTrace
from harness.agent.watch.faults import FaultTrace
from harness.agent.watch.flushes import FlushTrace
from harness.agent.watch.pmemrange import Block, PmemRange, lines
from harness.linux import syscalls
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.traits import touched, traits
from harness.model.units import PAGE
from harness.model.wire.frame import Message
from harness.model.wire.traced import DROP_LIMIT, LOST_LIMIT, PLACED_LIMIT, Range, merged

BLOCKS_LIMIT = 1 << 16
"""Blocks told of in a whole run, which all go into one message."""


@dataclass(frozen=True, slots=True)
class Traces:
    """The traces that watch a run. `flushes` needs `medium`; without them nothing is told of flushes or places."""

    faults: FaultTrace | None = None
    drops: DropTrace | None = None
    flushes: FlushTrace | None = None
    medium: PmemRange | None = None

    def close(self) -> None:
        """Remove instances and probes."""
        for trace in (self.faults, self.drops, self.flushes):
            if trace is not None:
                trace.close()


class OpObserver:
    """Looks before and after each op at what the traces have; `tell` is given messages, `ask` those that must be
    answered before anything goes on."""

    def __init__(self, traces: Traces, tell: Callable[[Message], None], ask: Callable[[Message], None]) -> None:
        self._traces = traces
        self._tell = tell
        self._ask = ask
        self._inodes: dict[int, int] = {}
        self._places = self._blocks = self._drops = 0
        self._looked = -1
        """The last op after which all was told."""
        self._whole = True

    def prepare(self, index: int, op: Op, handles: Handles) -> None:
        """Take the faults of op `index` before it, if it stores to a mapping, so that what they flush is told alone.

        A fault that gives a page a new block stores zeroes, or a copy, to it and flushes that, before the op's own
        stores. If it were told with them, it would pass for a flush of them. It counts for the op before.
        """
        traces = self._traces
        memory = touched(op) if traits(op).stores else None
        if traces.flushes is None or traces.medium is None or memory is None:
            return
        with contextlib.suppress(OSError):  # what the op itself will then run into
            name, offset, length = memory
            if isinstance(op, ops.ReadInto):  # which stores no more than there is to read
                length = min(length, os.fstat(handles.file(op.fd).fd).st_size - op.source_offset)
            address = handles.map_at(name, offset)
            start, end = address // PAGE * PAGE, -(-(address + length) // PAGE) * PAGE
            if length > 0:
                syscalls.madvise(start, end - start, syscalls.MADV_POPULATE_WRITE)
        self._note_flushes(max(index - 1, 0), (), handles, traces.flushes, traces.medium)

    def begin(self, index: int) -> None:
        """Note that a lane is about to do op `index`; must be called in the lane's own thread."""
        if self._traces.drops is not None:
            self._traces.drops.begin(index)

    def look(self, index: int, done: Sequence[Op], handles: Handles) -> None:
        """Look after op `index` has returned; `done` are the ops since the last look: it, unless it failed, and those
        of the lanes that it joins."""
        self._note_inodes(handles)
        self._note_drops(index)
        self._looked = index
        if self._traces.flushes is not None and self._traces.medium is not None:
            self._note_flushes(index, done, handles, self._traces.flushes, self._traces.medium)
            if any(_places(op) for op in done):
                self._note_places(index, handles, self._traces.medium)

    def _note_inodes(self, handles: Handles) -> None:
        for file in handles.files.values():
            if file.id and file.id not in self._inodes:
                self._inodes[file.id] = os.fstat(file.fd).st_ino
                self._tell({"inodes": [[file.id, self._inodes[file.id]]]})

    def _note_drops(self, index: int) -> None:
        if self._traces.drops is None or self._drops >= DROP_LIMIT:
            return
        found, lost = self._traces.drops.read()
        if touched := self._traces.drops.touches.take(index):
            self._tell({"touched": touched})
        if self._whole and (lost or self._traces.drops.touches.full or self._drops + len(found) >= DROP_LIMIT):
            self._whole = False
            self._tell({"missed": self._looked + 1})
        if lost:
            # The first drop after a store is to blame: from here on nobody knows which one that is.
            self._drops = DROP_LIMIT
            return
        found = found[: DROP_LIMIT - self._drops]
        self._drops += len(found)
        if found:
            self._tell({
                "dropped": [
                    {
                        "index": index if drop.op is None else drop.op, "function": drop.function,
                        "inode": drop.inode, "start": drop.start, "end": drop.end, "entries": drop.entries,
                        "stack": list(drop.stack),
                    }
                    for drop in found
                ]
            })  # fmt: skip

    def _note_flushes(
        self, index: int, done: Iterable[Op], handles: Handles, flushes: FlushTrace, medium: PmemRange
    ) -> None:
        touched = [] if medium.by_host else [line for op in done for line in self._flushed(op, handles, medium)]
        own = [piece for line in touched for piece in medium.heard(line)]
        ranges, lost = flushes.read(medium)
        if lost:
            self._lose(lost)
        if found := merged([*ranges, *own]):
            self._ask({"event": "flushed", "index": index, "ranges": [list(span) for span in found]})

    def _flushed(self, op: Op, handles: Handles, medium: PmemRange) -> list[Range]:
        """Return what an op has flushed by an instruction of our own, which no kernel function sees."""
        if not isinstance(op, ops.Flush):
            return []
        if op.map not in handles.maps:
            self._lose(f"mapping {op.map} of a flush is gone")
            return []
        map = handles.map(op.map)
        if map.private:
            return []  # its pages may be copies: where one is not, the kernel is to flush the file's all the same
        blocks = _blocks(handles, map.file.id, medium)
        if blocks is None:
            self._lose(f"nothing tells where the file of mapping {op.map} lies")
            return []
        return lines(blocks, map.offset + op.offset, map.offset + op.offset + op.length)

    def _note_places(self, index: int, handles: Handles, medium: PmemRange) -> None:
        used = {file.id for file in handles.files.values()} | {map.file.id for map in handles.maps.values()}
        for id in sorted(used - {0}):
            blocks = _blocks(handles, id, medium)
            if blocks is None:
                continue
            self._places += 1
            self._blocks += len(blocks)
            if self._places > PLACED_LIMIT or self._blocks > BLOCKS_LIMIT:
                self._lose("the files lie in more pieces, at more times, than can be told")
                return
            self._tell({"placed": [{"index": index, "file": id, "blocks": [list(block) for block in blocks]}]})

    def _lose(self, words: str) -> None:
        self._tell({"lost": words[:LOST_LIMIT]})


def _places(op: Op) -> bool:
    """Say whether to tell where files lie after the op: for its promises, and at the cut for a control without any.

    An op that may flush and promises nothing gives one more look, which helps where another is missing (coverage).
    """
    facts = traits(op)
    return bool(facts.promises) or facts.writes_back or isinstance(op, ops.CutPower)


def _blocks(handles: Handles, id: int, medium: PmemRange) -> list[Block] | None:
    """Return where file `id` lies; None if it is in too many pieces, or mapped but neither open nor found by a name.

    FIEMAP without FIEMAP_FLAG_SYNC writes nothing back.
    """
    for file in handles.files.values():
        if file.id == id:
            return medium.blocks(file.fd)
    for name, named in handles.names.items():
        if named == id:
            try:
                fd = os.open(handles.path(name), os.O_RDONLY | os.O_NOATIME | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                return medium.blocks(fd)
            finally:
                os.close(fd)
    return None
