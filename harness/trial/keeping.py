"""Keeps what a trial has found in the directory of --results."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import place
from harness.errors import UsageError
from harness.media.image import CrashImage
from harness.model.wire.commanded import Commanded
from harness.plain import plain_lines
from harness.trial.judging import Looked

IMAGE = "bad.image"
"""The file that has the bytes of the whole NVDIMM."""
CONSOLE_LIMIT = 1 << 20
"""Characters of a console that are kept: its end."""


class Keeping:
    """An open directory, or none, in which nothing is then kept. A context manager. Raises UsageError where it cannot
    be written; so do its methods."""

    def __init__(self, directory: Path | None, *, image: bool) -> None:
        self._directory = directory
        self._image = image
        if image and directory is None:
            raise UsageError("--keep-image keeps it in a directory: name that by --results DIR")
        try:
            self._fd = -1 if directory is None else place.directory(directory)
        except OSError as error:
            raise self._refusal(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def command(self, name: str, found: Commanded) -> None:
        """Keep what a command wrote: NAME.out and NAME.err, byte by byte."""
        self._write(f"{name}.out", found.out)
        self._write(f"{name}.err", found.err)

    def console(self, name: str, text: str) -> None:
        """Keep what a guest's kernel said: NAME.console."""
        self._write(f"{name}.console", plain_lines(text[-CONSOLE_LIMIT:]).encode())

    def bad(self, crash: CrashImage, looked: Looked) -> None:
        """Keep the console of the first bad recovery, what the verifier wrote, and the image if that is wanted."""
        self.console("bad", looked.recovery.console)
        if looked.found is not None:
            self.command("bad", looked.found)
        if self._image and self._fd >= 0:
            try:
                if os.path.lexists(f"/proc/self/fd/{self._fd}/{IMAGE}"):
                    os.unlink(IMAGE, dir_fd=self._fd)
                crash.media.save(Path(f"/proc/self/fd/{self._fd}/{IMAGE}"))
            except OSError as error:
                raise self._refusal(error) from error

    def report(self, lines: list[str]) -> None:
        """Keep the lines that were told."""
        self._write("report.txt", "".join(f"{line}\n" for line in lines).encode())

    def _write(self, name: str, data: bytes) -> None:
        if self._fd < 0:
            return
        try:
            place.write(self._fd, name, data)
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> UsageError:
        return UsageError(f"--results {self._directory}: {error.strerror}: name a directory that can be written")
