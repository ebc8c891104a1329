"""Names of ops, and values of stores, in what is said about one file of a Program."""

from collections.abc import Iterable
from copy import copy
from functools import cached_property

from harness.model.contract.allowed import Anything, Known
from harness.model.contract.state import State
from harness.model.judge.values import Condition, Content, Either, Stored
from harness.model.program.ops import Planted
from harness.model.program.program import Program, describe, verb
from harness.model.program.traits import traits
from harness.model.wire.observation import Source, Stamp, Zero

Promise = tuple[int | None, str]
"""The index and the verb of an op that promised something: (9, "msync"); (None, "") of none."""
NO_PROMISE: Promise = (None, "")


def promise(program: Program, index: int | None) -> Promise:
    """The promise of op `index`."""
    return NO_PROMISE if index is None else (index, verb(program.ops[index]))


def path_of(program: Program, state: State, file: int) -> str:
    """Return the name that the file has now, or had when it was made; of what is no file and gone, none."""
    for path, name in state.names.items():
        if name.current == file:
            return path
    return program.paths()[file - 1] if file in state.files else ""


class _Tables:
    """The op of each store by its number, and the path of each file by its id; made when something is named."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @cached_property
    def stores(self) -> dict[int, int]:
        return {seq: index for index, seq in self._program.seqs().items()}

    @cached_property
    def paths(self) -> dict[int, str]:
        return dict(enumerate(self._program.paths(), start=1))


class Naming:
    """Says things about file `file` by its name `path`, in the terms of `program`."""

    def __init__(self, program: Program, path: str, file: int) -> None:
        self.path = path
        self._program = program
        self._id = file
        self._tables = _Tables(program)

    def beside(self, path: str, file: int) -> "Naming":
        """Return one that says things about another file of the Program; what both look up is made once."""
        other = copy(self)
        other.path, other._id = path, file
        return other

    @property
    def unhealthy(self) -> bool:
        """True if the Program makes memory fail, or has a fault planted in the hardware: that may show in any file."""
        poison = (traits(op).poisons for op in self._program.ops)
        return any(poison) or any(isinstance(op, Planted) for op in self._program.ops)

    def own(self, source: Source) -> bool:
        """Say whether the source is a store to this file, at the place where it was stored."""
        return isinstance(source, Stamp) and source.shift == 0 and self.of_file(source)

    def of_file(self, source: Stamp) -> bool:
        """Say whether the source is a store to this file, wherever it was stored."""
        return source.file == self._id and source.seq in self._tables.stores

    def op(self, index: int | None) -> str:
        """op 9: msync m [0..4M); empty for no op."""
        return "" if index is None else f"op {index}: {describe(self._program.ops[index])}"

    def promise(self, index: int | None) -> Promise:
        """The promise of op `index`."""
        return promise(self._program, index)

    def source(self, source: Source | Known) -> Content:
        """Return what bytes of this source are in this file. Raw bytes, and stamps that no op of the Program makes, are
        of no store: a guest can invent as many as it likes."""
        if isinstance(source, Zero | Anything):
            return Condition.ZERO if isinstance(source, Zero) else Condition.ANYTHING
        stores, paths = self._tables.stores, self._tables.paths
        if not isinstance(source, Stamp) or source.seq not in stores or source.file not in paths:
            return Condition.NO_STORE
        of = "" if source.file == self._id else paths[source.file]
        return Stored(source.seq, stores[source.seq], of, source.shift)

    def sources(self, sources: Iterable[Source | Known]) -> Content | Either:
        """Return what bytes of any of these sources are."""
        found = self.contents(sources)
        return found[0] if len(found) == 1 else Either(found)

    def contents(self, sources: Iterable[Source | Known]) -> tuple[Content, ...]:
        """Return what bytes of these sources are, each once: zero first, then by store."""
        ordered = sorted(sources, key=lambda one: (one.seq, one.shift) if isinstance(one, Stamp) else (0, 0))
        return tuple(dict.fromkeys(map(self.source, ordered)))
