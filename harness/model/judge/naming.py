"""Names of ops, and values of stores, in what is said about one file of a Program."""

from collections.abc import Iterable

from harness.model.contract.allowed import Anything, Known
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


class Naming:
    """Says things about file `file` by its name `path`, in the terms of `program`."""

    def __init__(self, program: Program, path: str, file: int) -> None:
        self.path = path
        self._program = program
        self._id = file
        self._stores = {seq: index for index, seq in program.seqs().items()}
        self._paths = dict(enumerate(program.paths(), start=1))

    @property
    def unhealthy(self) -> bool:
        """True if the Program makes memory fail, or has a fault planted in the hardware: that may show in any file."""
        poison = (traits(op).poisons for op in self._program.ops)
        return any(poison) or any(isinstance(op, Planted) for op in self._program.ops)

    def own(self, source: Source) -> bool:
        """Say whether the source is a store to this file, at the place where it was stored."""
        return isinstance(source, Stamp) and (source.file, source.shift) == (self._id, 0) and source.seq in self._stores

    def of_file(self, source: Stamp) -> bool:
        """Say whether the source is a store to this file, wherever it was stored."""
        return source.file == self._id and source.seq in self._stores

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
        if not isinstance(source, Stamp) or source.seq not in self._stores or source.file not in self._paths:
            return Condition.NO_STORE
        of = "" if source.file == self._id else self._paths[source.file]
        return Stored(source.seq, self._stores[source.seq], of, source.shift)

    def sources(self, sources: Iterable[Source | Known]) -> Content | Either:
        """Return what bytes of any of these sources are."""
        found = self.contents(sources)
        return found[0] if len(found) == 1 else Either(found)

    def contents(self, sources: Iterable[Source | Known]) -> tuple[Content, ...]:
        """Return what bytes of these sources are, each once: zero first, then by store."""
        ordered = sorted(sources, key=lambda one: (one.seq, one.shift) if isinstance(one, Stamp) else (0, 0))
        return tuple(dict.fromkeys(map(self.source, ordered)))
