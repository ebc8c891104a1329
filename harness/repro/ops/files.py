"""The C of ops on files by descriptor and by name."""

from collections.abc import Iterator
from typing import assert_never

from harness.model.program import ops
from harness.model.program.ops import FileOp, How, Mode, Opening, Replacing, Switch
from harness.model.units import PAGE
from harness.repro.call import Call
from harness.repro.naming import plus_pages, quoted, size
from harness.repro.promised import shifted
from harness.repro.scene import Scene

MODES = {
    Mode.ALLOCATE: "0",
    Mode.KEEP_SIZE: "FALLOC_FL_KEEP_SIZE",
    Mode.PUNCH_HOLE: "FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE",
    Mode.ZERO_RANGE: "FALLOC_FL_ZERO_RANGE",
    Mode.ZERO_RANGE_KEEP_SIZE: "FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE",
    Mode.COLLAPSE_RANGE: "FALLOC_FL_COLLAPSE_RANGE",
    Mode.INSERT_RANGE: "FALLOC_FL_INSERT_RANGE",
    Mode.UNSHARE_RANGE: "FALLOC_FL_UNSHARE_RANGE",
    Mode.WRITE_ZEROES: "0x80",
}
"""FALLOC_FL_WRITE_ZEROES is 0x80 (linux/falloc.h); older headers have no name for it."""
OPENING = {Opening.PLAIN: "", Opening.APPEND: " | O_APPEND", Opening.TRUNCATE: " | O_TRUNC"}
REPLACING = {Replacing.NOREPLACE: "RENAME_NOREPLACE", Replacing.EXCHANGE: "RENAME_EXCHANGE"}
WRITE_FLAGS = {
    How.DSYNC: "RWF_DSYNC", How.SYNC: "RWF_SYNC", How.NOWAIT: "RWF_NOWAIT", How.APPEND: "RWF_APPEND",
    How.ATOMIC: "0x40",
}  # fmt: skip
"""RWF_ATOMIC is 0x40 (linux/fs.h); C libraries have no name for it yet."""
READ_FLAGS = {How.NOWAIT: "RWF_NOWAIT"}


def call(scene: Scene, index: int, op: FileOp) -> Call:
    """The C of op `index`."""
    match op:
        case ops.Create(fd, path):
            made = f"({scene.fd(fd)} = open({quoted(path)}, O_RDWR | O_CREAT | O_EXCL, 0600))"
            inode, helpers = scene.inode(index, fd)
            return Call(made, ">= 0", after=inode, helpers=helpers)
        case ops.Open(fd, path, opening):
            return Call(f"({scene.fd(fd)} = open({quoted(path)}, O_RDWR{OPENING[opening]}))", ">= 0")
        case ops.Close(fd):
            return Call(f"close({scene.fd(fd)})")
        case ops.Rename(path, to, flag):
            return Call(_renamed(quoted(path), quoted(to), flag))
        case ops.Link(path, to):
            return Call(f"link({quoted(path)}, {quoted(to)})")
        case ops.Unlink(path):
            return Call(f"unlink({quoted(path)})")
        case ops.Mkdir(path):
            return Call(f"mkdir({quoted(path)}, 0700)")
        case ops.SymbolicLink(path, target):
            return Call(f"symlink({quoted(target)}, {quoted(path)})")
        case ops.Tmpfile(fd):
            inode, helpers = scene.inode(index, fd)
            return Call(f'({scene.fd(fd)} = open(".", O_RDWR | O_TMPFILE, 0600))', ">= 0", after=inode, helpers=helpers)
        case ops.LinkFd(fd, to):
            return Call(f"link_fd({scene.fd(fd)}, {quoted(to)})", helpers=("link_fd",))
        case ops.Rmdir(path):
            return Call(f"rmdir({quoted(path)})")
        case ops.Fallocate(fd, mode, offset, length):
            made = f"fallocate({scene.fd(fd)}, {MODES[mode]}, {size(offset)}, {size(length)})"
            moves = tuple(_moves(scene, index, op))
            return Call(made, after=moves, helpers=("trace",) if moves else ())
        case ops.Ftruncate(fd, length):
            return Call(f"ftruncate({scene.fd(fd)}, {size(length)})")
        case ops.Pwrite(fd, offset, length, how):
            source, helper = scene.filled(scene.byte(index), length)
            return moved("write", scene.fd(fd), source, (length, offset), how, helper)
        case ops.Pread(fd, offset, length, how):
            source, helper = scene.filled(None, length)
            return moved("read", scene.fd(fd), source, (length, offset), how, helper)
        case ops.SetDax(fd, dax):
            made = f"set_dax({scene.fd(fd)}, {int(dax is Switch.ON)})"
            return Call(made, helpers=("set_dax",), headers=("linux/fs.h", "sys/ioctl.h"))
        case _:
            assert_never(op)


def _renamed(path: str, to: str, flag: Replacing) -> str:
    flags = REPLACING.get(flag)
    return f"renameat2(AT_FDCWD, {path}, AT_FDCWD, {to}, {flags})" if flags else f"rename({path}, {to})"


def moved(verb: str, fd: str, memory: str, place: tuple[int, int], how: How, helper: str = "") -> Call:
    """A read(2) or write(2) between `memory` and `place`, the length and the offset in the file.

    A read may end at the end of the file.
    """
    length, offset = place
    good = f"== {size(length)}" if verb == "write" else ">= 0"
    helpers = (helper,) if helper else ()
    flag = (WRITE_FLAGS if verb == "write" else READ_FLAGS).get(how)
    if how in (How.DIRECT, How.ATOMIC):
        writes = int(verb == "write")
        made = f"direct({fd}, {memory}, {size(length)}, {size(offset)}, {writes}, {flag or 0})"
        return Call(made, good, helpers=(*helpers, "direct"), headers=("sys/uio.h",))
    if flag is not None:
        vector = f"&(struct iovec){{ {memory}, {size(length)} }}, 1"
        return Call(f"p{verb}v2({fd}, {vector}, {size(offset)}, {flag})", good, helpers=helpers,
                    headers=("sys/uio.h",))  # fmt: skip
    return Call(f"p{verb}({fd}, {memory}, {size(length)}, {size(offset)})", good, helpers=helpers)


def _moves(scene: Scene, index: int, op: ops.Fallocate) -> Iterator[str]:
    """Yield the statements that move what is known of pages as the op has moved the pages; none if it is to be refused.
    """
    file = scene.judged(scene.file(op.fd))
    if file is None or isinstance(scene.foreseen(index), ops.ExpectErrno):
        return
    written = scene.form.written(file)
    for _, offset, length in shifted(op):
        first, far = offset // PAGE, abs(length) // PAGE
        if first + far >= scene.form.pages:
            continue  # nothing behind it is judged
        places = [plus_pages(written, first), plus_pages(written, first + far)]
        yield "read_trace();"
        yield f"memmove({', '.join(places if length < 0 else places[::-1])}, {scene.form.pages - first - far});"
