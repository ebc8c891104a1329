"""Tells an emitter about the Program that its op stands in: C names, the byte of a store, what is traced."""

from dataclasses import dataclass

from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.program.stages import by_op
from harness.repro.naming import NamesInC, plus, size


@dataclass(frozen=True, slots=True)
class Scene:
    """A Program, its C names, and whether the reproducer traces: if not, stores leave no marks."""

    program: Program
    names: NamesInC
    traced: bool

    def fd(self, name: str) -> str:
        """The variable of a descriptor."""
        return self.names.fds[name]

    def file(self, fd: str) -> int:
        """The id of the file that a descriptor stands for."""
        return self.names.files[fd]

    def map(self, name: str) -> str:
        """The variable of a mapping, a struct map."""
        return self.names.maps[name]

    def at(self, name: str) -> str:
        """The address of a mapping."""
        return f"{self.map(name)}.at"

    def address(self, name: str, offset: int) -> str:
        """The address of a byte of a mapping."""
        return plus(self.at(name), offset)

    def byte(self, index: int) -> int:
        """The byte that op `index` stores: the number of its stamp, from 1 to 255."""
        return self.program.seqs()[index]

    def mark(self, name: str, offset: int, length: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The statement that notes a store by other means, and its helper; none where nothing is traced."""
        if not self.traced or not self.names.shared(name):
            return (), ()
        return (f"mark({self.map(name)}, {size(offset)}, {size(length)});",), ("mark",)

    def disk(self, index: int) -> int:
        """The number of the RAM disk that op `index` may use: 0, and in lanes another for each."""
        lanes = by_op(self.program.ops)[index].lanes
        return next((number for number, lane in enumerate(lanes, 1) if index in lane.indices), 0)

    def foreseen(self, index: int) -> ops.Op | None:
        """The expectation that stands before op `index`; None if there is none."""
        before = self.program.ops[index - 1] if index else None
        return before if isinstance(before, ops.ExpectErrno | ops.ExpectShort | ops.ExpectSignal) else None
