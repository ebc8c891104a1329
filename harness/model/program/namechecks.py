"""Checks the ops that give and take names, and what may go through a descriptor with O_APPEND."""

from harness.model.program import ops
from harness.model.program.ops import How, Op, Replacing
from harness.model.program.scope import ProgramError, Scope


def renamed(scope: Scope, op: ops.Rename | ops.Link | ops.Unlink, refused: bool = False) -> Scope:
    """The names after the op, which is to be `refused` or not. Raises ProgramError when it uses one that is not there,
    or gives one that is."""
    scope.path(op.path)
    match op:
        case ops.Rename(_, to, Replacing.NOREPLACE) | ops.Link(_, to) if refused and to in scope.paths:
            return scope
        case ops.Rename(path, to, Replacing.EXCHANGE):
            scope.path(to)
            return scope
        case ops.Rename(_, to, Replacing.NOREPLACE) if to in scope.paths:
            raise ProgramError(f"path {to} is already there: it is never replaced with flag=noreplace")
        case ops.Rename(path, to):
            return scope.unnamed(path).named(to)
        case ops.Link(_, to):
            if to in scope.paths:
                raise ProgramError(f"path {to} is already there: link never replaces, rename does")
            return scope.named(to)
        case ops.Unlink(path):
            return scope.unnamed(path)


def check_append(scope: Scope, op: Op, in_lane: bool) -> None:
    """Raise ProgramError if the op goes through a descriptor with O_APPEND and nobody could say where it writes to.

    ioctl_ficlonerange(2) and copy_file_range(2) give EBADF for such a destination. Of writes in a lane the end of the
    file may be moved by another lane, and a write by O_DIRECT has a descriptor of its own, without the flag.
    """
    if getattr(op, "fd", "") in scope.appending and isinstance(op, ops.Pwrite):
        if in_lane or op.how is How.DIRECT:
            raise ProgramError(f"descriptor {op.fd} appends: write neither in a lane nor by O_DIRECT through it")
    elif isinstance(op, ops.CopyOp) and {getattr(op, "fd", ""), getattr(op, "other", "")} & scope.appending:
        if not isinstance(op, ops.ReadInto):
            raise ProgramError(f"descriptor {getattr(op, 'fd', '')} appends: open another one to copy to")
