"""Tells what the media may hold while an op runs: something between what they might hold before and may hold after.

For example `pwrite f 0 8K` over synced contents: each byte is old or new. `rename a b` over a file b: a cut finds the
old b or the new one, never none. `fsync f`: what f had promised before is there; what this fsync promises, or not yet.

No document says in which order the parts of an op reach the media, so sets are joined byte by byte: a cache line may be
evicted between any two instructions of a copy. Three rules are stricter:

- Bytes that were durable before the op, and that it does not change, stay durable.
- A name that passes to another file stands for one of the two at any moment (rename(2): "there is no point at which
  another process attempting to access newpath will find it missing"); in the same way at least one of the names of a
  renamed file stands for it (State.kept).
- An exchange of ranges is there as a whole, or not at all (contract.exchange).

One is laxer, for a file system without a journal. ext4(5), has_journal: "Create a journal to ensure file system
consistency even across unclean shutdowns". Without one the blocks of metadata are written in any order, e2fsck(8) makes
what it can of them, and no document says what. So inside an op nothing is promised of a file whose metadata may be on
their way to the media, nor of any name while some name is. A file that was synced and not touched since is judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

from harness.model.contract.allowed import ANYTHING, Allowed, Values
from harness.model.contract.extents import END
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.state import NameState, State


def during(moments: Sequence[State], journal: bool = True) -> State:
    """Return the state to hold a cut against while an op, or a race, leads from the first of the moments through the
    others to the last; `journal`: the file system has one. Reads of that time are not judged."""
    state = reduce(_joined, moments)
    return state if journal else _unordered(state, moments)


def _joined(before: State, after: State) -> State:
    files = {**before.files, **after.files}
    files |= {id: _file(before.files[id], after.files[id]) for id in before.files.keys() & after.files.keys()}
    paths = dict.fromkeys((*before.names, *after.names))
    names = {path: _name(before.name(path), after.name(path)) for path in paths}
    return replace(after, files=files, names=names, kept=_kept(before, after))


def _file(before: FileState, after: FileState) -> FileState:
    if before is after:
        return after
    joined = before.either(after)
    joined = joined.with_contents(lambda one, two: one.merge(0, END, two, _standing), before)
    return replace(joined, sizes=before.sizes | after.sizes | _passed(before, after))


def _passed(before: FileState, after: FileState) -> frozenset[Span]:
    """Return the sizes that a growing file has on the way. They are among those after the op, unless it has promised
    its own by then (RWF_DSYNC). No op promises a size that it has cut."""
    if before.sizes <= after.sizes or after.longest <= before.longest:
        return frozenset()
    return frozenset({Span(before.shortest, after.longest)})


def _standing(joined: Allowed, before: Allowed) -> Allowed:
    """Keep the promise of a byte as it was if the op changes nothing of it on the media."""
    return before if joined.durable == before.durable else joined


def _name(before: NameState, after: NameState) -> NameState:
    return NameState(after.current, before.durable | after.durable, before.promised_by)


def _kept(before: State, after: State) -> Mapping[int, frozenset[str]]:
    """Return the names of each renamed file: at any moment at least one of them stands for it. They are those of
    `after`, and while a sync makes names durable also those of `before`, since a sync takes none away."""
    paths = before.names.keys() | after.names.keys()
    settles = all(before.name(path).current == after.name(path).current for path in paths)
    held = {id: names for id, names in before.kept.items() if settles or id in after.kept}
    return {**held, **{id: names | held.get(id, frozenset()) for id, names in after.kept.items()}}


def _unordered(state: State, moments: Sequence[State]) -> State:
    """The state of a file system whose metadata reach the media in any order: e2fsck may then drop names, and cut or
    clear files."""
    files = {
        id: file if all(_settled(one.files[id]) for one in (state, *moments) if id in one.files) else _unknown(file)
        for id, file in state.files.items()
    }
    if all(len(name.durable) == 1 for name in state.names.values()):
        return replace(state, files=files)
    names = {path: replace(name, durable=name.durable | {None}) for path, name in state.names.items()}
    return replace(state, files=files, names=names, kept={})


def _settled(file: FileState) -> bool:
    """Say whether all of the file was synced, its size and blocks too, so that none of its metadata is to be written.
    Where its blocks lie, and which it has, may change without a change of contents."""
    sizes = file.size_by is not None and len(file.sizes) == 1 and all(span.low == span.high for span in file.sizes)
    contents = all(len(byte.durable) == 1 for byte in file.held.values)
    placed = not any(place.old or place.copied for *_, place in file.blocks.runs())
    given = all(given.durable_by is not None or not given.now for *_, given in file.allocation.runs())
    return sizes and contents and placed and given


def _unknown(file: FileState) -> FileState:
    """The file while nobody knows what e2fsck makes of it."""
    unknown: Values = frozenset({ANYTHING})
    behind = file.behind.then(lambda tail: tail.map(0, END, lambda byte: byte.may_hold(unknown)))
    file = file.anything(0, END).allocation_unknown(0, END)
    return replace(file, behind=behind, sizes=frozenset({Span(0, END)}))
