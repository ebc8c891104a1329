"""Errnos and signals: which of them the contract allows, which are the kernel's fault, and which are not its doing."""

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.model.contract.allowed import ANYTHING
from harness.model.contract.filestate import page_ceil
from harness.model.contract.state import NOTHING, State
from harness.model.judge.naming import Naming, promise
from harness.model.judge.values import Answers, Condition, Portion, Value
from harness.model.judge.verdict import LIVE
from harness.model.judge.violation import Kind, Violation
from harness.model.program import ops
from harness.model.program.ops import How, Op, Signal
from harness.model.program.paths import parent
from harness.model.program.program import Program
from harness.model.program.stages import by_op
from harness.model.program.traits import descriptors, mapping, touched, traits
from harness.model.wire.observation import OpResult

_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY})
"""The file system or kernel has no such op."""
_EHWPOISON = 133
_BROKEN = frozenset({
    errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EFAULT, errno.ESTALE, errno.ETXTBSY, errno.EFBIG, errno.EOVERFLOW,
    errno.EROFS, _EHWPOISON, errno.ELOOP, errno.ENODATA,
})  # fmt: skip
"""Errnos that no sound kernel answers to these ops on healthy hardware. Any other is a fault of the Program (EINVAL,
EBADF, ENOENT) or a lack of something (ENOMEM, ENOSPC, EMFILE): no verdict either way."""
_OF_POISON = frozenset({errno.EIO, errno.EFAULT, _EHWPOISON})
_NUMBERS = {Signal.SIGBUS: 7, Signal.SIGSEGV: 11}
"""On x86, and on all machines since signal(7) was written."""
_AMPLE = 64 << 20
"""Files of no more bytes than this in all fit into any file system that is tested."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """The meaning of a run's errnos and signals: `violations`; ops that this kernel or file system does not have; and
    other reasons why the run proves nothing."""

    violations: tuple[Violation, ...] = ()
    unsupported: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def __add__(self, other: "Refusals") -> "Refusals":
        return Refusals(
            self.violations + other.violations, self.unsupported + other.unsupported, self.faults + other.faults
        )


def judge_refusals(program: Program, states: Sequence[State], results: Iterable[OpResult]) -> Refusals:
    """Judge the errno and signal of each op; `states` as oracle.run gives them for these results.

    It ends at the first op that failed and was not to: others may have failed because that one did.
    """
    total = Refusals()
    for result in results:
        total += _judge(program, states, result)
        if total.unsupported or total.faults or any(one.kind is Kind.ERRNO for one in total.violations):
            break
    return total


def judge_death(program: Program, states: Sequence[State], index: int, signal: int) -> Refusals:
    """Judge that the run itself was ended by a signal at op `index`, which no expect_signal foresaw."""
    op = program.ops[index]
    name = Naming(program, "", 0).op(index)
    before = states[index - 1] if index else NOTHING
    if signal in _NUMBERS.values() and _must_work(program, before, op):
        found = Answers((_signal(signal),))
        return Refusals((_violation(program, index, before, Kind.SIGNAL, Condition.SUCCESS, found),))
    return Refusals(faults=(f"signal {_signal(signal)} at {name}",))


def _judge(program: Program, states: Sequence[State], result: OpResult) -> Refusals:
    index = result.index
    before = states[index - 1] if index else NOTHING
    foreseen = program.ops[index - 1] if index else None
    found = _found(program.ops[index], result)
    match foreseen:
        case ops.ExpectErrno(names) if not result.errno:
            return Refusals((_violation(program, index, before, Kind.ERRNO, Answers(tuple(names.split("|"))), found),))
        case ops.ExpectShort(count):
            return _counted(program, index, before, result, count)
        case ops.ExpectErrno(names) if result.errno in (getattr(errno, name) for name in names.split("|")):
            return Refusals()
        case ops.ExpectErrno(names):
            return _failed(program, index, before, result.errno, Answers(tuple(names.split("|"))), found)
        case ops.ExpectSignal(signal) if not result.errno and result.signal != _NUMBERS[signal]:
            shown = Answers((_signal(result.signal),)) if result.signal else Condition.SUCCESS
            return Refusals((_violation(program, index, before, Kind.SIGNAL, Answers((signal,)), shown),))
        case _ if result.errno:
            return _failed(program, index, before, result.errno, Condition.SUCCESS, found)
        case _ if _is_short(before, program.ops[index], result):
            return Refusals((_violation(program, index, before, Kind.ERRNO, Condition.SUCCESS, found),))
        case _:
            return Refusals()


def _found(op: Op, result: OpResult) -> Value:
    """Return the outcome of the op: EINVAL; success; 4K of 64K."""
    if result.errno:
        return Answers((_errno(result.errno),))
    return Condition.SUCCESS if result.done is None else _part(op, result.done)


def _part(op: Op, count: int) -> Value:
    length = getattr(op, "length", count)
    return Condition.SUCCESS if count == length else Portion(count, length)


def _counted(program: Program, index: int, before: State, result: OpResult, count: int) -> Refusals:
    """The op was to come short. EFAULT is then no lack of the Program's: so much of the buffer can be accessed."""
    op = program.ops[index]
    expected, found = _part(op, count), _found(op, result)
    if result.errno and result.errno != errno.EFAULT:
        return _failed(program, index, before, result.errno, expected, found)
    if result.errno or result.done is not None:
        wrong = bool(result.errno) or result.done != count
        return Refusals((_violation(program, index, before, Kind.ERRNO, expected, found),)) if wrong else Refusals()
    return Refusals(faults=(f"{Naming(program, '', 0).op(index)}: the agent told no count",))


def _is_short(before: State, op: Op, result: OpResult) -> bool:
    """Say whether the op did less than it surely does."""
    return isinstance(op, ops.CountedOp) and result.done is not None and result.done < op.length and (
        result.done < _least(before, op)
    )


def _least(before: State, op: Op) -> int:
    """Bytes that an op surely does when its calls are repeated until one does none.

    write(2), NOTES: after a partial write another call "will either transfer further bytes or may result in an error".
    read(2) and copy_file_range(2) return 0 at the end of the file, and not before.
    """
    match op:
        case ops.Pwrite() | ops.WriteFrom():
            return op.length
        case ops.Pread(fd, start, length) | ops.ReadInto(_, _, length, fd, start):
            source = before.fds.get(fd)
        case ops.CopyFileRange(_, _, length, fd, start) | ops.Splice(_, _, length, fd, start):
            source = before.fds.get(fd)
        case ops.Sendfile(_, _, length, fd, start):
            source = before.fds.get(fd)
        case _:
            return 0
    return 0 if source is None or _poisoned(before) else min(length, before.files[source].shortest - start)


def _failed(program: Program, index: int, before: State, number: int, expected: Value, found: Value) -> Refusals:
    """An errno that was not foreseen, or not that one."""
    op = program.ops[index]
    name = f"{Naming(program, '', 0).op(index)} failed: {_errno(number)}"
    if number in _UNSUPPORTED or (number == errno.ENODEV and traits(op).ramdisk):
        return Refusals(unsupported=(name,))
    if number == errno.EAGAIN and getattr(op, "how", None) is How.NOWAIT:
        return Refusals()  # pwritev2(2): it would have had to wait
    if number == errno.EINVAL and getattr(op, "how", None) is How.NOWAIT:
        return Refusals(unsupported=(name,))  # generic_write_checks(): a file that only waits (ext4)
    if number == errno.EINVAL and isinstance(op, ops.Madvise):
        return Refusals(unsupported=(name,))  # madvise(2): also when the kernel was built without the advice
    if number in _OF_POISON and (_poisoned(before) or traits(op).poisons):
        return Refusals()
    if number not in _BROKEN and not _contradicts(before, op, number):
        return Refusals(faults=(name,))
    if number == errno.EROFS and any(isinstance(other, ops.Remount) for other in program.ops):
        return Refusals(faults=(name,))
    if number == errno.EFAULT and not _must_work(program, before, op):
        # read(2): a buffer that cannot be accessed. In a race the file may just have ended before it.
        return Refusals() if by_op(program.ops)[index].races else Refusals(faults=(name,))
    return Refusals((_violation(program, index, before, Kind.ERRNO, expected, found),))


def _contradicts(before: State, op: Op, number: int) -> bool:
    """Say whether the errno denies something that is there, or the other way round, by the call's documents (ERRORS).

    Only the first failure of a run is judged (judge_refusals): what is not open here is so for another reason.
    """
    if number == errno.EBADF:
        fds = descriptors(op)
        mapped = not mapping(op) or mapping(op) in before.maps
        return bool(fds) and all(fd in before.fds for fd in fds) and mapped
    match op:
        case ops.Rename(path, to, flag):
            exchanges = flag is ops.Replacing.EXCHANGE
            there = before.name(path).current is not None and (not exchanges or before.name(to).current is not None)
            blocked = flag is ops.Replacing.NOREPLACE and before.name(to).current is not None
            return (number == errno.ENOENT and there) or (number == errno.EEXIST and not blocked)
        case ops.Open(_, path) | ops.Unlink(path):
            return number == errno.ENOENT and before.name(path).current is not None
        case ops.Link(path, to):
            missing = number == errno.ENOENT and before.name(path).current is not None
            return missing or (number == errno.EEXIST and before.name(to).current is None)
        case ops.LinkFd(_, to):
            return number == errno.EEXIST and before.name(to).current is None
        case ops.Rmdir(path):
            empty = not any(parent(one) == path and name.current is not None for one, name in before.names.items())
            there = number == errno.ENOENT and before.name(path).current is not None
            return there or (number in (errno.ENOTEMPTY, errno.EEXIST) and empty)
        case ops.Create(_, path) | ops.Mkdir(path) | ops.SymbolicLink(path):
            return number == errno.EEXIST and before.name(path).current is None
        case _:
            return False


def _violation(program: Program, index: int, before: State, kind: Kind, expected: Value, found: Value) -> Violation:
    op = program.ops[index]
    file = _file(before, op)
    names = [path for path, name in before.names.items() if file is not None and name.current == file]
    path = names[0] if names else getattr(op, "path", "")
    return Violation(kind, path, *promise(program, index), LIVE, (), 0, expected, found)


def _file(state: State, op: Op) -> int | None:
    behind = state.maps.get(mapping(op))
    return behind.file if behind else state.fds.get(getattr(op, "fd", ""))


def _poisoned(state: State) -> bool:
    """Poison of one file may fail an op on another: a sync of all, a copy, a page that both share."""
    return any(ANYTHING in byte.current for file in state.files.values() for byte in file.held.values)


def _must_work(program: Program, before: State, op: Op) -> bool:
    """Say whether an access through a mapping cannot rightly end in a signal.

    mmap(2): SIGBUS past the end of the file, SIGSEGV where the protection forbids it. It may also come of poison, or of
    a full file system, since a store may need a block.
    """
    memory = touched(op)
    behind = before.maps.get(memory[0]) if memory else None
    if memory is None or behind is None or _poisoned(before) or any(traits(other).bars for other in program.ops):
        return False
    _, offset, length = memory
    end = behind.offset + offset + length
    total = sum(file.longest for file in before.files.values())
    return total <= _AMPLE and end <= page_ceil(before.files[behind.file].shortest)


def _errno(number: int) -> str:
    return errno.errorcode.get(number, str(number))


def _signal(number: int) -> str:
    names = {value: name for name, value in _NUMBERS.items()}
    return str(names.get(number, f"signal {number}"))
