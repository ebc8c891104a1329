"""Checks the ops that give and take names, and what may go through a descriptor with O_APPEND."""

from harness.model.program import ops
from harness.model.program.ops import How, Op, Replacing
from harness.model.program.paths import inside
from harness.model.program.scope import ProgramError, Scope, plain

NameChange = ops.Rename | ops.Link | ops.Unlink | ops.Mkdir | ops.Rmdir | ops.SymbolicLink


def changed_names(scope: Scope, op: NameChange, refused: bool = False) -> Scope:
    """The names after the op. Raises ProgramError when it uses one that is not there, or gives one that is; of an op
    that is to be `refused` for that, only when a name is none."""
    if refused:
        for path in (op.path, getattr(op, "to", op.path), getattr(op, "target", op.path)):
            plain("path", path)
        if not isinstance(op, ops.Mkdir | ops.SymbolicLink):
            scope.there(op.path)
        return scope
    match op:
        case ops.Rename():
            return _renamed(scope, op)
        case ops.Link(path, to):
            scope.path(path)
            if to in scope.paths or to in scope.symlinks:
                raise ProgramError(f"path {to} is already there: link never replaces, rename does")
            return scope.named(to)
        case ops.Unlink(path):
            return scope.unnamed(path)
        case ops.Mkdir(path):
            return scope.made(path)
        case ops.Rmdir(path):
            return scope.removed(path)
        case ops.SymbolicLink(path, target):
            return scope.symlinked(path, target)


def _renamed(scope: Scope, op: ops.Rename) -> Scope:
    """rename(2): EINVAL into itself, ENOTEMPTY over what is in use, EISDIR and ENOTDIR where one is a directory and the
    other is none."""
    path, to = op.path, op.to
    scope.there(path)
    if path != to and (inside(to, path) or (inside(path, to) and op.flag is Replacing.EXCHANGE)):
        raise ProgramError(f"of {path} and {to} one is in the other: rename to another directory")
    if op.flag is Replacing.EXCHANGE:
        scope.there(to)
    elif op.flag is Replacing.NOREPLACE and to in (*scope.paths, *scope.dirs, *scope.symlinks):
        raise ProgramError(f"path {to} is already there: it is never replaced with flag=noreplace")
    elif path not in scope.dirs:
        scope.place(to)
    elif to in scope.dirs and path != to:
        scope.empty(to)
    elif path != to:
        scope.free(to)
    return scope.moved(op)


def check_append(scope: Scope, op: Op, in_lane: bool) -> None:
    """Raise ProgramError if the op goes through a descriptor with O_APPEND and nobody could say where it writes to.

    ioctl_ficlonerange(2) and copy_file_range(2) give EBADF for such a destination. Of writes in a lane the end of the
    file may be moved by another lane, and a write by O_DIRECT has a descriptor of its own, without the flag.
    """
    if isinstance(op, ops.Pwrite) and op.fd in scope.appending and (in_lane or op.how in (How.DIRECT, How.ATOMIC)):
        raise ProgramError(f"descriptor {op.fd} appends: write neither in a lane nor by O_DIRECT through it")
    if isinstance(op, ops.CopyOp) and not isinstance(op, ops.ReadInto):
        for fd in scope.appending & {getattr(op, "fd", ""), getattr(op, "other", "")}:
            raise ProgramError(f"descriptor {fd} appends: open another one to copy to")
