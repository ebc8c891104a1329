"""A small file system with DAX whose metadata reach the media late: blocks, and files that map pages to blocks.

It is independent of the oracle and keeps what a kernel has: each cell (a quarter of a page) of a block has a content in
memory, and on the media any that it had since it was last flushed; each file has a layout (size and map) in memory, and
on the media any that it had since a sync last made it durable. Stores go in place, to a shared block after a copy.
A block that was freed is not given away again. Where the documents leave a choice, `random` makes it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

from harness.model.program import ops
from harness.model.program.ops import Mode, Op
from harness.model.units import PAGE
from harness.model.wire.observation import Difference, FileView, Segment, Stamp, Zero

CELL = PAGE // 4
CELLS = 4  # of a page
PAGES = 8  # that are mapped
NAMES = {"f": "a", "g": "b", "h": "c"}
IDS = {"f": 1, "g": 2, "h": 3}
MAPS = {"m": "f", "n": "g", "o": "h", "y": "f"}
APPENDING = {"F": "f", "G": "g"}
"""Descriptors with O_APPEND, and those of the same files without."""

Value = tuple[int, int, int] | None
"""What a cell holds: seq and file of the store and the cell of the file where it was stored; None is zero."""
Place = tuple[str, int]
"""A file, by its descriptor, and one of its cells."""


@dataclass(frozen=True)
class Layout:
    """A file as metadata have it: its size in cells, the block of each page that has one, and the exchanges in it."""

    size: int = 0
    pages: tuple[int | None, ...] = (None,) * (3 * PAGES)
    swaps: frozenset[int] = frozenset()

    def mapped(self, page: int, block: int | None) -> "Layout":
        return replace(self, pages=(*self.pages[:page], block, *self.pages[page + 1 :]))


@dataclass
class LateFs:
    """`layouts`: of each file all that the media may have, the one in memory last. `blocks`: of each cell all that the
    media may hold, what memory holds last. `names`: likewise. `deaf`: pages of files that syncs skip; `forgetful`:
    files whose layout no sync makes durable (planted faults)."""

    random: Random
    layouts: dict[str, list[Layout]] = field(default_factory=lambda: {fd: [Layout()] for fd in NAMES})
    blocks: list[list[list[Value]]] = field(default_factory=list)
    names: list[dict[str, str]] = field(default_factory=lambda: [{}])
    gone: set[str] = field(default_factory=set)
    swaps: list[tuple[str, str]] = field(default_factory=list)
    carried: set[tuple[str, int, int]] = field(default_factory=set)  # file, page, and block that it was copied from
    faulted: set[tuple[str, int]] = field(default_factory=set)
    deaf: frozenset[Place] = frozenset()
    forgetful: frozenset[str] = frozenset()

    # --- What is there ---

    def now(self, fd: str) -> Layout:
        return self.layouts[fd][-1]

    def held(self, layout: Layout, cell: int) -> list[Value]:
        """What the media may hold there with that layout; what memory holds is last."""
        block = layout.pages[cell // CELLS]
        return [None] if block is None else self.blocks[block][cell % CELLS]

    def value(self, fd: str, cell: int) -> Value:
        return self.held(self.now(fd), cell)[-1]

    def end(self, fd: str) -> int:
        """The end of its last page, in cells."""
        return -(-self.now(fd).size // CELLS) * CELLS

    # --- Changes ---

    def lay(self, fd: str, layout: Layout) -> None:
        """The layout changes in memory; the media may learn of it at any time from now on."""
        before = self.now(fd)
        if layout != before:
            self.layouts[fd].append(layout)
        changed = {(fd, page) for page in range(len(layout.pages)) if layout.pages[page] != before.pages[page]}
        self.faulted -= changed

    def block(self, fd: str, page: int) -> int:
        """The block to write to: a new one for a hole, a copy for a shared one."""
        held = self.now(fd).pages[page]
        users = sum(block == held for other in NAMES if other not in self.gone for block in self.now(other).pages)
        if held is not None and users <= 1:
            return held
        # A kernel must have initialised it before the media can find it.
        self.blocks.append([[None if held is None else self.blocks[held][cell][-1]] for cell in range(CELLS)])
        if held is not None:
            self.carried.add((fd, page, held))
        self.lay(fd, self.now(fd).mapped(page, len(self.blocks) - 1))
        return len(self.blocks) - 1

    def write(self, fd: str, cell: int, value: Value) -> None:
        if value is None and self.now(fd).pages[cell // CELLS] is None:
            return
        block = self.block(fd, cell // CELLS)
        for other, page, left in self.carried:
            # What was synced there must not become what is written here.
            if left == block and any(layout.pages[page] == block for layout in self.layouts[other][:-1]):
                self.commit(other)
        held = self.blocks[block][cell % CELLS]
        if held[-1] != value:
            held.append(value)

    def resize(self, fd: str, size: int) -> None:
        before = self.now(fd)
        self.clear(fd, range(min(size, before.size), -(-min(size, before.size) // CELLS) * CELLS), size > before.size)
        kept = [block if page * CELLS < size or size > before.size else None
                for page, block in enumerate(self.now(fd).pages)]  # fmt: skip
        self.lay(fd, replace(self.now(fd), size=size, pages=tuple(kept)))

    def clear(self, fd: str, cells: range, durably: bool) -> None:
        """Zeroes what is past the end. When the file grows there they are durable before the size can be: what was
        stored past the end is never to be in the file (mmap(2))."""
        for cell in cells:
            self.write(fd, cell, None)
        if durably:
            self.flush(fd, cells)

    def grow(self, fd: str, size: int) -> None:
        if size > self.now(fd).size:
            self.resize(fd, size)

    def free(self, fd: str, pages: Iterable[int]) -> None:
        for page in pages:
            self.lay(fd, self.now(fd).mapped(page, None))

    def zero(self, fd: str, cells: range, whole: bool) -> None:
        """Zeroes, by taking whole pages away, or by writing them."""
        pages = range(-(-cells.start // CELLS), cells.stop // CELLS) if whole else range(0)
        for cell in cells:
            if cell // CELLS not in pages:
                self.write(fd, cell, None)
        self.free(fd, pages)

    def share(self, fd: str, page: int, source: str, begin: int, count: int) -> None:
        blocks = self.now(source).pages[begin : begin + count]
        for n, block in enumerate(blocks):
            self.lay(fd, self.now(fd).mapped(page + n, block))

    def copy(self, fd: str, page: int, source: str, begin: int, count: int) -> None:
        for cell in range(count * CELLS):
            if begin * CELLS + cell < self.now(source).size:
                value = self.value(source, begin * CELLS + cell)
                self.write(fd, page * CELLS + cell, value)

    # --- Syncs ---

    def flush(self, fd: str, cells: Iterable[int]) -> None:
        for cell in cells:
            block = self.now(fd).pages[cell // CELLS]
            if block is not None and (fd, cell) not in self.deaf:
                del self.blocks[block][cell % CELLS][:-1]

    def commit(self, fd: str, pages: range | None = None) -> None:
        """The media have the layout, or what it says of these pages, with a size that lets them be read."""
        if fd in self.forgetful:
            return
        now = self.now(fd)
        if pages is None:
            self.layouts[fd] = [now]
            self.entirely(fd)
            return
        need = min(pages.stop * CELLS, now.size)
        if pages.start * CELLS >= need:
            return
        known = []
        for layout in self.layouts[fd]:
            for page in pages:
                layout = layout.mapped(page, now.pages[page])
            known.append(replace(layout, size=layout.size if layout.size >= need else now.size))
        self.layouts[fd] = [*dict.fromkeys(known[:-1]), now]
        self.entirely(fd)

    def entirely(self, fd: str) -> None:
        """The media have the exchanges of what was committed of the file, and so in both files."""
        for number in self.now(fd).swaps:
            for one in self.swaps[number]:
                self.layouts[one] = [layout for layout in self.layouts[one] if number in layout.swaps]

    def sync(self, fd: str) -> None:
        self.flush(fd, range(PAGES * 3 * CELLS))
        self.commit(fd)

    # --- Ops ---

    def step(self, op: Op, seq: int) -> None:
        match op:
            case ops.Create(fd, path):
                self.names.append({**self.names[-1], path: fd})
            case ops.Store(name):
                self.store(MAPS[name], cells_of(op), seq, sync=name == "y")
            case ops.Open(_, path, ops.Opening.TRUNCATE):
                self.resize(self.names[-1][path], 0)
            case ops.Pwrite(fd):
                cells = cells_of(op)
                if fd in APPENDING:
                    fd, count = APPENDING[fd], len(cells)
                    cells = range(self.now(fd).size, self.now(fd).size + count)
                # In any order: data before the size, or after.
                late = self.random.random() < 0.5
                if late:
                    self.grow(fd, cells.stop)
                elif cells.start > self.now(fd).size:
                    self.grow(fd, cells.start)
                for cell in cells:
                    self.write(fd, cell, (seq, IDS[fd], cell))
                if not late and cells.stop > self.now(fd).size:
                    self.append(fd, cells)
            case ops.Ftruncate(fd, size):
                self.resize(fd, size // CELL)
            case ops.Fallocate(fd):
                self.fallocate(fd, op)
            case ops.CloneFile() | ops.Clone() | ops.Dedupe() | ops.CopyFileRange():
                self.exchange(op)
            case ops.ExchangeRange() | ops.Swapext():
                self.exchange(op)
            case ops.Msync(name, offset, length):
                pages = range(offset // PAGE, -(-(offset + length) // PAGE))
                fd = MAPS[name]
                self.flush(fd, range(pages.start * CELLS, pages.stop * CELLS))
                self.commit(fd, pages if self.random.random() < 0.7 else None)
            case ops.Flush("y"):
                self.flush("f", (cell for cell in cells_of(op) if ("f", cell // CELLS) in self.faulted))
            case ops.Fsync(fd) | ops.Fdatasync(fd):
                self.sync(fd)
            case ops.Syncfs():
                for fd in NAMES:
                    self.sync(fd)
                self.names = self.names[-1:]
            case ops.Fsyncdir():
                self.names = self.names[-1:]
            case ops.Rename(path, to, flag):
                names = dict(self.names[-1])
                old, new = names.pop(path), names.get(to)
                names[to] = old
                if flag is ops.Replacing.EXCHANGE and new is not None:
                    names[path] = new
                self.names.append(names)
            case ops.Unlink(path):
                self.names.append({name: fd for name, fd in self.names[-1].items() if name != path})
            case ops.Close(fd):
                if fd not in self.names[-1].values():
                    self.gone.add(fd)

    def append(self, fd: str, cells: range) -> None:
        """What was written past the end becomes part of the file."""
        before = self.now(fd)
        self.clear(fd, range(before.size, min(cells.start, -(-before.size // CELLS) * CELLS)), durably=True)
        for cell in range(cells.stop, -(-cells.stop // CELLS) * CELLS):
            if cell >= -(-before.size // CELLS) * CELLS:
                self.write(fd, cell, None)
        # What was stored past the end before, and is overwritten now, must not come into the file with the new size.
        self.flush(fd, range(max(cells.start, before.size), -(-before.size // CELLS) * CELLS))
        self.lay(fd, replace(self.now(fd), size=cells.stop))

    def store(self, fd: str, cells: range, seq: int, sync: bool) -> None:
        for cell in cells:
            if cell < self.end(fd):
                self.block(fd, cell // CELLS)
                if sync and (fd, cell // CELLS) not in self.faulted:
                    self.commit(fd)
                    self.faulted.add((fd, cell // CELLS))
                self.write(fd, cell, (seq, IDS[fd], cell))

    def fallocate(self, fd: str, op: ops.Fallocate) -> None:
        cells, now = cells_of(op), self.now(fd)
        first, last = cells.start // CELLS, cells.stop // CELLS
        match op.mode:
            case Mode.INSERT_RANGE:
                hole = (None,) * (last - first)
                pages = (*now.pages[:first], *hole, *now.pages[first:])[: len(now.pages)]
                self.lay(fd, replace(now, size=now.size + len(cells), pages=pages))
            case Mode.COLLAPSE_RANGE:
                pages = (*now.pages[:first], *now.pages[last:], *(None,) * (last - first))
                self.lay(fd, replace(now, size=now.size - len(cells), pages=pages))
            case Mode.PUNCH_HOLE:
                self.zero(fd, cells, whole=True)
            case Mode.ZERO_RANGE:
                self.grow(fd, cells.stop)
                self.zero(fd, cells, whole=self.random.random() < 0.5)
            case Mode.UNSHARE_RANGE:
                for page in range(first, -(-cells.stop // CELLS)):
                    if self.now(fd).pages[page] is not None:
                        self.block(fd, page)
            case Mode.ALLOCATE:
                self.grow(fd, cells.stop)
                for page in range(first, -(-cells.stop // CELLS)):
                    if self.now(fd).pages[page] is None:
                        self.block(fd, page)
            case _:
                raise AssertionError(op.mode)

    def exchange(self, op: Op) -> None:
        match op:
            case ops.CloneFile(fd, source):
                pages = -(-self.now(source).size // CELLS)
                self.grow(fd, self.now(source).size)
                self.share(fd, 0, source, 0, pages)
            case ops.Clone(fd, offset, length, source, begin):
                self.grow(fd, (offset + length) // CELL)
                self.share(fd, offset // PAGE, source, begin // PAGE, length // PAGE)
            case ops.Dedupe(fd, offset, length, source, begin):
                if self.random.random() < 0.7:
                    # What was promised of the one must be on the media in the block of the other.
                    self.flush(source, range(begin // CELL, (begin + length) // CELL))
                    for n, block in enumerate(self.now(fd).pages[offset // PAGE : (offset + length) // PAGE]):
                        self.carried |= set() if block is None else {(fd, offset // PAGE + n, block)}
                    self.share(fd, offset // PAGE, source, begin // PAGE, length // PAGE)
            case ops.CopyFileRange(fd, offset, length, source, begin):
                self.grow(fd, (offset + length) // CELL)
                do = self.share if self.random.random() < 0.5 else self.copy
                do(fd, offset // PAGE, source, begin // PAGE, length // PAGE)
            case ops.ExchangeRange(fd, offset, length, other, begin):
                self.swap(fd, offset // PAGE, other, begin // PAGE, length // PAGE, whole=True)
            case ops.Swapext(fd, other):
                self.swap(fd, 0, other, 0, 3 * PAGES, whole=False)
            case _:
                raise AssertionError(op)

    def swap(self, fd: str, page: int, other: str, begin: int, count: int, whole: bool) -> None:
        """The pages change places; if `whole`, the media learn of both files at once."""
        mine, theirs = self.now(fd).pages[page : page + count], self.now(other).pages[begin : begin + count]
        one, two = self.now(fd), self.now(other)
        for n in range(count):
            one, two = one.mapped(page + n, theirs[n]), two.mapped(begin + n, mine[n])
        if whole:
            number = frozenset({len(self.swaps)})
            self.swaps.append((fd, other))
            one, two = replace(one, swaps=one.swaps | number), replace(two, swaps=two.swaps | number)
        self.lay(fd, one)
        self.lay(other, two)

    # --- What may be read after a cut ---

    def moment(self) -> dict[str, Layout]:
        """Layouts that the media may have at one moment: each exchange is in both files or in none."""
        for _ in range(100):
            chosen = {fd: self.random.choice(layouts) for fd, layouts in self.layouts.items()}
            if all((n in chosen[a].swaps) == (n in chosen[b].swaps) for n, (a, b) in enumerate(self.swaps)):
                return chosen
        return {fd: self.now(fd) for fd in NAMES}

    def image(self, layout: Layout) -> tuple[int, list[Value]]:
        """One that may be of a file: the size, and the cells up to the end of the last page."""
        cells = range(-(-layout.size // CELLS) * CELLS)
        return layout.size, [self.random.choice(self.held(layout, cell)) for cell in cells]

    def possible(self, fd: str) -> Iterator[tuple[int, int, Value]]:
        """All that may be of a cell: the size of the file, the cell, and what it holds; to the end of the last page."""
        for layout in self.layouts[fd]:
            for cell in range(-(-layout.size // CELLS) * CELLS):
                for value in set(self.held(layout, cell)):
                    yield layout.size, cell, value


def cells_of(op: ops.Store | ops.Pwrite | ops.Fallocate | ops.Flush) -> range:
    return range(op.offset // CELL, (op.offset + op.length) // CELL)


def source_of(value: Value, cell: int) -> Stamp | Zero:
    return Zero() if value is None else Stamp(value[0], value[1], (cell - value[2]) * CELL)


def view(path: str, size: int, cells: list[Value]) -> FileView:
    """What is read of a file: its contents, and what is not zero past its end."""
    runs = [(n * CELL, (n + 1) * CELL, source_of(value, n)) for n, value in enumerate(cells)]
    inside = tuple(Segment(*run) for run in runs[:size])
    past = tuple(Difference("eof", *run) for run in runs[size:] if run[2] != Zero())
    return FileView(path, size * CELL, inside, past)
