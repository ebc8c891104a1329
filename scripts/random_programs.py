"""Writes random legal Programs, a .prog file each, whose last stores, shifts and truncates no sync makes durable.

Every Program begins with a durable file and its mapping; then come 4 to 12 ops, with a sync somewhere among them, and
the power cut. Places and lengths lie at or near the edges of lines, pages, PMD entries and the file.
"""

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.contract.filestate import page_ceil, page_floor
from harness.model.program.ops import How, Mode, Sharing
from harness.model.program.program import Program, ProgramError, format, parse
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import LINE, PAGE, PMD

SIZES = (5000, PAGE, 9192, 4 * PAGE, 16 * PAGE, PMD, PMD + 5000, 2 * PMD, 4 * PMD)
LENGTHS = (8, LINE, 1000, PAGE, PAGE, 5000, 4 * PAGE, PMD, PMD, 2 * PMD)
LARGEST = 6 * PMD
"""No op makes a file longer than this."""
EXTRAS = {"clone": ("clone_file", "clone", "dedupe")}
"""What --fs-has names: the ops that only some file systems know."""


@dataclass(slots=True)
class Node:
    """A file of the Program being made: what must be known of it to keep the next op legal."""

    file: File
    size: int
    names: set[str]
    maps: list[tuple[Mapping, int]] = field(default_factory=list)
    """Each with the file offset where it begins."""


class Draft:
    """A Program being made. Each family below is a function that adds an op, or none if it drew one that cannot be."""

    def __init__(self, dice: random.Random, extras: tuple[str, ...]) -> None:
        self.dice = dice
        self.extras = extras
        self.dax = Recorder()
        self.nodes: list[Node] = []

    def place(self, top: int, unit: int = 8) -> int:
        """An offset in [0, top], a multiple of `unit`, near an edge."""
        edges = (0, PAGE, 2 * PAGE, PMD - PAGE, PMD, PMD + 16 * PAGE, 2 * PMD, top // 2, top)
        base = self.dice.choice([edge for edge in edges if edge <= top])
        near = base + self.dice.choice((0, 0, 0, PAGE, -PAGE, LINE, -LINE, 1000, -1000))
        return max(0, min(near, top)) // unit * unit

    def range(self, top: int, unit: int = 8) -> tuple[int, int]:
        """A range within [0, top): its offset, and its length, 0 if there is none."""
        start = self.place(top - 1, unit) if top else 0
        length = self.dice.choice((*LENGTHS, top - start))
        return start, min(max(length, unit), top - start) // unit * unit

    def mapping(self) -> tuple[Mapping, int]:
        """A mapping, and how many of its bytes can be touched: up to the end of the file's last page."""
        node = self.dice.choice(self.nodes)
        if not node.maps:
            make_mapping(self, node)
        mapping, start = self.dice.choice(node.maps)
        return mapping, max(0, min(mapping.length, page_ceil(node.size) - start))


def make_file(draft: Draft) -> None:
    """A durable file, allocated or written or sparse, and its mapping."""
    dice, size, path = draft.dice, draft.dice.choice(SIZES), f"data{len(draft.nodes) + 1}"
    node = Node(draft.dax.create_unsynced(path), size, {path})
    draft.nodes.append(node)
    match dice.choice(("allocate", "write", "sparse")):
        case "allocate":
            node.file.fallocate(Mode.ALLOCATE, 0, size)
        case "write":
            node.file.pwrite(0, size)
        case "sparse":
            node.file.ftruncate(size)
    make_mapping(draft, node)
    if dice.random() < 0.7:
        store(draft)
    node.file.fsync()
    draft.dax.fsyncdir()


def make_mapping(draft: Draft, node: Node) -> None:
    """Mostly all of the file, sometimes a PMD more than it has, so that what it grows by can be stored to."""
    start = draft.dice.choice((0, 0, 0, PAGE, PMD))
    length = max(page_ceil(node.size) - start, PAGE) + draft.dice.choice((0, 0, PMD))
    sharing = draft.dice.choices((Sharing.SHARED, Sharing.SYNC), (5, 1))[0]
    mapping = node.file.mmap(start, length, sharing, draft.dice.choice((PAGE, PMD)))
    node.maps.append((mapping, start))


def store(draft: Draft) -> None:
    """Through a mapping, also behind the end of the file in its last page."""
    mapping, top = draft.mapping()
    start, length = draft.range(top)
    if length:
        mapping.store(start, length)


def write(draft: Draft) -> None:
    """By descriptor, sometimes past the end."""
    node = draft.dice.choice(draft.nodes)
    start, length = draft.range(min(node.size + draft.dice.choice((0, PAGE, PMD)), LARGEST))
    if length:
        node.file.pwrite(start, length, draft.dice.choices((How.PLAIN, How.DSYNC), (6, 1))[0])
        node.size = max(node.size, start + length)


def remap(draft: Draft) -> None:
    """A mapping more, or one less."""
    node = draft.dice.choice(draft.nodes)
    if node.maps and draft.dice.random() < 0.5:
        node.maps.pop()[0].munmap()
    elif len(node.maps) < 3:
        make_mapping(draft, node)


def sync(draft: Draft) -> None:
    """A promise: of a range, a file, the names."""
    node = draft.dice.choice(draft.nodes)
    mapping, top = draft.mapping()
    match draft.dice.choice(("msync", "msync", "flush", "fsync", "fsync", "fdatasync", "fsyncdir", "syncfs")):
        case "msync" if top:
            start = page_floor(draft.place(top - 1))
            mapping.msync(start, draft.dice.choice((PAGE, mapping.length)) if not start else 0)
        case "flush" if top:
            mapping.flush(0, top)
        case "fdatasync":
            node.file.fdatasync()
        case "fsyncdir":
            draft.dax.fsyncdir()
        case "syncfs":
            draft.dax.syncfs()
        case _:
            node.file.fsync()


def look(draft: Draft) -> None:
    """A reading in the middle."""
    mapping, top = draft.mapping()
    match draft.dice.choice(("load", "pread", "observe")):
        case "load" if top:
            mapping.load(0, top)
        case "pread":
            node = draft.dice.choice([node for node in draft.nodes if node.size] or draft.nodes)
            node.file.pread(0, max(node.size, 1))
        case _:
            draft.dax.observe()


def reshape(draft: Draft) -> None:
    """Another size, other blocks, or contents moved within one file."""
    node = draft.dice.choice(draft.nodes)
    file, size = node.file, node.size
    start, length = draft.range(size)
    low, pages = draft.range(page_floor(max(size - 1, 0)), PAGE)  # a collapse must not reach the end (fallocate(2))
    match draft.dice.choice(("punch", "zero", "insert", "insert", "collapse", "collapse", "cut", "grow", "allocate")):
        case "punch" if length:
            file.punch_hole(start, length)
        case "zero" if length:
            file.zero_range(start, length)
        case "insert" if pages and size + pages <= LARGEST:
            file.insert_range(low, pages)
            node.size += pages
        case "collapse" if pages:
            file.collapse_range(low, pages)
            node.size -= pages
        case "allocate" if size + PMD <= LARGEST:
            file.fallocate(Mode.ALLOCATE, start, PMD)
            node.size = max(size, start + PMD)
        case "grow":
            node.size = min(size + draft.dice.choice((8, 1000, PAGE, PMD)), LARGEST)
            file.ftruncate(node.size)
        case "cut":
            node.size = draft.place(size)
            file.ftruncate(node.size)


def exchange(draft: Draft) -> None:
    """Contents or blocks that go from one file to another, where there are two."""
    if len(draft.nodes) < 2:
        return
    to, source = draft.dice.sample(draft.nodes, 2)
    start, length = draft.range(page_floor(source.size), PAGE)
    target = draft.place(page_floor(to.size), PAGE)
    match draft.dice.choice(("copy", *draft.extras * 2)):
        case "clone_file" if source.size and (source.size % PAGE == 0 or source.size >= to.size):
            to.file.clone_from(source.file)  # a last block that is not whole may only be cloned to the end
            to.size = max(to.size, source.size)
        case "dedupe" if length and target + length <= page_floor(to.size):
            to.file.dedupe(target, length, source.file, start)
        case "clone" if length and target + length <= LARGEST:
            to.file.clone_range(target, length, source.file, start)
            to.size = max(to.size, target + length)
        case "copy" if length and target + length <= LARGEST:
            to.file.copy_range(target, length, source.file, start)
            to.size = max(to.size, target + length)


def rename(draft: Draft) -> None:
    """Another name, one more, or one less; data1 stays, that there is something to judge."""
    linked = draft.dice.choice(draft.nodes)
    nodes = [node for node in draft.nodes if node.names - {"data1"}]
    node = draft.dice.choice(nodes or [linked])
    path, fresh = draft.dice.choice(sorted(node.names - {"data1"}) or [""]), draft.dax.fresh("name")
    match draft.dice.choice(("rename", "link", "unlink")):
        case "rename" if path:
            draft.dax.rename(path, fresh)
            node.names = node.names - {path} | {fresh}
        case "unlink" if path:
            draft.dax.unlink(path)
            node.names.discard(path)
        case "link" if linked.names:
            draft.dax.link(draft.dice.choice(sorted(linked.names)), fresh)
            linked.names.add(fresh)


Family = Callable[[Draft], None]
ANY: dict[Family, int] = {store: 5, write: 3, remap: 1, sync: 3, look: 1, reshape: 5, exchange: 3, rename: 1}
LAST: dict[Family, int] = {store: 5, write: 3, remap: 1, look: 1, reshape: 6, exchange: 4, rename: 1}
"""Families and their weights: of the ops up to the last sync, and of those behind it."""


def draw(dice: random.Random, extras: tuple[str, ...]) -> Program:
    """One Program; ProgramError if it turned out illegal."""
    draft = Draft(dice, extras)
    for _ in range(dice.choice((1, 2))):
        make_file(draft)
    for families, count in ((ANY, dice.randint(1, 6)), ({sync: 1}, 1), (LAST, dice.randint(2, 5))):
        wanted = len(draft.dax.program().ops) + count
        while len(draft.dax.program().ops) < wanted:
            dice.choices(list(families), list(families.values()))[0](draft)
    draft.dax.cut_power()
    return parse(format(draft.dax.program()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/random-programs", description=__doc__)
    parser.add_argument("count", type=int, metavar="COUNT", help="how many Programs")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the same Programs for the same number (1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the .prog files go")
    parser.add_argument("--fs-has", action="append", default=[], choices=EXTRAS, help="ops the file system knows")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    extras = tuple(op for name in options.fs_has for op in EXTRAS[name])
    options.out.mkdir(parents=True, exist_ok=True)
    written = 0
    while written < options.count:
        try:
            program = draw(dice, extras)
        except ProgramError:
            continue
        written += 1
        (options.out / f"r{options.seed}_{written:04}.prog").write_text(format(program))


if __name__ == "__main__":
    main()
