"""Checks a list of ops before anything is run: names, ranges, alignment, order, limits.

Only what can be known without a kernel is refused here. An op that a kernel may refuse (an unaligned
collapse, a mode the file system lacks) is a legal op: its errno is an observation.
"""

import errno
import re
from collections.abc import Iterable, Sequence
from copy import copy

from harness.model.program import ops
from harness.model.program.namechecks import changed_names, check_append
from harness.model.program.ops import Going, How, Op
from harness.model.program.scope import NameTaken, ProgramError, Scope, within
from harness.model.program.sections import Sections
from harness.model.program.traits import Promise, defined, descriptors, traits
from harness.model.units import PAGE, size_text
from harness.model.wire.stamps import SHIFT_UNIT

__all__ = ["DEVICE_LIMIT", "SIZE_LIMIT", "STAMP_LIMIT", "Position", "ProgramError", "check"]

OP_LIMIT = 10_000
STAMP_LIMIT = 255
"""Stores, and files, of one Program: both numbers are one byte of a stamp."""
SIZE_LIMIT = 1 << 30
"""No range of a file or mapping ends beyond this."""
DEVICE_LIMIT = 1 << 40
_OPTIONS = re.compile(r"[a-z0-9_=,]{1,64}")
_ERRNOS = frozenset(name for name in vars(errno) if name.startswith("E"))
_COUNTED = "a pwrite or pread, a copy of any kind but clone, a direct_store or direct_load"


def check(program: Iterable[Op]) -> None:
    """Raise ProgramError, with the index of the first op at fault, unless the ops can be run."""
    position = Position()
    index = -1
    seen: list[Op] = []
    for index, op in enumerate(program):
        try:
            position.add(op)
        except NameTaken as error:
            raise ProgramError(str(error), index, _definer(seen, op, error.name)) from None
        except ProgramError as error:
            raise ProgramError(str(error), index) from None
        seen.append(op)
    if position.sections.lane is not None:
        raise ProgramError(f"lane {position.sections.lane} is never joined: end the group with join", index)


def _definer(seen: Sequence[Op], op: Op, name: str) -> int | None:
    """The index of the last op that defined what `op` is to define: descriptors and mappings may share their names."""
    opens = traits(op).defines == "fd"
    same = (index for index, other in enumerate(seen)
            if defined(other) == name and (traits(other).defines == "fd") is opens)  # fmt: skip
    return max(same, default=None)


class Position:
    """The place of the next op of a Program: behind those added so far."""

    def __init__(self, before: Iterable[Op] = ()) -> None:
        self.scope = Scope()
        self.sections = Sections()
        self.length = 0
        self.stamps = 0
        self.files = 0
        self.nameless = False
        """True if a name may be lost in a crash: no op since has made all of them durable."""
        self.expected: Op | None = None
        """The op before, which may say what is to become of the next."""
        for op in before:
            self.add(op)

    def allows(self, *coming: Op) -> bool:
        """Say whether these ops may stand here, one after the other."""
        trial = copy(self)
        trial.sections = self.sections.copied()
        try:
            for op in coming:
                trial.add(op)
        except ProgramError:
            return False
        return True

    def add(self, op: Op) -> None:
        """Go on behind the op. Raises ProgramError, and is of no use any longer, if it may not stand here."""
        if self.length >= OP_LIMIT:
            raise ProgramError(f"more than {OP_LIMIT} ops: split the program")
        if isinstance(op, ops.Planted) and self.length:
            raise ProgramError("a planted fault comes before all other ops: move it to the start")
        self._foreseen(op)
        refused = isinstance(self.expected, ops.ExpectErrno | ops.ExpectSignal)
        before = self.scope
        self.scope = self.sections.enter(op, before, refused)
        if not (refused and isinstance(op, ops.Umount)):  # it may well be refused because of what is open
            self.scope = _changed(self.scope, op, refused)
        if not refused:
            self._named(op)
        if refused:
            self.scope = before  # what is refused defines nothing and ends nothing
        else:
            _tellable(op)
            check_append(self.scope, op, self.sections.lane is not None)
        self.expected = op
        self.length += 1
        self._count(op)

    def _named(self, op: Op) -> None:
        """Raise ProgramError when nobody could say which names there are after the op."""
        if isinstance(op, ops.Shutdown) and op.going is Going.NOLOGFLUSH and self.nameless:
            raise ProgramError("names that nothing has made durable would be there or not: put sync before it")
        if isinstance(op, ops.NameOp) and not isinstance(op, ops.Open | ops.Close):
            self.nameless = True
        elif traits(op).promises is Promise.ALL or (isinstance(op, ops.Fsyncdir) and not self.scope.dirs):
            self.nameless = False

    def _foreseen(self, op: Op) -> None:
        """Raise ProgramError when the op cannot do what the expectation before it says."""
        match self.expected:
            case ops.ExpectErrno() if not traits(op).refusable:
                raise ProgramError("no kernel can refuse this op: expect_errno stands right before the op it is about")
            case ops.ExpectShort() if not isinstance(op, ops.CountedOp):
                raise ProgramError(f"this op returns no count: expect_short stands right before {_COUNTED}")
            case ops.ExpectShort(count) if isinstance(op, ops.CountedOp) and count >= op.length:
                raise ProgramError(f"{count} is not fewer than {op.length} bytes: expect_short names a part of the op")
            case ops.ExpectSignal() if not traits(op).may_signal:
                raise ProgramError("only a store, load or madvise may end in a signal: it follows expect_signal")
            case ops.ExpectSignal() if isinstance(op, ops.Store | ops.Load | ops.Madvise):
                if op.offset // PAGE != (op.offset + op.length - 1) // PAGE:
                    raise ProgramError("what ends in a signal may have been done in part: keep it within one page")
            case _:
                pass

    def _count(self, op: Op) -> None:
        self.stamps += traits(op).stamps
        self.files += isinstance(op, ops.Create | ops.Tmpfile)
        if self.stamps > STAMP_LIMIT or self.files > STAMP_LIMIT:
            raise ProgramError(f"more than {STAMP_LIMIT} stores or files: split the program")


def _changed(scope: Scope, op: Op, refused: bool) -> Scope:
    """The names after the op. Raises ProgramError when it uses one that is not there, or a range that cannot be."""
    match op:
        case ops.Create(fd, path):
            scope.free(path)
            return scope.named(path).opened(fd)
        case ops.Open(fd, path, flag):
            scope.path(path)
            return scope.opened(fd, flag is ops.Opening.APPEND)
        case ops.Close(fd):
            return scope.closed(fd)
        case ops.Rename() | ops.Link() | ops.Unlink() | ops.Mkdir() | ops.Rmdir() | ops.SymbolicLink():
            return changed_names(scope, op, refused)
        case ops.Tmpfile(fd):
            return scope.tmpfile(fd)
        case ops.LinkFd(fd, to):
            return scope.given_name(fd, to)
        case ops.Mmap():
            return _mapped(scope, op)
        case ops.Munmap(name):
            return scope.resized(name, 0)
        case ops.Mremap(name, offset, new):
            _aligned(op)
            length = scope.map(name)
            within(offset, 1, length, f"mapping {name}")
            return scope.without_end(name, offset).mapped(new, length - offset)
        case ops.Mresize(name, size):
            within(0, size, SIZE_LIMIT)
            if size > scope.map(name) and name in scope.cut:
                raise ProgramError(f"mapping {name} cannot grow where it is: an op before has used what is behind it")
            return scope.resized(name, size)
        case ops.MmapOver():
            return _over(scope, op, scope.map(op.map) - op.offset)
        case ops.Umount():
            scope.idle()
        case _:
            _used(scope, op)
    return scope


def _mapped(scope: Scope, op: ops.Mmap) -> Scope:
    scope.fd(op.fd)
    within(op.offset, op.length, SIZE_LIMIT)
    _aligned(op)
    if op.align & (op.align - 1) or not PAGE <= op.align <= SIZE_LIMIT:
        raise ProgramError(f"align {op.align} is not a power of two from {size_text(PAGE)} on")
    return scope.mapped(op.map, op.length)


def _over(scope: Scope, op: ops.MmapOver, length: int) -> Scope:
    scope.fd(op.fd)
    _aligned(op)
    within(op.offset, 1, op.offset + length, f"mapping {op.map}")
    within(op.file_offset, length, SIZE_LIMIT)
    if op.file_offset % PAGE:
        raise ProgramError(f"file_offset {op.file_offset} is not a multiple of {PAGE}, as mmap(2) demands")
    return scope.without_end(op.map, op.offset).mapped(op.new, length)


def _used(scope: Scope, op: Op) -> None:
    """An op that defines nothing."""
    for fd in descriptors(op):
        scope.fd(fd)
    match op:
        case ops.Pread(how=how) | ops.ReadInto(how=how) if how in (How.APPEND, How.ATOMIC):
            raise ProgramError(f"how={how} is for writes: a read takes plain, direct or nowait")
        case ops.ReadInto(name, offset, length, _, other) | ops.WriteFrom(_, other, length, name, offset):
            within(offset, length, scope.map(name), f"mapping {name}")
            within(other, length, SIZE_LIMIT)
        case ops.Fsyncdir(path) if path:
            scope.dir(path)
        case ops.Fill(spare):
            within(0, max(spare, 1), SIZE_LIMIT)
        case ops.Remount(options) if not _OPTIONS.fullmatch(options):
            raise ProgramError(f"options {options[:80]!r} are none: write them as mount(8) does, joined by commas")
        case ops.ExpectErrno(errnos):
            unknown = [name for name in errnos.split("|") if name not in _ERRNOS]
            if unknown:
                raise ProgramError(f"errno {unknown[0][:40]!r} is unknown: write names such as EINVAL|EOPNOTSUPP")
        case ops.Ftruncate(_, size) if not 0 <= size <= SIZE_LIMIT:
            raise ProgramError(f"size {size} is not within 0..{size_text(SIZE_LIMIT)}")
        case ops.ExpectShort(count) if not 0 <= count < SIZE_LIMIT:
            raise ProgramError(f"count {count} is not within 0..{size_text(SIZE_LIMIT)}")
        case ops.Planted(_, start, end):
            within(start, end - start, DEVICE_LIMIT)
        case _:
            _ranged(scope, op)


def _ranged(scope: Scope, op: Op) -> None:
    offset, length, name = (getattr(op, field, None) for field in ("offset", "length", "map"))
    if offset is None or length is None:
        return
    if name is None:
        within(offset, length, SIZE_LIMIT)
    else:
        within(offset, length, scope.map(name), f"mapping {name}")
    for field in ("source_offset", "other_offset"):
        if hasattr(op, field):
            within(getattr(op, field), length, SIZE_LIMIT)
    _aligned(op)


def _tellable(op: Op) -> None:
    """Refuse a copy over a distance by which moved stamps cannot be told from chance (wire.stamps.decode)."""
    start = getattr(op, "offset", 0)
    for field in ("source_offset", "other_offset"):
        begin = getattr(op, field, start)
        if (start - begin) % SHIFT_UNIT:
            raise ProgramError(f"{start} - {begin} is no multiple of {SHIFT_UNIT}: nobody could judge the copy")


def _aligned(op: Op) -> None:
    offset = getattr(op, "offset", 0)
    if traits(op).page_aligned and offset % PAGE:
        raise ProgramError(f"offset {offset} is not a multiple of {PAGE}, as {type(op).__name__.lower()}(2) demands")
