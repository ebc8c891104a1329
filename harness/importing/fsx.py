"""Reads operation logs of fsx, as `fsx --record-ops` writes them and `fsx --replay-ops` replays them (fstests,
ltp/fsx.c: read_op and the functions that it calls).

    write 0x3f6a6 0x95a 0xc28b          offset, length, and the size of the file before it, which is not needed
    skip read 0x0 0x1000 0x0            nothing is done
    zero_range 0x450 0xb223 0x40000 keep_size close_open

A log of more stores than a Program can tell apart becomes several: at the end of each all is synced, and the next one
first makes the file as it is then: its size, its data, its blocks without data, its holes.
"""

from harness.errors import UsageError
from harness.importing.numbers import integer
from harness.importing.reader import FOREIGN, Reader
from harness.importing.sheet import Unsayable
from harness.model.program import ops
from harness.model.program.ops import Mode
from harness.model.units import PAGE

PATH = "data"
RANGED = ("read", "write", "mapread", "mapwrite", "truncate", "fallocate", "punch_hole", "zero_range",
          "collapse_range", "insert_range")  # fmt: skip
"""Ops of an offset and a length; `truncate` has 0 and the new size."""
MOVING = ("clone_range", "dedupe_range", "copy_range", "exchange_range")
"""Ops of an offset, a length and another offset, where the range goes, or with which it changes places."""
FLAGS = ("keep_size", "unshare", "close_open", "*")
"""Words behind the numbers; a * marks where fsx found wrong data."""
WORDS = ("skip", *RANGED, *MOVING, "fsync")
"""The words that a line may begin with."""
RESERVE = 16
"""Ops that a Program must have room for before a line is read."""
PIECES_LIMIT = 200
"""Pieces of data that the beginning of a Program may write: of its 255 stores some are for the log."""


class FsxReader(Reader):
    """A log; all of it is about one file."""

    def __init__(self) -> None:
        super().__init__()
        self._fd = self.sheet.create(PATH)
        self._skipped: list[int] = []
        self._differs = False
        """The log has told another size once."""

    def say(self, line: str) -> None:
        """Add the ops of a line. Raises Unsayable, ProgramError, UsageError."""
        verb, *rest = line.split()
        if verb.startswith("#"):
            return
        if verb == "skip":
            if not rest or rest[0] not in WORDS[1:]:
                raise Unsayable(FOREIGN)
            self._skipped.append(self.sheet.line)
            return
        numbers, flags = _arguments(verb, rest)
        if min(self.sheet.room[0] - RESERVE, self.sheet.room[1]) <= 0:
            self._go_on()
        if len(numbers) > 2 and verb != "fsync":
            self._compare(verb, numbers)
        self._do(verb, numbers, flags)
        if "close_open" in flags:
            self.sheet.add(ops.Close(self._fd))
            self._fd = self.sheet.fresh("f")
            self.sheet.add(ops.Open(self._fd, PATH))

    def end(self) -> None:
        """Sync the file."""
        if not isinstance(self.sheet.ops[-1], ops.Fsync):
            self.sheet.add(ops.Fsync(self._fd))
            self.remark("added an fsync and the power cut behind the last line")
        else:
            self.remark("added the power cut behind the last line")
        if self._skipped:
            self.remark(f"{len(self._skipped)} lines do nothing, as in fsx: they say skip, their length is 0, or they "
                        "begin or read past the end of the file")  # fmt: skip
        if self.done:
            self.remark(f"{len(self.done) + 1} Programs, since one can tell 255 stores apart: each ends in an fsync, "
                        "and the next one makes the file anew: its data, blocks without data, holes")  # fmt: skip

    def _compare(self, verb: str, numbers: list[int]) -> None:
        wanted = 3 if verb in MOVING else 2
        size = self.sheet.file(self._fd).size
        if len(numbers) > wanted and numbers[wanted] != size and not self._differs:
            self._differs = True
            self.remark(f"line {self.sheet.line}: the log says that the file is {numbers[wanted]} bytes long, and it "
                        f"is {size}: a log is replayed from an empty file, and line by line")  # fmt: skip

    def _go_on(self) -> None:
        """End the Program, and begin the next with the file as it is."""
        file, line = self.sheet.file(self._fd), self.sheet.line
        if len(file.pieces()) > PIECES_LIMIT:
            raise UsageError(f"line {line}: the file has {len(file.pieces())} pieces of data here, and the next "
                             f"Program could write {PIECES_LIMIT} at its start: import a shorter log")  # fmt: skip
        self.sheet.line = 0
        self.sheet.add(ops.Fsync(self._fd))
        self.finish()
        self._fd = self.sheet.create(PATH, durable=False)
        if file.size:
            self.sheet.add(ops.Ftruncate(self._fd, file.size))
        for low, high in file.reserved():
            self.sheet.add(ops.Fallocate(self._fd, Mode.KEEP_SIZE, low, high - low))
        for low, high in file.pieces():
            self.sheet.add(ops.Pwrite(self._fd, low, high - low))
        self.sheet.add(ops.Fsync(self._fd), ops.Fsyncdir())
        self.sheet.line = line

    def _do(self, verb: str, numbers: list[int], flags: list[str]) -> None:
        if verb == "fsync":
            self.sheet.add(ops.Fsync(self._fd))
            return
        offset, length = numbers[:2]
        size = self.sheet.file(self._fd).size
        if verb == "truncate":
            self.sheet.add(ops.Ftruncate(self._fd, length))
        elif self._is_skipped(verb, numbers, size):
            self._skipped.append(self.sheet.line)
        elif verb in MOVING:
            self._move(verb, offset, length, numbers[2])
        elif verb in ("mapread", "mapwrite"):
            self._map(verb, offset, length)
        elif verb == "read":
            self.sheet.add(ops.Pread(self._fd, offset, length))
        elif verb == "write":
            self.sheet.add(ops.Pwrite(self._fd, offset, length))
        else:
            self.sheet.add(ops.Fallocate(self._fd, _mode(verb, flags), offset, length))

    def _is_skipped(self, verb: str, numbers: list[int], size: int) -> bool:
        """Say whether fsx does nothing: see the first lines of its do_ functions."""
        offset, length = numbers[:2]
        if length == 0:
            return True
        if verb in ("read", "mapread"):
            return offset + length > size
        if verb in ("dedupe_range", "exchange_range"):
            return max(offset, numbers[2]) >= size
        return verb in ("punch_hole", "collapse_range", "insert_range", *MOVING) and offset >= size

    def _map(self, verb: str, offset: int, length: int) -> None:
        """Map from the page of the offset on; a file that is too short is extended before a mapwrite (domapwrite)."""
        if verb == "mapwrite" and offset + length > self.sheet.file(self._fd).size:
            self.sheet.add(ops.Ftruncate(self._fd, offset + length))
        begin = offset % PAGE
        name = self.sheet.mmap(self._fd, offset - begin, begin + length)
        kind = ops.Load if verb == "mapread" else ops.Store
        self.sheet.add(kind(name, begin, length), ops.Munmap(name))

    def _move(self, verb: str, offset: int, length: int, to: int) -> None:
        fd = self._fd
        match verb:
            case "clone_range":
                self.sheet.add(ops.Clone(fd, to, length, fd, offset))
            case "dedupe_range":
                self.sheet.add(ops.Dedupe(fd, to, length, fd, offset))
            case "copy_range":
                self.sheet.add(ops.CopyFileRange(fd, to, length, fd, offset))
            case _:
                self.sheet.add(ops.ExchangeRange(fd, offset, length, fd, to))


def _arguments(verb: str, rest: list[str]) -> tuple[list[int], list[str]]:
    """The numbers and the flags of a line. Raises Unsayable."""
    if verb not in WORDS:
        raise Unsayable(FOREIGN)
    flags = [word for word in rest if not word[0].isdigit()]
    if unknown := [word for word in flags if word not in FLAGS]:
        raise Unsayable(f"{unknown[0][:40]!r} is {FOREIGN}")
    numbers = [integer(word) for word in rest if word[0].isdigit()]
    least = 0 if verb == "fsync" else 3 if verb in MOVING else 2
    if not least <= len(numbers) <= 4:
        raise Unsayable(f"{verb} has {least} numbers, and may have the size of the file behind them")
    return numbers, flags


def _mode(verb: str, flags: list[str]) -> Mode:
    keep = "keep_size" in flags
    match verb:
        case "fallocate" if "unshare" in flags:
            return Mode.UNSHARE_RANGE
        case "fallocate":
            return Mode.KEEP_SIZE if keep else Mode.ALLOCATE
        case "zero_range":
            return Mode.ZERO_RANGE_KEEP_SIZE if keep else Mode.ZERO_RANGE
        case _:
            return Mode(verb)
