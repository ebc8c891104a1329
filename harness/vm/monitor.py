"""Speaks QEMU's monitor protocol synchronously: one command at a time, each with a deadline."""

import asyncio
import contextlib
import logging
import os
import socket
from types import TracebackType
from typing import Any, Self

from qemu.qmp import ExecuteError, QMPClient, QMPError

from harness.deadline import Deadline, poll
from harness.errors import QemuError

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # a QEMU that dies is told by its Machine, once

ANSWER = 60.0
"""Seconds QEMU may take to answer one command."""
FILE_QEMU = (8, 2)
"""The first QEMU that migrates to `file:`; since 9.1 it discourages `fd:` for files."""


class Monitor:
    """A QMP session over a connected socket. Every method raises QemuError when QEMU refuses, dies or is silent."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.new_event_loop()
        # What an interrupted command came to is of no interest, and asyncio would print it with a traceback.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._client = QMPClient()
        self._sock = sock
        with contextlib.ExitStack() as stack:
            stack.callback(self._end)
            self._wait("connect", self._client.connect(sock))
            stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the session; it is the Machine that ends QEMU itself."""
        try:
            self._wait("disconnect", self._client.disconnect())
        except QemuError:
            pass
        finally:
            self._end()

    def _end(self) -> None:
        # An interrupt leaves tasks in the middle of their work, and asyncio would complain of each.
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.close()

    def execute(self, name: str, **arguments: Any) -> Any:
        """Run one command and return its answer."""
        return self._wait(name, self._client.execute(name, arguments or None))

    def tell(self, line: str, seconds: float) -> str:
        """Return what QEMU's monitor for people answers to `line`, within so many seconds."""
        arguments = {"command-line": line}
        answer = self._wait(line, self._client.execute("human-monitor-command", arguments), seconds)
        return str(answer).replace("\r", "")

    def save(self, path: str) -> None:
        """Write the machine state to `path`, leaving out memory that is shared with a file (x-ignore-shared)."""
        self._migrate("migrate", path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    def restore(self, path: str) -> None:
        """Read the machine state from `path` into a QEMU that was started with -incoming defer."""
        self._migrate("migrate-incoming", path, os.O_RDONLY)

    def _migrate(self, name: str, path: str, flags: int) -> None:
        capability = {"capability": "x-ignore-shared", "state": True}
        self.execute("migrate-set-capabilities", capabilities=[capability])
        version = self.execute("query-version")["qemu"]
        if (version["major"], version["minor"]) >= FILE_QEMU:
            self.execute(name, uri=f"file:{path}")
        else:
            self._give("state", path, flags)
            self.execute(name, uri="fd:state")

        def completed() -> bool | None:
            state = self.execute("query-migrate").get("status")
            if state == "failed":
                raise QemuError(f"QEMU: {name} {path} failed")
            return True if state == "completed" else None

        poll(completed, Deadline(ANSWER), f"QEMU: {name} {path} does not end")

    def _give(self, name: str, path: str, flags: int) -> None:
        """Open a file and hand it to QEMU under `name`."""
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            # No command is on its way, so this blank, which JSON ignores, is all that the socket carries now.
            socket.send_fds(self._sock, [b" "], [fd])
        except OSError as error:
            raise QemuError(f"QEMU closed its monitor at {name}") from error
        finally:
            os.close(fd)
        self.execute("getfd", fdname=name)

    def _wait(self, name: str, answer: Any, seconds: float = ANSWER) -> Any:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(answer, seconds))
        except ExecuteError as error:
            raise QemuError(f"QEMU refused {name}: {error}") from error
        except TimeoutError as error:
            raise QemuError(f"QEMU did not answer {name} within {seconds:.0f} s") from error
        except (QMPError, OSError, EOFError) as error:
            raise QemuError(f"QEMU closed its monitor at {name}") from error
