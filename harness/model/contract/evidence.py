"""Uses reads to decide where the contract leaves a choice: after a race, or an op that failed half-way.

No document says which of its allowed contents a byte then has. But it has one only, since read(2) and mmap(2) return
what is current. So every other read must show what one read has shown, until the next change, and so must the media
after a sync.
"""

from collections.abc import Iterable
from dataclasses import replace

from harness.model.contract.state import State
from harness.model.program.ops import DirectLoad, Load, Observe, Op, Pread, Sharing
from harness.model.wire.observation import FileView, OpResult, Segment


def told(state: State, op: Op, result: OpResult) -> State:
    """The state, knowing what an op outside of lanes has read."""
    if result.errno or result.signal:
        return state
    match op:
        case Observe():
            return seen(state, result.files)
        case Pread(fd) if fd in state.fds:
            return _read(state, state.fds[fd], result.segments, None)
        case Load(name) | DirectLoad(name) if name in state.maps and state.maps[name].sharing is not Sharing.PRIVATE:
            file = state.files[state.maps[name].file]
            # Past the end a mapping shows what was stored there, which is no part of the file (mmap(2)).
            inside = [one for one in result.segments if one.end <= file.shortest]
            return _read(state, file.id, inside, None)
        case _:
            return state


def seen(state: State, views: Iterable[FileView]) -> State:
    """The state, knowing what these views of whole files show."""
    for view in views:
        file = state.file(view.path)
        if file is not None and view.size is not None and not view.kind:
            state = _read(state, file.id, view.segments, view.size)
    return state


def _read(state: State, id: int, segments: Iterable[Segment], size: int | None) -> State:
    file = state.files[id].told(tuple(segments), size)
    return replace(state, files={**state.files, id: file})
