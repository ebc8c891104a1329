"""Tells what is to be compared after a power cut, of all that the Program promised and the trace cannot judge."""

from collections.abc import Iterator, Mapping

from harness.model.contract.allowed import ZERO, ZEROES, Allowed
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState
from harness.model.contract.state import State
from harness.model.units import size_text
from harness.model.wire.observation import Stamp

LIMIT = 6
"""The ranges of one file that are told."""


def comparison(state: State, judged: Mapping[int, Extents[bool]]) -> Iterator[str]:
    """Yield lines on each name and file of which something is certain on the media, at a cut in `state`.

        data: exists, 8M long
        data [64K..68K): 0x00

    `judged` are the bytes that the trace judges, by file. What holds zeroes because nothing was ever written there is
    left out.
    """
    told: set[int] = set()
    for path, name in state.names.items():
        if name.promised_by is not None and len(name.durable) == 1 and name.current is None:
            yield f"{path}: is gone"
        certain = name.promised_by is not None and len(name.durable) == 1
        file = state.file(path)
        if file is None:
            if certain and name.current is not None:
                yield f"{path}: exists"
            continue
        facts = ["exists"] if certain else []
        new = file.id not in told
        told.add(file.id)
        if new and file.size_by is not None and file.surely_durable == file.longest_durable:
            facts.append(f"{size_text(file.longest_durable)} long")
        if facts:
            yield f"{path}: {', '.join(facts)}"
        if new:
            yield from (f"{path} {text}" for text in _ranges(file, judged.get(file.id, Extents.of(False))))


def _ranges(file: FileState, judged: Extents[bool]) -> Iterator[str]:
    runs = list(_joined(_certain(file, judged)))
    yield from (f"[{size_text(low)}..{size_text(high)}): 0x{value:02x}" for low, high, value in runs[:LIMIT])
    if len(runs) > LIMIT:
        yield f"and {len(runs) - LIMIT} ranges more"


def _certain(file: FileState, judged: Extents[bool]) -> Iterator[tuple[int, int, int]]:
    """The ranges where the media can hold one content only, with its byte."""
    for low, high, byte in file.contents.runs(0, file.shortest):
        value = _value(byte)
        if value is not None:
            yield from ((a, b, value) for a, b, seen in judged.runs(low, high) if not seen)


def _value(byte: Allowed) -> int | None:
    if byte.promised_by is None or len(byte.durable) != 1 or byte.past == ZEROES:
        return None
    (source,) = byte.durable
    if isinstance(source, Stamp):
        return source.seq
    return 0 if source == ZERO else None


def _joined(runs: Iterator[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """The runs, of which those that meet and hold the same are one."""
    last: tuple[int, int, int] | None = None
    for low, high, value in runs:
        if last is not None and last[1:] == (low, value):
            last = last[0], high, value
            continue
        if last is not None:
            yield last
        last = low, high, value
    if last is not None:
        yield last
