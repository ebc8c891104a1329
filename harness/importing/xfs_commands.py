"""The commands of xfs_io(8) that a Program can say: the options and words of each, and what it does."""

from collections.abc import Callable

from harness.importing.command import Command
from harness.importing.numbers import sized
from harness.importing.reader import FOREIGN
from harness.importing.sheet import Unsayable
from harness.importing.xfs_session import XfsSession, ranged
from harness.model.program import ops
from harness.model.program.ops import Advice, How, Mode, MsyncFlag, Switch, Wait


def _fallocate(mode: Mode, kept: Mode | None = None) -> Callable[[XfsSession, Command], None]:
    def do(reader: XfsSession, command: Command) -> None:
        chosen = kept if kept and "k" in command.flags else mode
        reader.sheet.add(ops.Fallocate(reader.fd, chosen, *ranged(command)))

    return do


def _pwrite(reader: XfsSession, command: Command) -> None:
    offset, length = ranged(command)
    reader.sheet.add(ops.Pwrite(reader.fd, offset, length, reader.how(command)))
    for flag, kind in (("w", ops.Fdatasync), ("W", ops.Fsync)):
        if flag in command.flags:
            reader.sheet.add(kind(reader.fd))


def _pread(reader: XfsSession, command: Command) -> None:
    offset, length = ranged(command)
    length = min(length, reader.sheet.file(reader.fd).size - offset)
    if length <= 0:
        raise Unsayable("it begins at or past the end of the file: nothing is read")
    how = reader.how(command)
    reader.sheet.add(ops.Pread(reader.fd, offset, length, how if how is How.DIRECT else How.PLAIN))


def _mapped(kind: type[ops.Store | ops.Load]) -> Callable[[XfsSession, Command], None]:
    def do(reader: XfsSession, command: Command) -> None:
        reader.sheet.add(kind(*reader.window(command)))

    return do


def _msync(reader: XfsSession, command: Command) -> None:
    given = {*command.flags}
    if given == {"i"} or {"a", "s"} <= given:
        raise Unsayable("a Program syncs what it invalidates, and either waits for that or does not")
    flag = MsyncFlag.INVALIDATE if "i" in given else MsyncFlag.SYNC if "s" in given else MsyncFlag.ASYNC
    reader.sheet.add(ops.Msync(*reader.window(command), flag))


def _madvise(reader: XfsSession, command: Command) -> None:
    if command.flags != ("d",):
        raise Unsayable(f"madvise without -d is {FOREIGN}")
    reader.sheet.add(ops.Madvise(*reader.window(command), Advice.DONTNEED))


def _sync_range(reader: XfsSession, command: Command) -> None:
    wait = Wait.WRITE_AND_WAIT if "a" in command.flags else Wait.WRITE
    reader.sheet.add(ops.SyncFileRange(reader.fd, *ranged(command), wait))


def _reflink(reader: XfsSession, command: Command) -> None:
    fd, source = reader.fd, reader.source(command.words[0])
    if len(command.words) == 1:
        reader.sheet.add(ops.CloneFile(fd, source))
    else:
        begin, to, length = (sized(word) for word in _three(command))
        reader.sheet.add(ops.Clone(fd, to, length, source, begin))
    reader.sheet.add(ops.Close(source))


def _dedupe(reader: XfsSession, command: Command) -> None:
    begin, to, length = (sized(word) for word in _three(command))
    fd, source = reader.fd, reader.source(command.words[0])
    reader.sheet.add(ops.Dedupe(fd, to, length, source, begin), ops.Close(source))


def _three(command: Command) -> tuple[str, ...]:
    if len(command.words) != 4:
        raise Unsayable("name a file, the offset in it, the offset in the current file, and a length")
    return command.words[1:]


def _copy(reader: XfsSession, command: Command) -> None:
    fd, source = reader.fd, reader.source(command.words[0])
    begin, to = command.number("s"), command.number("d")
    length = command.number("l", reader.sheet.file(source).size - begin)
    reader.sheet.add(ops.CopyFileRange(fd, to, length, source, begin), ops.Close(source))


def _exchange(reader: XfsSession, command: Command) -> None:
    fd, other = reader.fd, reader.source(command.words[0])
    begin, start = command.number("s"), command.number("d")
    rest = reader.sheet.file(fd).size - start, reader.sheet.file(other).size - begin
    if "l" not in command.values and rest[0] != rest[1]:
        raise Unsayable("without -l the sizes change places too, which a Program cannot say of files of two sizes")
    length = command.number("l", rest[0])
    reader.sheet.add(ops.ExchangeRange(fd, start, length, other, begin), ops.Close(other))


def _swapext(reader: XfsSession, command: Command) -> None:
    fd, other = reader.fd, reader.source(command.words[0])
    reader.sheet.add(ops.Swapext(fd, other), ops.Close(other))


def _chattr(reader: XfsSession, command: Command) -> None:
    switches = {"+x": Switch.ON, "-x": Switch.OFF}
    if len(command.raw) != 1 or command.raw[0] not in switches:
        raise Unsayable(f"chattr other than +x and -x is {FOREIGN}")
    reader.sheet.add(ops.SetDax(reader.fd, switches[command.raw[0]]))


def _one(make: Callable[[str], ops.Op]) -> Callable[[XfsSession, Command], None]:
    def do(reader: XfsSession, _: Command) -> None:
        reader.sheet.add(make(reader.fd))

    return do


def _truncate(reader: XfsSession, command: Command) -> None:
    reader.sheet.add(ops.Ftruncate(reader.fd, sized(command.words[0])))


def _nothing(_: XfsSession, __: Command) -> None:
    pass


CALL_FLAGS = "fdstrnxi"
"""Options of a call, and of `open`, that have no value."""
Row = tuple[str, str, int, int, Callable[[XfsSession, Command], None]]
COMMANDS: dict[str, Row] = {
    "open": ("", CALL_FLAGS, 1, 1, XfsSession.open),
    "close": ("", "", 0, 0, XfsSession.close),
    "quit": ("", "", 0, 0, _nothing),
    "pwrite": ("SbVZ", "qCOFBRwWDu", 2, 2, _pwrite),
    "pread": ("bVZ", "qCOFBRvu", 2, 2, _pread),
    "truncate": ("", "", 1, 1, _truncate),
    "falloc": ("", "k", 2, 2, _fallocate(Mode.ALLOCATE, Mode.KEEP_SIZE)),
    "fpunch": ("", "", 2, 2, _fallocate(Mode.PUNCH_HOLE)),
    "fzero": ("", "k", 2, 2, _fallocate(Mode.ZERO_RANGE, Mode.ZERO_RANGE_KEEP_SIZE)),
    "fcollapse": ("", "", 2, 2, _fallocate(Mode.COLLAPSE_RANGE)),
    "finsert": ("", "", 2, 2, _fallocate(Mode.INSERT_RANGE)),
    "funshare": ("", "", 2, 2, _fallocate(Mode.UNSHARE_RANGE)),
    "reflink": ("", "q", 1, 4, _reflink),
    "dedupe": ("", "q", 4, 4, _dedupe),
    "copy_range": ("sdl", "", 1, 1, _copy),
    "exchangerange": ("sdl", "", 1, 1, _exchange),
    "swapext": ("", "", 1, 1, _swapext),
    "chattr": ("", "x", 0, 1, _chattr),
    "mmap": ("s", "rwxS", 0, 2, XfsSession.mmap),
    "mm": ("s", "rwxS", 0, 2, XfsSession.mmap),
    "munmap": ("", "", 0, 0, XfsSession.munmap),
    "mremap": ("", "m", 1, 1, XfsSession.mremap),
    "mwrite": ("S", "r", 0, 2, _mapped(ops.Store)),
    "mread": ("", "frv", 0, 2, _mapped(ops.Load)),
    "madvise": ("", "d", 0, 2, _madvise),
    "msync": ("", "ais", 0, 2, _msync),
    "fsync": ("", "", 0, 0, _one(ops.Fsync)),
    "fdatasync": ("", "", 0, 0, _one(ops.Fdatasync)),
    "sync_range": ("", "abw", 2, 2, _sync_range),
    "syncfs": ("", "", 0, 0, _one(lambda _: ops.Syncfs())),
    "sync": ("", "", 0, 0, _one(lambda _: ops.Sync())),
}
"""Command: its options that have a value, its others, how many words it has at least and at most, and what does it."""
