"""Programs for the tests with guests, and a session that lets a test meddle with a guest at a chosen moment."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.fs.filesystem import FileSystem
from harness.link.session import AgentSession, FlushSink
from harness.media.log import NO_FAULTS, PersistLog, PlantedFaults
from harness.memfile import MemFile
from harness.model.program.program import Program, format
from harness.model.program.recorder import Recorder
from harness.model.units import PMD
from harness.targets.guest import GuestTarget, Parts
from harness.vm import plugin
from harness.vm.guest import ANSWER, Guest, OnEvent
from harness.vm.initrd import initramfs, interpreter

NATIVE = Path(__file__).resolve().parents[1] / "native"
MIB = 1 << 20
BASE = 1 << 32
"""Where q35 puts the first NVDIMM when RAM ends below 4 GiB."""
SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


@pytest.fixture(scope="session")
def scenario() -> Callable[[str, str], Program]:
    """The Program that a function of scenarios/ records: scenario("test_controls", "test_pwrite_fsync")."""

    def record(module: str, name: str) -> Program:
        spec = importlib.util.spec_from_file_location(f"scenarios_{module}", SCENARIOS / f"{module}.py")
        if spec is None or spec.loader is None:
            raise RuntimeError(f"no scenarios/{module}.py")
        loaded: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        recorder = Recorder()
        getattr(loaded, name)(recorder)
        return recorder.program()

    return record


@pytest.fixture(scope="session")
def kept() -> Program:
    """A small Program that every sound kernel passes."""
    dax = Recorder()
    mapping = dax.create("data", size=PMD).mmap()
    mapping.store()
    mapping.msync()
    dax.cut_power()
    return dax.program()


@pytest.fixture
def kept_file(kept: Program, tmp_path: Path) -> Path:
    """That Program in a file."""
    path = tmp_path / "kept.prog"
    path.write_text(format(kept))
    return path


class Eavesdropper:
    """A guest whose events of command `do` a test hears of too, and whose deadlines it may shorten."""

    def __init__(self, guest: Guest, do: str, heard: Callable[[Guest, dict[str, Any]], None], seconds: float) -> None:
        self._guest = guest
        self._do = do
        self._heard = heard
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guest, name)

    def call(self, do: str, seconds: float = ANSWER, on_event: OnEvent | None = None, **arguments: Any) -> Any:
        def told(message: dict[str, Any]) -> None:
            if on_event is not None:
                on_event(message)
            self._heard(self._guest, message)

        if do != self._do:
            return self._guest.call(do, seconds, on_event, **arguments)
        return self._guest.call(do, min(seconds, self._seconds), told, **arguments)


class MeddledTarget(GuestTarget):
    """A target that tells `heard` each event of a running Program after it has acted on it."""

    def __init__(self, target: GuestTarget, heard: Callable[[Guest, dict[str, Any]], None], seconds: float) -> None:
        def session(guest: Guest, system: FileSystem, flushes: FlushSink | None) -> AgentSession:
            self.pids.append(guest.machine.pid)
            return AgentSession(Eavesdropper(guest, "run", heard, seconds), system, flushes)

        super().__init__(target.kernel, target.plan, target.tracker, target.say, Parts(session))
        self.pids: list[int] = []


@pytest.fixture(scope="session")
def meddled() -> type[MeddledTarget]:
    return MeddledTarget


@pytest.fixture(scope="session")
def in_guest() -> Callable[..., None]:
    """Runs Python source as root in an attached guest, by way of attach, which runs any program as its mkfs."""

    def run(session: AgentSession, source: str, seconds: float = ANSWER) -> None:
        argv = [str(interpreter.survey(initramfs.AGENT, initramfs.ROOT).program), "-ISc", source]
        session.guest.call("attach", seconds, fs=session.system.name, options=session.system.mount, format=[argv])

    return run


@dataclass(frozen=True)
class Rig:
    """Runs guests in a directory of its own."""

    path: Path
    qemu: Path
    plugin: Path

    def run(
        self, body: str, *, other: str = "", capacity: int = 1000, la57: bool = False, private: bool = False,
        nvdimm_size: int = 16 * MIB, faults: PlantedFaults = NO_FAULTS, count_stores: bool = False, parts: int = 1,
        meanwhile: Callable[[Path], None] = lambda path: None, coverage: MemFile | None = None,
    ) -> PersistLog:  # fmt: skip
        """Assemble and run `body`; the log it left. r15 holds the NVDIMM's address, its bytes are zero at first.

        `other` runs on a second CPU at the same time; `tell N` and `await N` are their turns. The NVDIMM's file may be
        that of several, in equal `parts`. `meanwhile` is called while the guest runs, with the directory of its files.
        `coverage` is the file of a BlockMap.
        """
        image = self.assemble(body, other, la57)
        for name, size in (("ram", 64 * MIB), ("nvdimm", 16 * MIB)):
            with (self.path / name).open("wb") as file:
                file.truncate(size)
        log = os.open(self.path / "log", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        PersistLog.create(log, capacity, faults).close()
        os.close(log)
        argument = plugin.argument(
            self.plugin, log=self.path / "log", ram=self.path / "ram", ram_size=64 * MIB, nvdimm=self.path / "nvdimm",
            nvdimm_base=BASE, nvdimm_size=nvdimm_size, count_stores=count_stores,
            coverage=Path(f"/proc/{os.getpid()}/fd/{coverage.fd}") if coverage else None,
        )  # fmt: skip
        share = "off" if private else "on"
        nvdimms = [word for index in range(parts) for word in (
            "-object", f"memory-backend-file,id=nv{index},size={16 * MIB // parts},mem-path={self.path / 'nvdimm'},"
                       f"offset={index * 16 * MIB // parts},share=on",
            "-device", f"nvdimm,memdev=nv{index}",
        )]  # fmt: skip
        argv = [
            str(self.qemu), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-accel", "tcg",
            "-cpu", "max", "-smp", "2" if other else "1",
            "-machine", "q35,nvdimm=on,memory-backend=ram0", "-m", f"64M,slots={parts},maxmem=4G",
            "-object", f"memory-backend-file,id=ram0,size=64M,mem-path={self.path / 'ram'},share={share}",
            *nvdimms, "-device", "isa-debug-exit,iobase=0xf4",
            "-kernel", str(image), "-plugin", argument,
        ]  # fmt: skip
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as guest:
            try:
                meanwhile(self.path)
                said = guest.communicate(timeout=60)[1]
            finally:
                guest.kill()
        assert guest.returncode == 1, said  # isa-debug-exit: 2 * value + 1
        with (self.path / "log").open("r+b") as file:
            return PersistLog.open(file.fileno())

    def assemble(self, body: str, other: str = "", la57: bool = False) -> Path:
        """An image that QEMU takes for a kernel."""
        for name, code in (("body.s", body), ("other.s", other)):
            (self.path / name).write_text("\n".join(code.strip().splitlines()) + "\n")
        define = ["-DLA57"] * la57 + ["-DOTHER"] * bool(other)
        subprocess.run(["gcc", "-c", *define, f"-I{self.path}", f"-Wa,-I{self.path}", "-o", self.path / "guest.o",
                        NATIVE / "guest.S"], check=True)  # fmt: skip
        image = self.path / "guest.bin"
        subprocess.run(["ld", "-Ttext=0x100000", "--oformat=binary", "-e", "start", "-o", image,
                        self.path / "guest.o"], check=True)  # fmt: skip
        return image


@pytest.fixture
def rig(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A rig with the plugin built once per session, in a cache of the session's own."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("qemu-system-x86_64 is not installed: scripts/setup")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    return Rig(tmp_path, Path(qemu), plugin.build(Path(qemu)))
