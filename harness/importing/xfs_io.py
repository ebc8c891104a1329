"""Reads commands of xfs_io(8): one to a line, as it reads them from its standard input, or as the -c options of a call.

    xfs_io -f -c "falloc 0 2m" -c "mmap -S 0 2m" $SCRATCH_MNT/file
    mwrite -S 0x61 4k 8k

Offsets count from the start of the file, also those of mwrite and mread (xfsprogs, io/mmap.c). Each call of xfs_io has
files and mappings of its own, which are closed after it.
"""

import shlex

from harness.importing.command import Command
from harness.importing.reader import FOREIGN
from harness.importing.sheet import Unsayable
from harness.importing.xfs_commands import CALL_FLAGS, COMMANDS
from harness.importing.xfs_session import XfsSession
from harness.model.program import ops

_CALLS = ("xfs_io", "$XFS_IO_PROG", "${XFS_IO_PROG}")
_END = "\n"
_SHELL = (">", ">>", "<", "|", ";", "&", "2>", "1>", "&>", ">&", "&&", "||")


class XfsIoReader(XfsSession):
    """A script."""

    def pieces(self, line: str) -> tuple[str, ...]:
        """The line, or the call of xfs_io without its -c, each of these, and its end. Raises Unsayable."""
        words = _words(line, comments=True)
        if not words or not _is_call(words[0]):
            return (shlex.join(words),) if words else ()
        options = Command.of(["xfs_io", *_until_shell(words[1:])], "cpm", many=True)
        flags = [f"-{letter}" for letter in options.flags]
        call = shlex.join(["xfs_io", *flags, "--", *options.words])
        commands = options.values.get("c", ())
        return (call, *commands, _END) if commands else (call,)

    def say(self, line: str) -> None:
        """Add the ops of a command, or open the file of a call. Raises Unsayable, ProgramError."""
        words = _words(line)
        if line == _END:
            self._close_call()
        elif not words:
            return
        elif _is_call(words[0]):
            self._call(words[1:])
        else:
            self._command(words)

    def end(self) -> None:
        """Sync what is open, since nothing else may have been promised."""
        if not self.sheet.ops:
            raise Unsayable("no command does anything to a file")
        if not isinstance(self.sheet.ops[-1], ops.Fsync | ops.Syncfs | ops.Sync):
            self.sheet.add(ops.Syncfs())
            self.remark("added a syncfs and the power cut behind the last line")
        else:
            self.remark("added the power cut behind the last line")
        for name, path in self.paths.items():
            if name != path:
                self.remark(f"{name} is called {path}")

    def _call(self, words: list[str]) -> None:
        """Open the file of a call; it stays open until the end of that, if there is one."""
        at = words.index("--")
        flags, files = [word[1:] for word in words[:at]], words[at + 1 :]
        if len(files) != 1:
            raise Unsayable("a call of xfs_io names its options, then one file")
        if unknown := [one for one in flags if one not in CALL_FLAGS]:
            raise Unsayable(f"xfs_io -{unknown[0]} is {FOREIGN}")
        self.calls.append((len(self.opened), len(self.mapped)))
        self.open_file(files[0], flags)

    def _close_call(self) -> None:
        """Unmap and close what was mapped and opened in the last call."""
        files, maps = self.calls.pop()
        while len(self.mapped) > maps:
            self.sheet.add(ops.Munmap(self.mapped.pop()))
        while len(self.opened) > files:
            self.sheet.add(ops.Close(self.opened.pop()))

    def _command(self, words: list[str]) -> None:
        if not words:
            return
        row = COMMANDS.get(words[0])
        if row is None:
            raise Unsayable(FOREIGN)
        valued, flags, least, most, do = row
        command = Command.of(words, valued)
        if unknown := [one for one in (*command.flags, *command.values) if one not in valued + flags]:
            raise Unsayable(f"{words[0]} -{unknown[0]} is {FOREIGN}")
        if not least <= len(command.words) <= most:
            raise Unsayable(f"{words[0]} takes {least} to {most} words behind its options")
        do(self, command)


def _words(line: str, comments: bool = False) -> list[str]:
    """The words of a line, as a shell parts them. Raises Unsayable."""
    try:
        return shlex.split(line, comments=comments)
    except ValueError as error:
        raise Unsayable(f"{error}: quote it as a shell does") from None


def _is_call(word: str) -> bool:
    return word in _CALLS or word.endswith("/xfs_io")


def _until_shell(words: list[str]) -> list[str]:
    """The words of a call, without what the shell does with its output."""
    end = next((n for n, word in enumerate(words) if word in _SHELL or word.startswith((">", "2>", "&>"))), len(words))
    return words[:end]
