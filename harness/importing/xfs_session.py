"""The state of a script of xfs_io(8): the files and mappings that are open, and what a command may ask of them."""

from collections.abc import Sequence

from harness.importing.command import Command
from harness.importing.names import plain_name
from harness.importing.numbers import sized
from harness.importing.reader import Reader
from harness.importing.sheet import Unsayable
from harness.model.contract.filestate import page_ceil
from harness.model.program import ops
from harness.model.program.ops import Access, How, Sharing


class XfsSession(Reader):
    """Of the files and mappings that are open, the last one is the current one."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: dict[str, str] = {}
        """Name in the script -> name in the Program."""
        self.opened: list[str] = []
        self.mapped: list[str] = []
        self.calls: list[tuple[int, int]] = []
        """Of each call that has begun, the files and mappings that were there before it."""
        self.how_opened: dict[str, How] = {}
        """Descriptor -> how it was opened to be written."""

    @property
    def fd(self) -> str:
        """The current file."""
        if not self.opened:
            raise Unsayable("no file is open: begin with a call of xfs_io that names one, or with open -f FILE")
        return self.opened[-1]

    def how(self, command: Command) -> How:
        """The way in which the current file is written. Raises Unsayable."""
        how = self.how_opened[self.fd]
        if "D" not in command.flags:
            return how
        if how is How.DIRECT:
            raise Unsayable("a Program cannot write with O_DIRECT and RWF_DSYNC at once")
        return How.DSYNC if how is How.PLAIN else how

    @property
    def map(self) -> str:
        """The current mapping."""
        if not self.mapped:
            raise Unsayable("nothing is mapped: mmap it first")
        return self.mapped[-1]

    def source(self, name: str) -> str:
        """A descriptor of another file of the script."""
        if name not in self.paths:
            raise Unsayable(f"file {name[:80]!r} is not there: no line before has created it")
        fd = self.sheet.fresh("f")
        self.sheet.add(ops.Open(fd, self.paths[name]))
        return fd

    def window(self, command: Command) -> tuple[str, int, int]:
        """The current mapping, and a range of it: the whole, or the one that the command names by file offsets."""
        window = self.sheet.maps[self.map]
        if not command.words:
            return self.map, 0, window.length
        offset, length = ranged(command)
        if not window.offset <= offset <= offset + length <= window.offset + window.length:
            raise Unsayable(f"the mapping is [{window.offset}..{window.offset + window.length}) of the file")
        return self.map, offset - window.offset, length

    def open(self, command: Command) -> None:
        """Open another file, which becomes the current one."""
        self.open_file(command.words[0], command.flags)

    def close(self, _: Command) -> None:
        """Close the current file."""
        self.sheet.add(ops.Close(self.fd))
        self.opened.pop()

    def mmap(self, command: Command) -> None:
        """Map a range of the current file, or all of it."""
        size = self.sheet.file(self.fd).size
        offset, length = ranged(command) if command.words else (0, size)
        if length == 0:
            raise Unsayable("the file is empty: mmap(2) refuses a length of 0")
        sharing = Sharing.SYNC if "S" in command.flags else Sharing.SHARED
        name = self.sheet.mmap(self.fd, offset, page_ceil(length), sharing)
        self.mapped.append(name)
        if {"r", "x"} & {*command.flags} and "w" not in command.flags:
            self.sheet.add(ops.Mprotect(name, 0, page_ceil(length), Access.READ))

    def munmap(self, _: Command) -> None:
        """Unmap the current mapping."""
        self.sheet.add(ops.Munmap(self.map))
        self.mapped.pop()

    def mremap(self, command: Command) -> None:
        """Shrink the current mapping: its end is moved away and unmapped. A Program cannot make one larger."""
        size, length = page_ceil(sized(command.words[0])), self.sheet.maps[self.map].length
        if not 0 < size < length:
            raise Unsayable(f"the mapping is {length} bytes long, and a Program can only make it shorter")
        rest = self.sheet.fresh("m")
        self.sheet.add(ops.Mremap(self.map, size, rest), ops.Munmap(rest))

    def open_file(self, name: str, flags: Sequence[str]) -> None:
        """Open a file, create it with -f, empty it with -t. Raises Unsayable."""
        path = self.paths.get(name)
        if path is not None:
            fd = self.sheet.fresh("f")
            self.sheet.add(ops.Open(fd, path))
        elif "f" in flags:
            path = self.paths[name] = plain_name(name, {*self.paths.values()})
            fd = self.sheet.create(path)
        else:
            raise Unsayable(f"file {name[:80]!r} is not there: create it first, with -f")
        if "t" in flags:
            self.sheet.add(ops.Ftruncate(fd, 0))
        if {"d", "s"} <= {*flags}:
            raise Unsayable("a Program cannot write with O_DIRECT and O_SYNC at once")
        self.opened.append(fd)
        self.how_opened[fd] = How.DIRECT if "d" in flags else How.SYNC if "s" in flags else How.PLAIN


def ranged(command: Command, first: int = 0) -> tuple[int, int]:
    """The offset and the length that a command names, the words from `first` on. Raises Unsayable."""
    words = command.words[first : first + 2]
    if len(words) != 2:
        raise Unsayable("name an offset and a length")
    return sized(words[0]), sized(words[1])
