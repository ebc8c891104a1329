"""The agent on a machine with real pmem: a process of its own, started by the harness, that answers over a socket.

All that it mounts is in a mount namespace that ends with it. It opens no device by name: the one under test is a
descriptor that it inherits, which somebody else has checked.
"""

import os
import signal
import sys
from dataclasses import replace

from harness.agent import device, serve
from harness.agent.serve import Agent, MountedDevice
from harness.agent.watch import drops, faults
from harness.agent.watch.flushes import FlushTrace
from harness.agent.watch.marks import HostsMarks
from harness.agent.watch.observer import Traces
from harness.agent.watch.pmemrange import PmemRange
from harness.agent.x86.cpu import Cpu
from harness.errors import SetupError
from harness.linux import mounts, probes, syscalls
from harness.linux.channel import AgentChannel, Closed
from harness.linux.pmem import Pmem, read, without_write_cache, write
from harness.model.wire.frame import Message


class AgentOfBox(Agent):
    """The Agent whose device is the pmem disk `disk`, its first `medium.size` bytes, open at `fd`. Mounts at `root`."""

    def __init__(
        self, cpu: Cpu, traces: Traces, untraced: str, root: str, disk: str, fd: int, medium: PmemRange
    ) -> None:
        super().__init__(cpu, traces, [], untraced, marks=HostsMarks())
        self._root = root
        self._disk = disk
        self._source = f"/proc/self/fd/{fd}"
        self._medium = medium
        self._write_cache = ""

    def do(self, channel: AgentChannel, command: Message) -> Message:
        match command["do"]:
            case "attach":
                return self._attach(command["fs"], command["options"], command.get("format") is not None,
                                    command.get("write_cache", True))  # fmt: skip
            case "detach":
                return self._detach()
            case "translate" | "shell":
                raise ValueError(f"{command['do']} is for guests")
            case _:
                return super().do(channel, command)

    def _attach(self, fs: str, options: str, new: bool, write_cache: bool) -> Message:
        """Mount the file system on the device, with FS_XFLAG_DAX for the root of a `new` one that wants that."""
        pmem = self._pmem()
        if not write_cache:
            self._write_cache = str(pmem.write_cache)
            pmem = without_write_cache(pmem)
        try:
            device.mount(self._source, fs, options, new, self._root)
        except OSError:
            self._restore()
            raise
        self._attached = MountedDevice(mounts.found(self._root, options), self._medium)
        return {
            "device": pmem.name, "pieces": [list(piece) for piece in self._medium.pieces],
            "write_cache": pmem.write_cache, "persistence_domain": pmem.persistence_domain, "seconds": {},
        }  # fmt: skip

    def _detach(self) -> Message:
        if os.path.ismount(self._root):
            syscalls.umount(self._root)
        self._restore()
        return {"seconds": {}}

    def _restore(self) -> None:
        if self._write_cache:
            write(f"/sys/block/{self._disk}/dax/write_cache", self._write_cache)
            self._write_cache = ""

    def _pmem(self) -> Pmem:
        disk = f"/sys/block/{self._disk}"
        region = os.path.realpath(f"{disk}/device")
        while region != "/" and not os.path.basename(region).startswith("region"):
            region = os.path.dirname(region)
        domain = f"{region}/persistence_domain"
        return Pmem(
            self._disk, 0, self._medium.size, int(read(f"{disk}/dax/write_cache")),
            read(domain) if os.path.exists(domain) else "",
        )  # fmt: skip


def main() -> None:
    """Serve until the harness closes its end. Arguments: socket, descriptor of the device, its disk, where it starts in
    physical memory, bytes of it to use, and whether its host makes it durable."""
    sock, fd, origin, size, by_host = (int(sys.argv[place]) for place in (1, 2, 4, 5, 6))
    syscalls.die_with_parent(signal.SIGKILL)
    root = mounts.own_root()
    medium, untraced = PmemRange(origin, size, ((0, size),), bool(by_host)), ""
    traces = Traces(faults.available(), drops.available())
    try:
        traces = replace(traces, flushes=FlushTrace())
    except (OSError, SetupError) as error:
        untraced = str(error)
    agent = AgentOfBox(Cpu(), traces, untraced, root, sys.argv[3], fd, medium)
    try:
        serve.serve(AgentChannel(sock, sock), agent, lambda: None)
    except Closed:
        pass
    finally:
        probes.remove_all()


if __name__ == "__main__":
    main()
