"""A machine in a few lines for verdicts to be made of: a toy file system on real media, behind a real channel.

Its agent takes real frames over a socket pair, so that sessions, steps, wire checks, logs, cuts and images are those of
production. What a kernel would do wrong is planted: flushes that a sync forgets, complaints, errnos, deaths.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from harness.cells.cell import Judged, cell_on, judge_cell
from harness.errors import ChannelError
from harness.fs import filesystem
from harness.link import kernellog
from harness.link.caller import Caller
from harness.link.kernellog import Complaint
from harness.link.session import AgentSession, Attached
from harness.linux.channel import AgentChannel
from harness.media.flushes import LiveFile
from harness.media.image import CrashImage
from harness.media.log import PersistLog, log_bytes
from harness.memfile import MemFile
from harness.model.judge.result import CellResult
from harness.model.program import ops
from harness.model.program.ops import How, Plant
from harness.model.program.program import Program, parse
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import FalseFact, PmemKind
from harness.model.units import LINE, PAGE
from harness.model.wire import wire
from harness.model.wire.frame import Message
from harness.model.wire.moment import Moment
from harness.model.wire.observation import OpResult, Zero
from harness.model.wire.traced import Range
from harness.targets import steps
from harness.targets.engines import trace
from harness.targets.engines.cut import Cut, LoggedCut
from harness.targets.engines.table import ENGINES
from harness.targets.target import Doubt, Execution, Job, Recovery
from tests.unit.cells.toydisk import SIZE, SLOT, ToyDisk

RECORDS = 1 << 14


@dataclass(frozen=True)
class ToyFaults:
    """What goes wrong. `forgets`: by op, the ranges of the file that its flush leaves out; `tears`: those that
    it zeroes on the media before it flushes them. `unfenced`: ops whose
    flushes no fence completes. `misplaces`: appends that go to their offset, copies of another page.
    `errnos` and `unmet`: by op, what it answers; `lies`: an errno of what it did. `misreads`: preads of zeroes.
    `ignores`: mappings over another that are not made. `loses`: by shutdown, what of the first file is zero then.
    `hides`: files that are not read back. `run` and `recovery`: lines of the kernel's log. `dies`: the command at which
    the agent ends, in a run or `recovering`. `holds`: what the agent says of a run whose lanes the kernel holds.
    `drops`: entries that lost their dirty tag. `unsound`: what fsck says after a recovery. `alters`: what becomes of
    the media before a recovery. `heals`: nothing is wrong in a second run.
    """

    forgets: dict[int, tuple[Range, ...]] = field(default_factory=dict)
    tears: dict[int, tuple[Range, ...]] = field(default_factory=dict)
    unfenced: frozenset[int] = frozenset()
    misplaces: frozenset[int] = frozenset()
    ignores: frozenset[int] = frozenset()
    loses: dict[int, tuple[Range, ...]] = field(default_factory=dict)
    errnos: dict[int, int] = field(default_factory=dict)
    lies: dict[int, int] = field(default_factory=dict)
    unmet: dict[int, str] = field(default_factory=dict)
    misreads: frozenset[int] = frozenset()
    hides: frozenset[str] = frozenset()
    run: tuple[str, ...] = ()
    recovery: tuple[str, ...] = ()
    dies: str = ""
    holds: str = ""
    dies_recovering: str = ""
    drops: tuple[Message, ...] = ()
    unsound: str = ""
    write_cache: int = 1
    alters: Callable[[CrashImage], None] = lambda crash: None
    heals: bool = False


class ToyAgent:
    """Answers commands in a thread of its own, until its end of the channel is closed."""

    def __init__(self, disk: ToyDisk, planted: ToyFaults, sock: socket.socket) -> None:
        self.disk = disk
        self.planted = planted
        self._sock = sock
        self._channel = AgentChannel(sock.fileno(), sock.fileno())
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with self._sock, contextlib.suppress(ChannelError, OSError):
            while True:
                message = self._channel.receive()
                if message["do"] == self.planted.dies:
                    return
                if message["do"] == "run" and self.planted.holds:
                    self._channel.send({"error": self.planted.holds, "errno": 0, "hung": True})
                    continue
                self._channel.send({"done": self._answer(message)})

    def _answer(self, message: Message) -> Message:
        match message["do"]:
            case "attach":
                return {"write_cache": self.planted.write_cache, "persistence_domain": "memory_controller",
                        "pieces": [[0, SIZE]]}  # fmt: skip
            case "run":
                return self._run(parse(message["program"]), message["flushes"])
            case "observe":
                return {"files": self._files(message["paths"])}
            case _:
                return {}

    def _files(self, paths: Iterable[str]) -> list[Any]:
        return [wire.to_wire(self.disk.view(path)) for path in paths if path not in self.planted.hides]

    def _run(self, program: Program, flushes: bool) -> Message:
        results, placed, machine = [], [], ToyRun(self.disk, program, self.planted)
        if flushes:
            self._ask({"event": "begin"})
        self.disk.mark(0)
        for index, op in enumerate(program.ops):
            self._channel.send({"event": "op", "index": index})
            result = machine.do(index, op)
            results.append(wire.to_wire(result))
            self.disk.mark(index + 1)
            if flushes and self.disk.flushed:
                self._ask({"event": "flushed", "index": index, "ranges": merged(self.disk.flushed)})
                placed += [{"index": index, "file": file, "blocks": [[0, file * SLOT, SLOT]]}
                           for file in range(1, len(self.disk.names) + 1)]  # fmt: skip
            self.disk.flushed.clear()
            if isinstance(op, ops.CutPower):
                self._ask({"event": "cut", "results": results})
        return {"results": results, "files": self._files(program.names()), "signal": None, "placed": placed,
                "dropped": list(self.planted.drops), "inodes": [[1, 11]]}  # fmt: skip

    def _ask(self, event: Message) -> None:
        self._channel.send(event)
        assert self._channel.receive() == {"do": "go"}


class ToyRun:
    """One Program being run: its descriptors, mappings and stores."""

    def __init__(self, disk: ToyDisk, program: Program, planted: ToyFaults) -> None:
        self._disk = disk
        self._planted = planted
        self._seqs = program.seqs()
        self._files: dict[str, int] = {}
        self._maps: dict[str, tuple[int, int]] = {}

    def do(self, index: int, op: ops.Op) -> OpResult:
        if index in self._planted.errnos:
            return OpResult(index, self._planted.errnos[index])
        answer = self._planted.lies.get(index, 0)
        disk, result = self._disk, OpResult(index, answer, unmet=self._planted.unmet.get(index, ""))
        match op:
            case ops.Create(fd, path):
                self._files[fd] = disk.names.index(path) + 1
                disk.resize(self._files[fd], 0)
            case ops.Pwrite(fd, offset, length, how):
                file = self._files[fd]
                place = disk.size(file) or 0 if how is How.APPEND else offset
                offset = offset if index in self._planted.misplaces else place
                disk.store(file, offset, length, self._seqs[index], place - offset)
                disk.resize(file, max(disk.size(file) or 0, offset + length))
                return replace(result, done=0 if answer else length)
            case ops.Pread(fd, offset, length):
                segments, _ = disk.read(self._files[fd], offset, offset + length)
                wrong = [replace(one, source=Zero()) for one in segments]
                return replace(result, segments=tuple(wrong if index in self._planted.misreads else segments))
            case ops.Mmap(name, fd, offset):
                self._maps[name] = self._files[fd], offset
            case ops.Splice() | ops.Sendfile():
                file, aside = self._files[op.fd], PAGE if index in self._planted.misplaces else 0
                count = min(op.length, (disk.size(self._files[op.source]) or 0) - op.source_offset)
                disk.copy(file, op.offset, count, self._files[op.source], op.source_offset + aside)
                disk.resize(file, max(disk.size(file) or 0, op.offset + count))
                return replace(result, done=count)
            case ops.Shutdown():
                disk.forget(self._planted.loses.get(index, ()))
            case ops.Open(fd, path):
                self._files[fd] = disk.names.index(path) + 1
            case ops.MmapOver(name, offset, new, fd, begin):
                file, first = self._maps[name]
                ignored = index in self._planted.ignores
                self._maps[new] = (file, first + offset) if ignored else (self._files[fd], begin)
            case ops.Store(name, offset, length):
                file, start = self._maps[name]
                disk.store(file, start + offset, length, self._seqs[index])
            case ops.Msync(name, offset, length):
                file, start = self._maps[name]
                self._flush(index, file, start + offset, start + offset + length)
            case ops.Fsync(fd):
                file = self._files[fd]
                self._flush(index, file, 0, disk.size(file) or 0)
                disk.flush(file * LINE, (file + 1) * LINE, fenced=index not in self._planted.unfenced)
            case ops.Fsyncdir():
                disk.flush(0, PAGE, fenced=index not in self._planted.unfenced)
            case _:
                pass
        return result

    def _flush(self, index: int, file: int, start: int, end: int) -> None:
        for low, high in self._planted.tears.get(index, ()):
            self._disk.zero(file * SLOT + low, file * SLOT + high)
        forgotten = self._planted.forgets.get(index, ())
        for line in range(start, end, LINE):
            if not any(low <= line < high for low, high in forgotten):
                at = file * SLOT + line
                self._disk.flush(at, at + LINE, fenced=index not in self._planted.unfenced)


def merged(ranges: Iterable[Range]) -> list[list[int]]:
    """Ascending, without overlap."""
    found: list[list[int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1]:
            found[-1][1] = max(found[-1][1], high)
        else:
            found.append([low, high])
    return found


class ToyPeer(Caller):
    """The harness's end; the agent's kernel says the planted `lines`."""

    def __init__(self, disk: ToyDisk, planted: ToyFaults, lines: tuple[str, ...]) -> None:
        ours, its = socket.socketpair()
        super().__init__(ours)
        self._sock = ours
        self._lines = lines
        self._agent = ToyAgent(disk, planted, its)
        self.medium_size = SIZE

    def close(self) -> None:
        self._sock.close()
        self._agent.thread.join()

    def running(self) -> bool:
        return self._agent.thread.is_alive()

    def why_died(self, when: str) -> str:
        return f"the toy died {when}"

    def last_line(self) -> str:
        return self.said()

    def noted(self, moment: Moment) -> bool:
        return False

    def said(self) -> str:
        return "\n".join(self._lines)

    def complaints(self) -> list[Complaint]:
        return kernellog.blamed(kernellog.complaints(self._lines))


class ToyTarget:
    """A target of production's parts around the toy. It counts the images that it recovered, by name."""

    def __init__(self, engine: Engine = Engine.PLUGIN, planted: ToyFaults | None = None) -> None:
        self.engine = engine
        self.planted = planted or ToyFaults()
        self.device = PmemKind.NVDIMM
        self.environment = Environment("toy", KernelBuild("6.0-toy", "digest"), "", "")
        self.recovered: list[str] = []
        self.marks: list[int] = []
        self.asked: list[int] = []
        """Addresses whose names were asked for."""

    def why_not_as_declared(self, planted: Collection[Plant], attached: Attached) -> str:
        return ""

    def false_fact(self, planted: Collection[Plant], attached: Attached) -> FalseFact | None:
        return None if attached.write_cache else FalseFact("write_cache says 0", "the toy loses its caches")

    def why_not_run(self, program: Program) -> str:
        return "the toy has no locks" if any(isinstance(op, ops.Freeze) for op in program.ops) else ""

    @contextlib.contextmanager
    def execute(self, job: Job) -> Iterator[Execution]:
        with contextlib.ExitStack() as stack:
            base = stack.enter_context(MemFile("base", SIZE))
            live = stack.enter_context(base.copy("live"))
            file = stack.enter_context(MemFile("log", log_bytes(RECORDS)))
            log = stack.enter_context(PersistLog.create(file.fd, RECORDS))
            watch = stack.enter_context(trace.watching(
                ENGINES[self.engine], LiveFile(live), lambda: live.copy("live"), keeps_caches=False
            ))  # fmt: skip
            logged = ENGINES[self.engine].sees_fences

            def take_cut() -> Cut:
                if not logged:
                    return stack.enter_context(contextlib.closing(watch.cut()))
                cut = LoggedCut(base, live.copy("cut"), log, 0, keeps_caches=False)
                return stack.enter_context(contextlib.closing(cut))

            disk = ToyDisk(live, job.program.paths(), file)
            self.marks = disk.marks
            peer = ToyPeer(disk, self.planted, self.planted.run)
            self.planted = ToyFaults() if self.planted.heals else self.planted
            with contextlib.closing(peer):
                session = AgentSession(peer, job.system, None if logged else watch.flushes)
                execution = steps.run(session, job, take_cut, lambda attached: "")
            yield execution

    def symbols(self, addresses: Sequence[int], job: Job) -> tuple[str, ...]:
        self.asked += addresses
        return tuple(f"toy_fence_{address:x}+0x5" for address in addresses)

    def recover(self, crashes: Iterable[CrashImage], job: Job, doubt: Doubt) -> Iterator[Recovery]:
        for crash in crashes:
            with crash.media:
                self.recovered.append(crash.name)
                self.planted.alters(crash)
                planted = replace(self.planted, dies=self.planted.dies_recovering)
                peer = ToyPeer(ToyDisk(crash.media, job.program.paths()), planted, self.planted.recovery)
                with contextlib.closing(peer):
                    session = AgentSession(peer, job.system)
                    recovery = steps.recover(session, crash.name, job.program.names(), lambda _: self.planted.unsound)
            yield recovery


@pytest.fixture
def toy() -> Callable[..., ToyTarget]:
    """Makes a target: toy(forgets={3: ((0, 4096),)}, engine=Engine.TRACE)."""

    def make(engine: Engine = Engine.PLUGIN, **planted: Any) -> ToyTarget:
        return ToyTarget(engine, ToyFaults(**planted))

    return make


@pytest.fixture
def judged_cell() -> Callable[..., Judged]:
    """Judges a Program's text on a target, and returns the consoles too."""

    def judge(target: ToyTarget, text: str, fs: str = "ext4") -> Judged:
        program = parse(f"daxcheck program 1\n{text}\n")
        return judge_cell(target, cell_on(target, "toy", program, filesystem.find(fs)))

    return judge


@pytest.fixture
def judged(judged_cell: Callable[..., Judged]) -> Callable[..., CellResult]:
    """Judges a Program's text on a target: judged(toy(forgets=...), "create f data ...")."""
    return lambda *what: judged_cell(*what).result
