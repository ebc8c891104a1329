"""Tells an emitter about the Program that its op stands in: C names, the byte of a store, what is traced."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.program.stages import by_op, stages
from harness.model.units import PAGE, PMD
from harness.repro.naming import NamesInC, plus, plus_pages, size
from harness.repro.promised import Traceable, shifted
from harness.repro.tracing import TraceForm

Written = tuple[tuple[str, ...], tuple[str, ...]]
"""Statements, and the helpers that they need."""
_MOST_INLINE = 2
"""Stores before each of which the trace is read without a function for that."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A Program, its C names, what the trace is to judge, and how: `form`.

    The trace begins before op `begin`. `again` is the number of stores before which it must be read: what was written
    back before such a store does not cover it. The first of all, `fresh`, needs none: nothing was written back yet.
    `files` are the ids of those that it judges. After the ops `checked` the reproducer asks for DAX and for the inode
    of these, or else of one that is only read back.
    """

    program: Program
    names: NamesInC
    files: tuple[int, ...]
    form: TraceForm
    begin: int = -1
    fresh: int = -1
    again: int = 0
    checked: tuple[int, ...] = ()

    @property
    def traced(self) -> bool:
        """Say whether the trace judges anything."""
        return bool(self.files)

    @property
    def raced(self) -> bool:
        """Say whether the Program has lanes."""
        return any(stage.races for stage in stages(self.program.ops))

    def fd(self, name: str) -> str:
        """The variable of a descriptor."""
        return self.names.fds[name]

    def file(self, fd: str) -> int:
        """The id of the file that a descriptor stands for."""
        return self.names.files[fd]

    def judged(self, file: int) -> int | None:
        """The index of a file, by its id, among those that the trace judges."""
        return self.files.index(file) if file in self.files else None

    def map(self, name: str) -> str:
        """The variable of a mapping: its address."""
        return self.names.maps[name]

    def address(self, name: str, offset: int) -> str:
        """The address of a byte of a mapping."""
        return plus(self.map(name), offset)

    def byte(self, index: int) -> int:
        """The byte that op `index` stores: the number of its stamp, from 1 to 255."""
        return self.program.seqs()[index]

    def filled(self, byte: int | None, length: int) -> tuple[str, str]:
        """Memory of so many bytes for a system call, with that byte in each, and the helper that it needs.

        Each thread needs memory of its own.
        """
        if self.raced:
            return f"filled(0x{byte or 0:02x}, {size(length)})", "filled"
        return "buf" if byte is None else f"memset(buf, 0x{byte:02x}, {size(length)})", ""

    def mark(self, index: int, name: str, offset: int, length: int) -> Written:
        """The statements before op `index`, which stores through a mapping: nothing has written these pages back since.
        """
        file = self.judged(self.names.facts[name].file) if self.names.shared(name) else None
        if file is None or index == self.fresh:
            return (), ()
        first, end = self.names.pages(name, offset, length)
        if self.form.marks:
            return (f"mark({self.form.argument(file)}{first}, {end - first});",), ("mark",)
        pages = f"{plus_pages(self.form.written(file), first)}, "
        if self.again > _MOST_INLINE:
            return (f"stored({pages}{end - first});",), ("stored",)
        return ("read_trace();", f"memset({pages}0, {end - first});"), ("trace",)

    def inode(self, index: int, fd: str) -> Written:
        """The statements after op `index`, which creates or maps a file: the trace needs its inode, and DAX."""
        if index not in self.checked:
            return (), ()
        file = self.judged(self.file(fd)) or 0
        if len(self.checked) > 1:
            return (f"dax_file({self.fd(fd)}, &{self.form.status(file)});",), ("dax_file",)
        status = self.form.status(file)
        got = f'statx({self.fd(fd)}, "", AT_EMPTY_PATH, STATX_INO, &{status})'
        refused = f"if ({got} || !({status}.stx_attributes & STATX_ATTR_DAX))"
        return (refused, '\terrx(77, "no DAX: cannot tell");'), ()

    def disk(self, index: int) -> int:
        """The number of the RAM disk that op `index` may use: 0, and in lanes another for each."""
        lanes = by_op(self.program.ops)[index].lanes
        return next((number for number, lane in enumerate(lanes, 1) if index in lane.indices), 0)

    def foreseen(self, index: int) -> ops.Op | None:
        """The expectation that stands before op `index`; None if there is none."""
        before = self.program.ops[index - 1] if index else None
        return before if isinstance(before, ops.ExpectErrno | ops.ExpectShort | ops.ExpectSignal) else None


def scene(program: Program, names: NamesInC, trace: Traceable, read: Sequence[int] = ()) -> Scene:
    """The scene of a Program; `read` are the files that are read back."""
    files = tuple(sorted({one.file for one in trace.promises}))
    races = any(stage.races for stage in stages(program.ops))
    faults = any(isinstance(op, ops.ExpectMapped) for op in program.ops)
    stores = [index for index, op in enumerate(program.ops)
              if isinstance(op, ops.Store | ops.ReadInto | ops.DirectStore)
              and names.shared(op.map) and names.facts[op.map].file in files]  # fmt: skip
    early = races or faults
    touched = any(isinstance(op, ops.Madvise) for op in program.ops[: stores[0] if stores else 0])
    fresh = -1 if races or (early and touched) or not stores else stores[0]
    again = [index for index in stores if index != fresh]
    ranges = sum(len(one.pages) for one in trace.promises)
    moves = any([*shifted(op)] for op in program.ops)
    once = not early and not again and not moves and ranges == 1
    form = TraceForm(len(files), _pages(program, names, trace) if files else 0, races, faults, once)
    begin = (0 if early else stores[0]) if files else -1
    checked = tuple(_checked(program, names, files or read[:1]))
    return Scene(program, names, files, form, begin, fresh, len(again), checked)


def _checked(program: Program, names: NamesInC, files: Sequence[int]) -> Iterator[int]:
    """Yield the ops that create one of `files`; where set_dax may change what it is, each that maps one."""
    ids = program.file_ids()
    changes = any(isinstance(op, ops.SetDax) for op in program.ops)
    for index, op in enumerate(program.ops):
        match op:
            case ops.Create() | ops.Tmpfile() if not changes and ids[index] in files:
                yield index
            case ops.Mmap(name) if changes and name in names.facts and names.facts[name].file in files:
                if names.shared(name):
                    yield index
            case _:
                pass


def _pages(program: Program, names: NamesInC, trace: Traceable) -> int:
    """The pages of a file that may be stored or judged, wherever inserts move them."""
    ends = [facts.offset + facts.length for facts in names.facts.values()]
    ends += [end * PAGE for one in trace.promises for _, end in one.pages]
    moved = sum(max(far, 0) for op in program.ops for _, _, far in shifted(op))
    return -(-(max(ends) + moved) // PMD) * (PMD // PAGE)
