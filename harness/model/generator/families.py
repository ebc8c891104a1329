"""The families of ops that random Programs are made of. Each is a function that adds to a draft, or adds nothing.

    make dirty    store, write, write_through, and copy of what others hold
    disturb       reshape, exchange, pipe, rename, directory, publish, remap, protect, advise, reopen, refuse, remount,
                  race
    sync          sync, quiet
    look          look

A new family is a function here and a row of ANY or LAST.
"""

from collections.abc import Callable, Mapping

from harness.model.generator.draft import LARGEST, WORD, ProgramDraft
from harness.model.program import ops
from harness.model.program.choices import fresh
from harness.model.program.ops import Access, Advice, How, Mode, Opening, Replacing, Sharing, Switch
from harness.model.units import PAGE, PMD

SIZES = (5000, PAGE, 9192, 4 * PAGE, 16 * PAGE, PMD, PMD + 5000, 2 * PMD, 4 * PMD)
KEPT = "data1"
"""The name that no op takes away, so that there is something to judge."""
MAPPINGS = 3
"""Mappings of one file at one time."""
DIRECTORIES = 3
"""Directories at one time."""
TURNS = (1, 1, 3, 20)
"""Times that a lane runs its ops."""
Family = Callable[[ProgramDraft], None]


def make_file(draft: ProgramDraft) -> None:
    """Add a durable file, allocated or written or sparse, and its mapping."""
    dice, size = draft.dice, draft.dice.choice(SIZES)
    fd = fresh("f", draft.descriptors)
    draft.draw(ops.Create)
    match dice.choice(("allocate", "write", "sparse")):
        case "allocate":
            draft.add(ops.Fallocate(fd, Mode.ALLOCATE, 0, size))
        case "write":
            draft.add(ops.Pwrite(fd, 0, size))
        case "sparse":
            draft.add(ops.Ftruncate(fd, size))
    make_mapping(draft, fd)
    if dice.random() < 0.7:
        store(draft)
    draft.add(ops.Fsync(fd))
    draft.add(ops.Fsyncdir())


def make_mapping(draft: ProgramDraft, fd: str) -> None:
    """Map mostly all of the file, sometimes a PMD more than it has, so that stores can reach its later growth."""
    start = draft.dice.choice((0, 0, 0, PAGE, PMD))
    length = max(draft.size(fd) + PAGE - 1 - start, PAGE) // PAGE * PAGE + draft.dice.choice((0, 0, PMD))
    sharing = draft.dice.choices((Sharing.SHARED, Sharing.SYNC, Sharing.PRIVATE), (12, 3, 1))[0]
    populate = draft.dice.choices((Switch.OFF, Switch.ON), (9, 1))[0]
    names = {"fd": fd, "sharing": sharing, "populate": populate}
    draft.draw(ops.Mmap, lambda named: names.items() <= named.items(), offset=start, length=length)


def store(draft: ProgramDraft) -> None:
    """Store through a mapping, also behind the end of the file in its last page."""
    if not draft.draw(ops.Store) and not draft.in_lane:
        make_mapping(draft, draft.file())


def write(draft: ProgramDraft) -> None:
    """Write by descriptor, sometimes past the end, or behind it."""
    hows = (How.PLAIN, How.DSYNC, How.DIRECT, How.NOWAIT, How.APPEND)
    fd, how = draft.file(), draft.dice.choices(hows, (6, 1, 1, 1, 1))[0]
    place = draft.place(min(draft.size(fd) + draft.dice.choice((0, PAGE, PMD)), LARGEST - WORD)) // WORD * WORD
    draft.draw(ops.Pwrite, lambda named: (named["fd"], named["how"]) == (fd, how), offset=place)


def copy(draft: ProgramDraft) -> None:
    """Have the kernel read into a mapping, or write from one: its stores are no faults of the program's."""
    draft.draw(draft.dice.choice((ops.ReadInto, ops.WriteFrom)), lambda named: named["how"] is How.PLAIN)


def remap(draft: ProgramDraft) -> None:
    """Add a mapping, remove one, move a part of one, make one longer or shorter, or map over its end."""
    kinds = (ops.Munmap, ops.Mmap, ops.Mmap, ops.Mremap, ops.Mresize, ops.MmapOver)
    fd, kind = draft.file(), draft.dice.choice(kinds)
    if kind is ops.MmapOver:
        draft.draw(kind, lambda named: named["sharing"] is not Sharing.PRIVATE)
    elif kind is not ops.Mmap:
        draft.draw(kind)
    elif sum(one.file == draft.state.fds[fd] for one in draft.state.maps.values()) < MAPPINGS:
        make_mapping(draft, fd)


def protect(draft: ProgramDraft) -> None:
    """Write-protect a part of a mapping and allow it again: huge entries may be split, and pages fault anew."""
    if draft.draw(ops.Mprotect, lambda named: named["access"] is Access.READ):
        last = draft.ops[-1]
        assert isinstance(last, ops.Mprotect)
        if draft.dice.random() < 0.3:
            look(draft)
        draft.add(ops.Mprotect(last.map, last.offset, last.length, Access.WRITE))


def advise(draft: ProgramDraft) -> None:
    """Advise the kernel, which may take the entries away, split them, or fault pages in."""
    advices = (Advice.DONTNEED, Advice.HUGEPAGE, Advice.NOHUGEPAGE, Advice.REMOVE, Advice.COLD, Advice.PAGEOUT)
    advice = draft.dice.choice((Advice.DONTNEED, *advices))
    draft.draw(ops.Madvise, lambda named: named["advice"] is advice and named["map"] not in privates(draft))


def privates(draft: ProgramDraft) -> frozenset[str]:
    """Return the mappings that are private."""
    return frozenset(name for name, one in draft.state.maps.items() if one.sharing is Sharing.PRIVATE)


def sync(draft: ProgramDraft) -> None:
    """Ask for a promise: of a range, a file, the names."""
    kinds = (ops.Msync, ops.Msync, ops.Flush, ops.Fsync, ops.Fsync, ops.Fdatasync, ops.Fsyncdir, ops.Syncfs, ops.Sync)
    draft.draw(draft.dice.choice(kinds), lambda named: named.get("flag", ops.MsyncFlag.SYNC) is ops.MsyncFlag.SYNC)


def hint(draft: ProgramDraft) -> None:
    """Ask for a writeback that promises nothing."""
    if draft.dice.random() < 0.5:
        draft.draw(ops.SyncFileRange)
    else:
        draft.draw(ops.Msync, lambda named: named["flag"] is ops.MsyncFlag.ASYNC)


def quiet(draft: ProgramDraft) -> None:
    """Freeze the file system and thaw it, or have the kernel drop its caches."""
    if draft.dice.random() < 0.5:
        draft.draw(ops.DropCaches)
    elif draft.draw(ops.Freeze):
        draft.add(ops.Thaw())


def look(draft: ProgramDraft) -> None:
    """Read in the middle of the Program."""
    kind = draft.dice.choice((ops.Load, ops.Load, ops.Pread, ops.Observe))
    draft.draw(kind, lambda named: named.get("how", How.PLAIN) is How.PLAIN)


def reshape(draft: ProgramDraft) -> None:
    """Change a file's size or blocks, or move contents within it."""
    modes = (
        Mode.PUNCH_HOLE, Mode.PUNCH_HOLE, Mode.ZERO_RANGE, Mode.ZERO_RANGE_KEEP_SIZE, Mode.INSERT_RANGE,
        Mode.COLLAPSE_RANGE, Mode.ALLOCATE, Mode.KEEP_SIZE,
    )  # fmt: skip
    fd, kind = draft.file(), draft.dice.choice((*modes, "cut", "grow"))
    size = draft.size(fd)
    match kind:
        case "cut":
            draft.draw(ops.Ftruncate, lambda named: named["fd"] == fd, size=draft.place(size) // WORD * WORD)
        case "grow":
            more = min(size + draft.dice.choice((8, 1000, PAGE, PMD)), LARGEST)
            draft.draw(ops.Ftruncate, lambda named: named["fd"] == fd, size=more)
        case _:
            draft.draw(ops.Fallocate, lambda named: (named["fd"], named["mode"]) == (fd, kind))


def exchange(draft: ProgramDraft) -> None:
    """Copy contents or blocks from one file to another, where there are two, or within one."""
    kind = draft.dice.choice((ops.CopyFileRange, *draft.rules.extras * 2))
    draft.draw(kind, lambda named: named["fd"] != named["source"])


def pipe(draft: ProgramDraft) -> None:
    """Copy through a pipe from one file to another, or within one."""
    draft.draw(draft.dice.choice((ops.Splice, ops.Sendfile)))


def rename(draft: ProgramDraft) -> None:
    """Rename, link or unlink a file, or have two files exchange their names."""
    names, kind = draft.state.names, draft.dice.choice((ops.Rename, ops.Link, ops.Unlink))
    if kind is ops.Rename and draft.dice.random() < 0.3:
        exchange = Replacing.EXCHANGE
        draft.draw(kind, lambda named: named["flag"] is exchange and KEPT not in (named["path"], named["to"]))
        return
    new = None if kind is ops.Unlink else "to"
    draft.draw(kind, lambda named: (kind is ops.Link or named["path"] != KEPT) and named.get(str(new)) not in names)


def directory(draft: ProgramDraft) -> None:
    """Make a directory, and mostly go on: make a symbolic link, move a file into one or out of one, move, remove or
    sync one."""

    def wanted(named: Mapping[str, object]) -> bool:
        return KEPT not in (named["path"], named.get("to"))

    if not draft.directories or (len(draft.directories) < DIRECTORIES and draft.dice.random() < 0.3):
        draft.draw(ops.Mkdir, wanted)
    kind = draft.dice.choice((ops.SymbolicLink, ops.Rename, ops.Rename, ops.Fsyncdir, ops.Rmdir, None))
    if kind is not None:
        draft.draw(kind, wanted)


def publish(draft: ProgramDraft) -> None:
    """Write a file without a name, sync it or not, and give it one."""
    if len(draft.state.fds) < MAPPINGS + 1 and draft.draw(ops.Tmpfile):
        fd = draft.descriptors[-1]
        draft.draw(ops.Pwrite, lambda named: (named["fd"], named["how"]) == (fd, How.PLAIN), offset=0)
        if draft.dice.random() < 0.7:
            draft.add(ops.Fsync(fd))
        draft.draw(ops.LinkFd, lambda named: named["fd"] == fd)


def reopen(draft: ProgramDraft) -> None:
    """Open a file again by its name, and sometimes cut it to nothing so, or append to it."""
    if len(draft.state.fds) >= MAPPINGS + 1:
        return
    flag = draft.dice.choices((Opening.PLAIN, Opening.APPEND, Opening.TRUNCATE), (4, 2, 1))[0]

    def wanted(named: Mapping[str, object]) -> bool:
        return named["flag"] is flag and draft.state.name(str(named["path"])).current is not None

    if draft.draw(ops.Open, wanted) and flag is Opening.APPEND:
        opened = draft.descriptors[-1]
        draft.draw(ops.Pwrite, lambda named: (named["fd"], named["how"]) == (opened, How.PLAIN))


def remount(draft: ProgramDraft) -> None:
    """Close and unmap everything, unmount, mount, and go on with one file, mapped anew."""
    for name in draft.names:
        draft.add(ops.Munmap(name))
    for fd in sorted(draft.state.fds):
        draft.add(ops.Close(fd))
    draft.add(ops.Umount())
    draft.add(ops.Mount())
    draft.draw(ops.Open, lambda named: named["path"] == KEPT)
    make_mapping(draft, draft.file())


def refuse(draft: ProgramDraft) -> None:
    """Make a call that a kernel must refuse, and that must change nothing: one that is not of whole blocks."""
    mode = draft.dice.choice((Mode.COLLAPSE_RANGE, Mode.INSERT_RANGE))
    fd, offset = draft.file(), draft.place(PMD) // PAGE * PAGE + draft.dice.choice((8, 1000))
    draft.add(ops.ExpectErrno("EINVAL"))
    draft.add(ops.Fallocate(fd, mode, offset, PAGE))


LANE: dict[Family, int] = {store: 6, write: 3, sync: 4, look: 2, reshape: 4, hint: 1, advise: 1}
"""The families of a lane: nothing that takes away what another lane uses (see race)."""


def race(draft: ProgramDraft) -> None:
    """Have two lanes run at the same time."""
    if not draft.rules.lanes:
        return
    dice = draft.dice
    started = len(draft.ops)
    for _ in range(2):
        name = fresh("lane", {one.name for one in draft.ops if isinstance(one, ops.Lane)})
        worker = dice.choice(tuple(ops.Worker))
        draft.add(ops.Lane(name, worker, dice.choice(TURNS)))
        wanted = len(draft.ops) + dice.choice((1, 1, 2, 3))
        while len(draft.ops) < wanted:
            dice.choices(list(LANE), list(LANE.values()))[0](draft)
    assert len(draft.ops) > started
    draft.add(ops.Join())


ANY: dict[Family, int] = {
    store: 10, write: 5, copy: 2, remap: 3, protect: 1, advise: 2, sync: 7, hint: 1, quiet: 1, look: 2, reshape: 10,
    exchange: 5, pipe: 2, rename: 2, directory: 3, publish: 2, reopen: 1, refuse: 1, remount: 1, race: 1,
}  # fmt: skip
"""The families of ops up to the last sync, and how often each comes."""
LAST: dict[Family, int] = {
    store: 5, write: 3, copy: 1, remap: 2, protect: 1, advise: 1, look: 1, reshape: 6, exchange: 4, pipe: 1, rename: 1,
    directory: 1,
}  # fmt: skip
"""The families of ops after it, which no sync makes durable, and how often each comes."""
