"""The contract of ops on names and descriptors."""

from dataclasses import replace

from harness.model.contract import blocks, directories
from harness.model.contract.extents import END
from harness.model.contract.filestate import FileState
from harness.model.contract.rules import files
from harness.model.contract.state import NO_NAME, State, Step
from harness.model.program.ops import (
    Close,
    Create,
    Link,
    LinkFd,
    Mkdir,
    NameOp,
    Open,
    Opening,
    Rename,
    Replacing,
    Rmdir,
    SymbolicLink,
    Tmpfile,
    Unlink,
)
from harness.model.program.paths import inside, moved, parent


def apply(state: State, step: Step, op: NameOp) -> State:
    """The state after the op."""
    match op:
        case Create(fd, path):
            # open(2): a new file is empty; fsync(2): "does not necessarily ensure that the entry in the directory
            # containing the file has also reached disk. For that an explicit fsync() on ... the directory is needed."
            return _named(_made(state, step, fd), path, step.file)
        case Open(fd, path, flag):
            opened = state.file(path)
            return state if opened is None else _opened(state, step, fd, opened.id, flag)
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
            return state if found not in state.files else _named(state, to, found)
        case Unlink(path):
            # unlink(2): the name goes at once; the file stays while it is open or mapped.
            gone = state.name(path).current
            if gone is None or directories.is_directory(gone):
                return state
            return _freed(_named(_forgotten(state, gone), path, None), gone, step.journal)
        case Mkdir(path):
            # POSIX mkdir(): "The newly created directory shall be an empty directory"; durable as any name is.
            return _named(state, path, directories.new_directory(step.index))
        case SymbolicLink(path):
            # symlink(2): it "contains the string target". A link without it would be half of a change of metadata.
            return _named(state, path, directories.new_symlink(step.index))
        case Tmpfile(fd):
            # open(2), O_TMPFILE: "Create an unnamed temporary regular file".
            return _made(state, step, fd)
        case LinkFd(fd, to):
            # open(2), O_TMPFILE: "can be linked into the filesystem", which creates a file "atomically".
            found = state.fds.get(fd)
            return state if found is None else _named(state, to, found)
        case Rmdir(path):
            gone = state.name(path).current
            if not directories.is_directory(gone) or gone is None:
                return state
            return _named(_forgotten(state, gone), path, None)


def _made(state: State, step: Step, fd: str) -> State:
    file = FileState(step.file, blocks.empty(step.file, step.index))
    return replace(state, files={**state.files, file.id: file}, fds={**state.fds, fd: file.id})


def _opened(state: State, step: Step, fd: str, file: int, flag: Opening) -> State:
    """open(2): with O_TRUNC a regular file that may be written "will be truncated to length 0", which is what
    ftruncate(2) does to it. O_APPEND: "Before each write(2), the file offset is positioned at the end"."""
    if flag is Opening.TRUNCATE:
        state = files.truncated(state, step, state.files[file], 0)
    appending = state.appending | {fd} if flag is Opening.APPEND else state.appending
    return replace(state, fds={**state.fds, fd: file}, appending=appending)


def promised(state: State, index: int) -> State:
    """Op `index` made all names durable: a sync of the whole file system."""
    entries = {entry: name.promised(index) for entry, name in state.entries.items()}
    return replace(state, entries=entries, names=directories.paths(entries), kept={})


def promised_in(state: State, path: str, index: int) -> State:
    """Op `index` is an fsync(2) of the directory `path`: the names in it are durable, in it.

    fsync(2): "Calling fsync() does not necessarily ensure that the entry in the directory containing the file has also
    reached disk. For that an explicit fsync() on a file descriptor for the directory is also needed." A directory is a
    file of another directory, for which the same holds.
    """
    directory = state.name(path).current if path else directories.ROOT
    if directory is None or not directories.is_directory(directory):
        return state
    entries = {entry: name.promised(index) if entry[0] == directory else name for entry, name in state.entries.items()}
    state = replace(state, entries=entries, names=directories.paths(entries))
    kept = {id: held for id, held in state.kept.items() if all(state.name(one).durable != {id} for one in held)}
    return replace(state, kept=kept)


def _entry(state: State, path: str) -> directories.Entry | None:
    """The directory that the name is in now, and its last part; None where what should have made it failed."""
    directory = state.name(parent(path)).current if parent(path) else directories.ROOT
    if directory is None or not directories.is_directory(directory):
        return None
    return directory, path.rpartition("/")[2]


def _named(state: State, path: str, id: int | None) -> State:
    entry = _entry(state, path)
    if entry is None:
        return state
    entries = {**state.entries, entry: state.entries.get(entry, NO_NAME).changed(id)}
    return replace(state, entries=entries, names=directories.paths(entries))


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

    A directory goes with all that is in it: one entry changes, and with it every path through it.

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
    """Give what `path` stands for the name `to` too, and likewise what is in it if it is a directory: at any moment one
    of its names stands for it, if one was durable."""
    kept = {id: names | {moved(one, path, to) for one in names if inside(one, path)}
            for id, names in state.kept.items()}  # fmt: skip
    for one, name in state.names.items():
        if inside(one, path) and name.current is not None:
            held = kept.get(name.current, frozenset({one}) if name.durable == {name.current} else frozenset())
            if held:
                kept[name.current] = held | {moved(one, path, to)}
    return replace(state, kept=kept)


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
