"""QEMU's stub of the GDB remote protocol, by which the kernel of a running guest is read and altered."""

import contextlib
import socket
import tempfile
from pathlib import Path
from typing import Self

from harness.deadline import Deadline
from harness.errors import InfraError
from harness.vm.guest import Guest

ANSWER = 30.0
"""Seconds that the stub may take to answer one packet."""
_PIECE = 1024
"""Bytes that one packet reads; QEMU's packets have 4096 characters (gdbstub, MAX_PACKET_LENGTH)."""


class Debugger:
    """A talk with the stub of one guest: all vCPUs stand still within the context."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        with contextlib.ExitStack() as stack:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "gdb"
            self._serve(f"unix:{path},server=on,wait=off")
            stack.callback(self._serve, "none")
            self._socket = stack.enter_context(socket.socket(socket.AF_UNIX))
            self._socket.settimeout(ANSWER)
            self._socket.connect(str(path))
            self._buffer = b""
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._ask("D")  # detach: the guest runs on

    def read(self, address: int, size: int) -> bytes:
        """Read bytes of kernel memory. Raises InfraError where nothing is mapped."""
        data = b""
        while len(data) < size:
            wanted = min(_PIECE, size - len(data))
            answer = self._ask(f"m{address + len(data):x},{wanted:x}")
            if len(answer) != 2 * wanted:
                raise InfraError(f"QEMU's debugger stub does not read at {address + len(data):#x}: {answer[:16]}")
            data += bytes.fromhex(answer)
        return data

    def write(self, address: int, data: bytes) -> None:
        """Put `data` at a kernel address; what QEMU had translated of that page is thrown away."""
        answer = self._ask(f"M{address:x},{len(data):x}:{data.hex()}")
        if answer != "OK":
            raise InfraError(f"QEMU's debugger stub does not write at {address:#x}: {answer[:16]}")

    def _serve(self, where: str) -> None:
        self._guest.monitor.execute("human-monitor-command", **{"command-line": f"gdbserver {where}"})

    def _ask(self, packet: str) -> str:
        self._socket.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
        deadline = Deadline(ANSWER)
        while b"#" not in self._buffer[:-2]:
            deadline.check("QEMU's debugger stub does not answer")
            self._buffer += self._socket.recv(4096)
        text, _, rest = self._buffer.partition(b"#")
        self._buffer = rest[2:]
        self._socket.sendall(b"+")
        return text.rpartition(b"$")[2].decode()
