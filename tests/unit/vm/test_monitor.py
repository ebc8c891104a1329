"""Saving and restoring the state of a machine, as QEMU of any supported version can be asked to."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import QemuError
from harness.vm.monitor import Monitor


class FakeQemu(threading.Thread):
    """Speaks QMP over a socket as a QEMU of some version; keeps what it was asked, uses a descriptor it was given."""

    def __init__(self, sock: socket.socket, major: int, minor: int, status: str = "completed") -> None:
        super().__init__(daemon=True)
        self._sock = sock
        self._version = {"qemu": {"major": major, "minor": minor, "micro": 0}, "package": ""}
        self._status = status
        self._fds: list[int] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.restored = b""

    def run(self) -> None:
        self._send({"QMP": {"version": self._version, "capabilities": []}})
        while True:
            # Its peer waits for each answer, so what arrives is one whole command, or the blank that comes with a file.
            data, fds, _, _ = socket.recv_fds(self._sock, 1 << 16, 4)
            if not data:
                return
            self._fds += fds
            if data.strip():
                request = json.loads(data)
                self.asked.append((request["execute"], request.get("arguments", {})))
                answer = {"return": self._answer(*self.asked[-1])}
                self._send(answer | ({"id": request["id"]} if "id" in request else {}))

    def _answer(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if command == "query-version":
            return self._version
        if command == "query-migrate":
            return {"status": self._status}
        if arguments.get("uri") == "fd:state":
            fd = self._fds.pop()
            if command == "migrate":
                os.write(fd, b"the machine's state")
            else:
                self.restored = os.read(fd, 100)
            os.close(fd)
        return {}

    def _send(self, message: dict[str, Any]) -> None:
        self._sock.sendall(json.dumps(message).encode() + b"\r\n")


@contextlib.contextmanager
def connected(*version: Any) -> Iterator[tuple[Monitor, FakeQemu]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        qemu = FakeQemu(theirs, *version)
        qemu.start()
        with Monitor(ours) as monitor:
            yield monitor, qemu


@pytest.mark.parametrize("version", [(8, 2), (9, 0), (10, 0), (11, 1)])
def test_a_new_qemu_opens_the_file_itself(version: tuple[int, int], tmp_path: Path) -> None:
    """From 8.2 on QEMU migrates to and from `file:`; shared memory stays out of the state."""
    path = str(tmp_path / "state")
    with connected(*version) as (monitor, qemu):
        monitor.save(path)
        monitor.restore(path)
    assert [arguments["uri"] for command, arguments in qemu.asked if "uri" in arguments] == [f"file:{path}"] * 2
    capabilities = [arguments["capabilities"] for _, arguments in qemu.asked if "capabilities" in arguments]
    assert capabilities[:2] == [[{"capability": "x-ignore-shared", "state": True}]] * 2


@pytest.mark.parametrize("version", [(7, 2), (8, 1)])
def test_an_old_qemu_is_given_the_file(version: tuple[int, int], tmp_path: Path) -> None:
    """Before 8.2 QEMU gets the open file over the monitor, to write what it saves and to read it again."""
    path = tmp_path / "state"
    with connected(*version) as (monitor, qemu):
        monitor.save(str(path))
        assert path.read_bytes() == b"the machine's state"
        monitor.restore(str(path))
        assert qemu.restored == b"the machine's state"
    assert [arguments["fdname"] for command, arguments in qemu.asked if command == "getfd"] == ["state", "state"]


@pytest.mark.parametrize("version", [(7, 2), (10, 0)])
def test_a_state_that_is_not_saved(version: tuple[int, int], tmp_path: Path) -> None:
    """A migration that fails is an error, on either way."""
    with connected(*version, "failed") as (monitor, _), pytest.raises(QemuError, match=r"migrate .*state failed"):
        monitor.save(str(tmp_path / "state"))


def test_no_descriptor_is_kept(tmp_path: Path) -> None:
    """The descriptor that an old QEMU was given is QEMU's alone: ten states later as many are open as before."""
    with connected(7, 2) as (monitor, _):
        monitor.save(str(tmp_path / "first"))
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(10):
            monitor.save(str(tmp_path / str(number)))
        assert len(list(Path("/proc/self/fd").iterdir())) == before
