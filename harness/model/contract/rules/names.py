"""The contract of ops on names and descriptors. All names lie in one directory, the root of the file system."""

from dataclasses import replace

from harness.model.contract import blocks
from harness.model.contract.extents import END
from harness.model.contract.filestate import FileState
from harness.model.contract.rules import files
from harness.model.contract.state import State, Step
from harness.model.program.ops import Close, Create, Link, Open, Opening, Rename, Replacing, Unlink


def apply(state: State, step: Step, op: Create | Open | Close | Rename | Link | Unlink) -> State:
    """The state after the op."""
    match op:
        case Create(fd, path):
            # open(2): a new file is empty; fsync(2): "does not necessarily ensure that the entry in the directory
            # containing the file has also reached disk. For that an explicit fsync() on ... the directory is needed."
            file = FileState(step.file, blocks.empty(step.file, step.index))
            state = replace(state, files={**state.files, file.id: file}, fds={**state.fds, fd: file.id})
            return _named(state, path, file.id)
        case Open(fd, path, flag):
            found = state.name(path).current
            return state if found is None else _opened(state, step, fd, found, flag)
        case Close(fd):
            # Mappings keep the file (close(2), mmap(2)), so only the descriptor goes.
            return replace(state, fds={name: file for name, file in state.fds.items() if name != fd})
        case Rename(path, to, Replacing.EXCHANGE):
            return _exchanged(state, path, to, step.journal)
        case Rename(path, to):
            return _renamed(state, path, to, step.journal)
        case Link(path, to):
            # link(2): "This new name may be used exactly as the old one for any operation".
            found = state.name(path).current
            return state if found is None else _named(state, to, found)
        case Unlink(path):
            # unlink(2): the name goes at once; the file stays while it is open or mapped.
            gone = state.name(path).current
            if gone is None:
                return state
            return _freed(_named(_forgotten(state, gone), path, None), gone, step.journal)


def _opened(state: State, step: Step, fd: str, file: int, flag: Opening) -> State:
    """open(2): with O_TRUNC a regular file that may be written "will be truncated to length 0", which is what
    ftruncate(2) does to it. O_APPEND: "Before each write(2), the file offset is positioned at the end"."""
    if flag is Opening.TRUNCATE:
        state = files.truncated(state, step, state.files[file], 0)
    appending = state.appending | {fd} if flag is Opening.APPEND else state.appending
    return replace(state, fds={**state.fds, fd: file}, appending=appending)


def promised(state: State, index: int) -> State:
    """Op `index` made all names durable: fsync(2) of the directory, or a sync of the whole file system."""
    return replace(state, names={path: name.promised(index) for path, name in state.names.items()}, kept={})


def _named(state: State, path: str, file: int | None) -> State:
    return replace(state, names={**state.names, path: state.name(path).changed(file)})


def _freed(state: State, file: int, journal: bool) -> State:
    """The file lost a name: when that was the last, its blocks are free (see FileState.freed)."""
    if journal or any(name.current == file for name in state.names.values()):
        return state
    return state.with_files(lambda one: one.anything(0, END) if one.id == file else one)


def _forgotten(state: State, file: int) -> State:
    """One of the file's names goes for good: which of the others is durable each says for itself."""
    return replace(state, kept={id: names for id, names in state.kept.items() if id != file})


def _renamed(state: State, path: str, to: str, journal: bool) -> State:
    """rename(2): "If newpath already exists, it will be atomically replaced, so that there is no point at which another
    process attempting to access newpath will find it missing. However, there will probably be a window in which both
    oldpath and newpath refer to the file being renamed." So `to` is never nothing, and the file never nameless.

    "If oldpath and newpath are existing hard links referring to the same file, then rename() does nothing".

    Without a journal a power cut leaves names that e2fsck must repair, and nothing says what it makes of them.
    """
    name, target = state.name(path), state.name(to)
    file = name.current
    if file is None or file == target.current:
        return state
    if target.current is not None:
        state = _forgotten(state, target.current)
    if not journal:
        state = _named(_forgotten(state, file), to, None)
        state = _named(_named(state, path, None), to, file)
        return state if target.current is None else _freed(state, target.current, journal)
    return _named(_named(_kept(state, path, to), path, None), to, file)


def _kept(state: State, path: str, to: str) -> State:
    """The file `path` also gets the name `to`: at any moment one of its names stands for it, if one was durable."""
    name = state.name(path)
    assert name.current is not None
    names = state.kept.get(name.current, frozenset({path}) if name.durable == {name.current} else frozenset())
    return replace(state, kept={**state.kept, name.current: names | {to}}) if names else state


def _exchanged(state: State, path: str, to: str, journal: bool) -> State:
    """rename(2), RENAME_EXCHANGE: "Atomically exchange oldpath and newpath. Both pathnames must exist". So each name is
    the one file or the other, never nothing, and each file has one of the two names. Of hard links of one file it does
    nothing, as any rename."""
    one, two = state.name(path).current, state.name(to).current
    if one is None or two is None or one == two:
        return state
    if not journal:
        state = _forgotten(_forgotten(state, one), two)
        return _named(_named(_named(_named(state, path, None), to, None), path, two), to, one)
    return _named(_named(_kept(_kept(state, path, to), to, path), path, two), to, one)
