"""Cuts inside an op against a tiny model of the media: the verdict allows what the model does, and nothing else.

The model knows whole pages only. Of each page it keeps all values that the media may hold, of each file its sizes, of
the directory the names of each moment since its last sync. Inside an op each part of it may be there or not. For each
Program all mixtures are tried, or a sample of them, and each of these once more with one wrong page, size or name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, product
from random import Random

import pytest

from harness.model.contract import oracle
from harness.model.contract.state import State
from harness.model.judge.verdict import judge
from harness.model.program.program import Program, ProgramError, parse
from harness.model.units import PAGE
from harness.model.wire.observation import FileView, Opaque, Segment, Source, Stamp, Zero

ZERO = Zero()
PAGES = 6
"""Pages that are looked at; no file becomes longer."""
MIXTURES = 12
"""Mixtures that are tried of one Program."""
SETUP = "create f a\npwrite f 0 12K\ncreate g b\npwrite g 0 12K\nsync\nmmap m f 0 24K\n"
Medium = dict[str, tuple[Source, ...] | None]
"""What is found by each name: the pages of a file, or None."""


@dataclass
class File:
    """`pages` in memory, and of each page what the media `may` hold; `sizes` on the media."""

    pages: list[Source]
    may: list[set[Source]]
    sizes: set[int]

    def write(self, page: int, value: Source) -> None:
        self.may[page].add(value)
        self.pages[page : page + 1] = [value]

    def resize(self, size: int, steps: bool = False) -> None:
        before = len(self.pages)
        for page in range(size, before):
            self.may[page].add(ZERO)
        self.sizes |= set(range(before, size + 1)) if steps else {size}
        self.pages = (self.pages + [ZERO] * size)[:size]

    def promise(self, start: int, end: int) -> None:
        end = min(end, len(self.pages))
        for page in range(start, end):
            self.may[page] = {self.pages[page]}
        self.sizes = {size for size in self.sizes if size >= end} | {len(self.pages)}

    def sync(self) -> None:
        self.may = [{value} for value in self.pages] + [{ZERO} for _ in range(PAGES - len(self.pages))]
        self.sizes = {len(self.pages)}


def stored(seq: int, file: int, count: int) -> File:
    """A file of one store, all synced."""
    made = File([Stamp(seq, file)] * count, [{ZERO} for _ in range(PAGES)], set())
    made.sync()
    return made


@dataclass
class Media:
    """`names`: those of each moment since the directory was synced. `renamed`: of files that had a durable name, all
    that they had since. `worlds`: the two ranges of an exchange, as (file, page, values), all old or all new."""

    files: dict[int, File] = field(default_factory=lambda: {1: stored(1, 1, 3), 2: stored(2, 2, 3)})
    names: list[dict[str, int]] = field(default_factory=lambda: [{"a": 1, "b": 2}])
    renamed: dict[int, set[str]] = field(default_factory=dict)
    worlds: tuple[list[tuple[int, int, set[Source]]], ...] = ()
    seq: int = 2

    # --- Ops ---

    def step(self, line: str) -> None:
        """What may be on the media inside the op, and at its end unless it syncs."""
        verb, *words = line.split()
        f = self.files[1]
        match verb, words:
            case ("pwrite", ["f", start, length, *_]) | ("store", ["m", start, length]):
                self.seq += 1
                first, last = pages(start), pages(start) + pages(length)
                if verb == "pwrite" and last > len(f.pages):
                    f.resize(last, steps=True)
                for page in range(first, min(last, len(f.pages))):
                    f.write(page, Stamp(self.seq, 1))
            case "ftruncate", ["f", size]:
                f.resize(pages(size))
            case "fallocate", ["f", "punch_hole" | "zero_range", start, length]:
                for page in range(pages(start), pages(start) + pages(length)):
                    if page < len(f.pages):
                        f.write(page, ZERO)
            case "fallocate", ["f", "allocate", start, length]:
                if pages(start) + pages(length) > len(f.pages):
                    f.resize(pages(start) + pages(length), steps=True)
            case "fallocate", ["f", mode, start, length]:
                self.shift(f, mode == "insert_range", pages(start), pages(length))
            case "clone" | "copy_file_range", ["f", start, length, "g", begin]:
                self.take(f, pages(start), self.files[2], pages(begin), pages(length))
            case "exchange_range", ["f", start, length, "g", begin]:
                self.exchange(pages(start), pages(begin), pages(length))
            case "rename" | "link" | "unlink" | "create", _:
                self.rename(verb, words)

    def done(self, line: str) -> None:
        """What is certain when the op has returned."""
        verb, *words = line.split()
        match verb, words:
            case "fsync", ["f"]:
                self.files[1].sync()
            case "msync", [_, start, length]:
                self.files[1].promise(pages(start), pages(start) + pages(length))
            case "pwrite", ["f", start, length, "how=dsync"]:
                self.files[1].promise(pages(start), pages(start) + pages(length))
            case "sync" | "fsyncdir", _:
                self.names, self.renamed = self.names[-1:], {}
                for file in self.files.values() if verb == "sync" else ():
                    file.sync()

    def shift(self, f: File, insert: bool, start: int, count: int) -> None:
        """Each page behind the start may be as before, as after, or a hole: fallocate(2) does not say atomic."""
        before = [set(held) for held in f.may]
        for page in range(start, PAGES):
            source = page - count if insert else page + count
            there = before[source] if start <= source < PAGES else {ZERO}
            f.may[page] |= {moved(value, page - source) for value in there} | {ZERO}
        hole: list[Source] = [ZERO] * count if insert else []
        tail = f.pages[start:] if insert else f.pages[start + count :]
        distance = count if insert else -count
        f.pages = [*f.pages[:start], *hole, *(moved(value, distance) for value in tail)]
        f.sizes.add(len(f.pages))

    def take(self, f: File, start: int, g: File, begin: int, count: int) -> None:
        if start + count > len(f.pages):
            f.resize(start + count, steps=True)
        for n in range(count):
            f.may[start + n] |= {moved(value, start - begin) for value in g.may[begin + n]}
            f.write(start + n, moved(g.pages[begin + n], start - begin))

    def exchange(self, start: int, begin: int, count: int) -> None:
        f, g = self.files[1], self.files[2]
        f_old = [(1, start + n, set(f.may[start + n])) for n in range(count)]
        g_old = [(2, begin + n, set(g.may[begin + n])) for n in range(count)]
        f_new = [(1, start + n, {moved(one, start - begin) for one in g_old[n][2]}) for n in range(count)]
        g_new = [(2, begin + n, {moved(one, begin - start) for one in f_old[n][2]}) for n in range(count)]
        self.worlds = ([*f_old, *g_old], [*f_new, *g_new])
        for id, page, values in self.worlds[1]:
            self.files[id].may[page] |= values

    def rename(self, verb: str, words: list[str]) -> None:
        names = dict(self.names[-1])
        match verb, words:
            case "rename", [path, to] if names.get(to) == names[path]:
                return  # rename(2): two names of one file stay
            case "rename", [path, to]:
                id = names.pop(path)
                certain = all(one.get(path) == id for one in self.names)
                self.renamed.pop(names.get(to, 0), None)
                if certain or id in self.renamed:
                    self.renamed[id] = self.renamed.get(id, {path}) | {to}
                names[to] = id
            case "link", [path, to]:
                names[to] = names[path]
            case "unlink", [path]:
                self.renamed.pop(names.pop(path), None)
            case "create", [_, path]:
                self.files[3] = File([], [{ZERO} for _ in range(PAGES)], {0})
                names[path] = 3
        self.names.append(names)

    # --- What a cut may find ---

    def fits(self, id: int, found: tuple[Source, ...]) -> bool:
        file = self.files[id]
        return len(found) in file.sizes and all(value in held for value, held in zip(found, file.may, strict=False))

    def allows(self, medium: Medium) -> bool:
        stands: dict[str, set[int]] = {}
        for path, found in medium.items():
            ids = {names.get(path) for names in self.names}
            if found is None:
                stands[path] = set()
                if None not in ids:
                    return False
                continue
            stands[path] = {id for id in ids if id is not None and self.fits(id, found)}
            if not stands[path]:
                return False
        if not all(any(id in stands[path] for path in paths) for id, paths in self.renamed.items()):
            return False
        there = {id: found for path, found in medium.items() for id in stands[path] if found is not None}
        return not self.worlds or any(
            all(there[id][page] in held for id, page, held in world if id in there and page < len(there[id]))
            for world in self.worlds
        )

    def mixtures(self, random: Random) -> Iterator[Medium]:
        """What a cut may find, in any mixture of the parts."""
        paths = {path for names in self.names for path in names} | {"a", "b", "c", "d"}
        while True:
            names = random.choice(self.names)
            world = random.choice(self.worlds) if self.worlds else []
            medium: Medium = dict.fromkeys(sorted(paths))
            for path, id in names.items():
                file = self.files[id]
                values = [set(held) for held in file.may]
                for owner, page, held in world:
                    if owner == id:
                        values[page] &= held
                size = random.choice(sorted(file.sizes))
                medium[path] = tuple(random.choice(sorted(held, key=str)) for held in values[:size])
            yield medium


def pages(text: str) -> int:
    return int(text.removesuffix("K")) * 1024 // PAGE


def moved(value: Source, distance: int) -> Source:
    return replace(value, shift=value.shift + distance * PAGE) if isinstance(value, Stamp) else value


def wrong(media: Media, medium: Medium) -> Iterator[Medium]:
    """The medium with one page, one size or one name that is another."""
    stamps: list[Source] = [Stamp(seq, id, shift) for seq in range(1, media.seq + 1) for id in (1, 2)
                            for shift in (0, PAGE, -PAGE)]  # fmt: skip
    garbage = Opaque(b"\x5a" * 16)
    for path, found in medium.items():
        if found is None:
            yield {**medium, path: (Stamp(1, 1),) * 3}
            continue
        yield {**medium, path: None}
        for page in range(len(found)):
            for value in (*stamps, ZERO, garbage):
                yield {**medium, path: (*found[:page], value, *found[page + 1 :])}
        for size in range(PAGES):
            yield {**medium, path: (*found, *[ZERO] * size)[:size]}
        yield from ({**medium, path: other} for other in medium.values() if other is not None)
    yield dict.fromkeys(medium)


def refused(program: Program, state: State, medium: Medium) -> list[str]:
    views = [
        FileView(path, None if found is None else len(found) * PAGE,
                 tuple(Segment(n * PAGE, (n + 1) * PAGE, value) for n, value in enumerate(found or ())))
        for path, found in medium.items()
    ]  # fmt: skip
    return [str(one.kind) for one in judge(program, state, views, "image").violations]


PLAIN = (
    "pwrite f 0K 4K", "pwrite f 4K 12K", "pwrite f 8K 8K how=dsync", "store m 4K 8K", "ftruncate f 4K",
    "ftruncate f 16K", "fallocate f punch_hole 4K 4K", "fallocate f zero_range 0K 8K", "fallocate f allocate 8K 8K",
    "msync m 0K 8K", "fsync f", "fsyncdir", "sync", "rename a c", "rename a b", "link a c", "unlink b", "create h d",
)  # fmt: skip
"""Ops that may come before the one that is cut."""
CUT = (
    *PLAIN, "observe", "syncfs", "freeze", "fallocate f insert_range 4K 4K", "fallocate f collapse_range 0K 4K",
    "clone f 4K 8K g 0K", "clone f 8K 8K g 4K", "copy_file_range f 0K 4K g 4K", "exchange_range f 0K 8K g 4K",
    "exchange_range f 4K 4K g 4K",
)  # fmt: skip


def legal(media: Media, line: str) -> bool:
    """Whether each name is there when it is needed, and each range in its file."""
    verb, *words = line.split()
    names, size = media.names[-1], len(media.files[1].pages)
    match verb, words:
        case "rename" | "link" | "unlink", [path, *to]:
            return path in names and (verb != "link" or to[0] not in names)
        case "create", [_, path]:
            return path not in names
        case ("store" | "msync" | "exchange_range", [_, start, length, *_]) | (
            "fallocate", [_, "punch_hole" | "zero_range" | "insert_range" | "collapse_range", start, length]
        ):  # fmt: skip
            return pages(start) + pages(length) <= size - (words[1] in ("insert_range", "collapse_range"))
        case _:
            return True


def after(lines: tuple[str, ...]) -> Media:
    media = Media()
    for line in lines:
        media.step(line)
        media.done(line)
    return media


def programs(before: int) -> Iterator[tuple[str, ...]]:
    """All legal Programs of so many plain ops before the one that is cut."""
    for first in product(PLAIN, repeat=before):
        if all(legal(after(first[:n]), line) for n, line in enumerate(first)):
            yield from ((*first, line) for line in CUT if legal(after(first), line) and said((*first, line)))


def said(lines: tuple[str, ...]) -> bool:
    """Say whether a Program can say these ops: one of a name that two renames have taken away cannot be said."""
    try:
        parse("daxcheck program 1\n" + SETUP + "\n".join(lines) + "\n")
    except ProgramError:
        return False
    return True


def compared(lines: tuple[str, ...], seed: int = 0) -> tuple[int, int]:
    """Compare the verdict with the model inside the last op; give how many media were allowed, and how many not."""
    program = parse("daxcheck program 1\n" + SETUP + "\n".join(lines) + "\n")
    state = oracle.within(program, oracle.run(program), len(program.ops) - 1)
    media = after(lines[:-1])
    media.step(lines[-1])
    right, broken = 0, 0
    for number, medium in enumerate(islice(media.mixtures(Random(seed)), MIXTURES)):
        assert media.allows(medium)
        for one in (medium, *(wrong(media, medium) if not number else ())):
            allowed = media.allows(one)
            right, broken = right + allowed, broken + (not allowed)
            assert (not refused(program, state, one)) is allowed, (lines, one, refused(program, state, one))
    return right, broken


@pytest.mark.parametrize(("before", "every"), [(0, 1), (1, 4), pytest.param(1, 1, marks=pytest.mark.nightly)])
def test_the_verdict_allows_what_the_model_does(before: int, every: int) -> None:
    """Inside every op, alone and after every plain op: each mixture of old and new is a PASS, and each page, size or
    name that is neither is a FAIL. By day every fourth Program of two ops is tried."""
    tried = [compared(lines, number) for number, lines in enumerate(programs(before)) if number % every == 0]
    assert len(tried) > (20, 300 // every)[before]
    assert min(right for right, _ in tried) >= MIXTURES and min(broken for _, broken in tried) > 0
    assert sum(broken for _, broken in tried) > 50 * len(tried)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(8))
def test_the_same_after_two_ops(part: int) -> None:
    for number, lines in enumerate(programs(2)):
        if number % 8 == part:
            compared(lines, number)
