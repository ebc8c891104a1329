"""Tells what the media may hold while an op runs: something between what they might hold before and may hold after.

For example `pwrite f 0 8K` over synced contents: each byte is old or new. `rename a b` over a file b: a cut finds the
old b or the new one, never none. `fsync f`: what f had promised before is there; what this fsync promises, or not yet.

No document says in which order the parts of an op reach the media, so sets are joined byte by byte: a cache line may be
evicted between any two instructions of a copy. Two rules are stricter. Bytes that were durable before the op, and that
it does not change, stay durable. And a name that passes to another file stands for one of the two at any moment
(rename(2): "there is no point at which another process attempting to access newpath will find it missing"); in the same
way at least one of the names of a renamed file stands for it (State.kept).
"""

from collections.abc import Mapping
from dataclasses import replace

from harness.model.contract.allowed import Allowed
from harness.model.contract.extents import END
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.state import NameState, State


def during(before: State, after: State) -> State:
    """The state to hold a cut against while an op leads from `before` to `after`. Reads of that time are not judged."""
    files = {**before.files, **after.files}
    files |= {id: _file(before.files[id], after.files[id]) for id in before.files.keys() & after.files.keys()}
    paths = dict.fromkeys((*before.names, *after.names))
    names = {path: _name(before.name(path), after.name(path)) for path in paths}
    return replace(after, files=files, names=names, kept=_kept(before, after))


def _file(before: FileState, after: FileState) -> FileState:
    if before is after:
        return after
    joined = before.either(after)
    contents = joined.contents.merge(0, END, before.contents, _standing)
    return replace(joined, sizes=before.sizes | after.sizes | _passed(before, after), contents=contents)


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
