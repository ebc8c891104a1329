"""Finding QEMU, its command line, and the end of its process; programs of our own stand in for QEMU."""

import os
import signal
from pathlib import Path

import pytest

from harness.errors import QemuError, Refused, SetupError
from harness.memfile import MemFile
from harness.model.setting.hardware import PmemKind
from harness.vm.machine import (
    CONSOLE_LIMIT,
    PORT,
    Accel,
    Hardware,
    Machine,
    Plan,
    Qemu,
    Ram,
    Sockets,
    command,
    find_qemu,
)

SOCKETS = Sockets(monitor=5, channel=6, pulse=7)


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("version", "found"), [("9.0.0", "9.0.0"), ("10.0.2 (Debian 1:10.0.2+ds-2)", "10.0.2"), ("11.1", "11.1")]
)
def test_a_new_enough_qemu_is_found(tmp_path: Path, version: str, found: str) -> None:
    """QEMU 9.0 and newer are taken, distribution suffixes or not."""
    name = program(tmp_path / "qemu", f"echo 'QEMU emulator version {version}'")
    assert find_qemu(name) == Qemu(Path(name), found)


@pytest.mark.parametrize("version", ["7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "8.2.2", "9.0.0"])
def test_without_the_plugin_an_older_qemu_will_do(tmp_path: Path, version: str) -> None:
    """QEMU 7.2 and newer are taken when no plugin is to be loaded."""
    name = program(tmp_path / "qemu", f"echo 'QEMU emulator version {version}'")
    assert find_qemu(name, plugin=False).version == version.partition(" ")[0]


def test_too_old_for_anything(tmp_path: Path) -> None:
    """Below 7.2 nothing was tried; who needs the plugin is told of the engine without only where that would do."""
    name = program(tmp_path / "qemu", "echo 'QEMU emulator version 6.2.0'")
    with pytest.raises(SetupError, match=r"6\.2 is older than 7\.2;"):
        find_qemu(name, plugin=False)
    with pytest.raises(SetupError, match=r"6\.2 is older than 9\.0; scripts/setup installs a newer one$"):
        find_qemu(name)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'QEMU emulator version 8.2.2 (Debian)'", "8.2 is older than 9.0.*--engine trace does with this one"),
        ("echo 'QEMU emulator version 7.2.9'", "older"),
        ("echo hello", "does not name a version"),
        ("exit 1", "does not name a version"),
    ],
)
def test_another_program_is_refused(tmp_path: Path, script: str, said: str) -> None:
    """What is too old or no QEMU is refused in one line that names it."""
    name = program(tmp_path / "qemu", script)
    with pytest.raises(SetupError, match=said) as caught:
        find_qemu(name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_no_qemu() -> None:
    """A QEMU that is not there is refused with the remedy."""
    with pytest.raises(SetupError, match="scripts/setup"):
        find_qemu("qemu-that-is-not-there")


def plan(path: Path, **settings: object) -> Plan:
    defaults = {"qemu": Qemu(path, "10.0"), "hardware": Hardware(nvdimm=1 << 20), "kernel": Path("/k"),
                "initramfs": Path("/i"), "ram": Ram(Path("/ram"))}  # fmt: skip
    return Plan(**{**defaults, **settings})  # type: ignore[arg-type]


@pytest.fixture
def argv() -> list[str]:
    with MemFile("nvdimm", 1 << 20) as nvdimm, MemFile("console", 0) as console:
        tracked = plan(Path("/qemu"), ram=Ram(Path("/ram"), template=True), plugin="file=/p")
        return command(tracked, nvdimm, console, SOCKETS)


def test_the_command_line_keeps_the_host_out(argv: list[str]) -> None:
    """No network, no default device, no host configuration, a bounded console."""
    assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(argv)
    assert not [word for word in argv if word.startswith(("-net", "-nic")) or "netdev" in word]
    assert argv[:2] == ["prlimit", f"--fsize={CONSOLE_LIMIT}"]
    assert any(f"name={PORT}" in word for word in argv)


def test_the_command_line_suits_the_plugin(argv: list[str]) -> None:
    """TCG with four-level page tables and shared NVDIMM memory, no eADR; a template's RAM is not written."""
    assert argv[argv.index("-accel") + 1].startswith("tcg") and "la57=off" in argv[argv.index("-cpu") + 1]
    (nvdimm,) = [word for word in argv if word.startswith("memory-backend-file,id=nv0")]
    (ram,) = [word for word in argv if word.startswith("memory-backend-file,id=ram0")]
    assert "share=on" in nvdimm and "share=off" in ram
    assert not [word for word in argv if "nvdimm-persistence=cpu" in word]
    assert argv[argv.index("-plugin") + 1] == "file=/p"


def test_kvm_runs_the_processor_of_the_host() -> None:
    """-accel kvm with -cpu host, four-level page tables as ever; nothing else on the command line differs."""
    with MemFile("nvdimm", 1 << 20) as nvdimm, MemFile("console", 0) as console:
        tcg = command(plan(Path("/qemu")), nvdimm, console, SOCKETS)
        kvm = command(plan(Path("/qemu"), accel=Accel.KVM), nvdimm, console, SOCKETS)
    differ = [(a, b) for a, b in zip(tcg, kvm, strict=True) if a != b]
    assert differ == [("max,la57=off", "host,la57=off"), ("tcg,thread=multi", "kvm")]


def test_the_plugin_needs_tcg() -> None:
    """A plugin under KVM would see nothing and so find everything lost; it is refused before anything starts."""
    with MemFile("nvdimm", 1 << 20) as nvdimm, MemFile("console", 0) as console, pytest.raises(QemuError, match="kvm"):
        command(plan(Path("/qemu"), accel=Accel.KVM, plugin="file=/p"), nvdimm, console, SOCKETS)


@pytest.mark.parametrize(
    ("version", "sharing"),
    [("7.2.22", "share=off"), ("8.1.5", "share=off"), ("8.2.0", "share=off,readonly=on,rom=off")],
)
def test_a_template_is_never_written(version: str, sharing: str) -> None:
    """What many guests start from is mapped privately, and its file opened read-only where QEMU can do that."""
    template = plan(Path("/qemu"), qemu=Qemu(Path("/qemu"), version), ram=Ram(Path("/ram"), template=True))
    with MemFile("nvdimm", 1 << 20) as nvdimm, MemFile("console", 0) as console:
        words = command(template, nvdimm, console, SOCKETS)
    (ram,) = [word for word in words if word.startswith("memory-backend-file,id=ram0")]
    assert ram.endswith(f"mem-path=/ram,{sharing}")


def test_an_old_qemu_has_no_two_nvdimms() -> None:
    """Before 8.1 a backend cannot begin inside a file: the layout is refused, as a kernel may refuse a format."""
    old = plan(Path("/qemu"), qemu=Qemu(Path("/qemu"), "7.2.22"), hardware=Hardware(nvdimm=1 << 20, nvdimms=2))
    with MemFile("nvdimm", 1 << 20) as nvdimm, MemFile("console", 0) as console, pytest.raises(Refused, match=r"8\.1"):
        command(old, nvdimm, console, SOCKETS)


def test_two_nvdimms_share_one_file() -> None:
    """Each NVDIMM is backed by its own half of the file, so that together they are all of it."""
    with MemFile("nvdimm", 1 << 20) as nvdimm, MemFile("console", 0) as console:
        both = command(plan(Path("/qemu"), hardware=Hardware(nvdimm=1 << 20, nvdimms=2)), nvdimm, console, SOCKETS)
    backends = [dict(item.split("=") for item in word.split(",")[1:]) for word in both if word.startswith("memory-b")]
    halves = [backend for backend in backends if backend["id"].startswith("nv")]
    assert {backend["mem-path"] for backend in halves} == {str(nvdimm.path)}
    assert [(int(backend.get("offset", 0)), int(backend["size"])) for backend in halves] == [
        (0, 1 << 19), (1 << 19, 1 << 19),
    ]  # fmt: skip
    assert [word for word in both if word.startswith("nvdimm,")] == [
        "nvdimm,id=nvdimm0,memdev=nv0", "nvdimm,id=nvdimm1,memdev=nv1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("device", "driver", "persistence"),
    [
        (PmemKind.NVDIMM, "nvdimm,", "mem-ctrl"),
        (PmemKind.EADR, "nvdimm,", "cpu"),
        (PmemKind.VIRTIO_PMEM, "virtio-pmem-pci,", ""),
    ],
)
def test_the_device_is_what_was_asked_for(device: PmemKind, driver: str, persistence: str) -> None:
    """The memory is given to the guest by the device's driver, and the firmware says what survives."""
    with MemFile("nvdimm", 1 << 20) as nvdimm, MemFile("console", 0) as console:
        words = command(plan(Path("/qemu"), hardware=Hardware(nvdimm=1 << 20, device=device)), nvdimm, console, SOCKETS)
    (given,) = [word for word in words if word.endswith("memdev=nv0")]
    assert given.startswith(driver)
    assert f"nvdimm-persistence={persistence}" in words[words.index("-machine") + 1]


def test_a_preloaded_library_is_qemus_alone() -> None:
    """What stands before QEMU on the command line does not load it."""
    with MemFile("nvdimm", 1 << 20) as nvdimm, MemFile("console", 0) as console:
        words = command(plan(Path("/qemu"), preload="/p.so"), nvdimm, console, SOCKETS)
        plain = command(plan(Path("/qemu")), nvdimm, console, SOCKETS)
    at = words.index("/qemu")
    assert words[at - 2 : at] == ["env", "LD_PRELOAD=/p.so"] and "env" not in plain


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'qemu: cannot set up' >&2; exit 1", "QEMU: qemu: cannot set up"),
        ("exit 7", "QEMU exited with code 7"),
        ("kill -ABRT $$", "QEMU was killed by SIGABRT"),
        ("kill -BUS $$", "QEMU was killed by SIGBUS; is memory or the cache's file system full?"),
    ],
)
def test_last_words(tmp_path: Path, script: str, said: str) -> None:
    """Why QEMU ended is told in one line: its own words, or its signal or exit code."""
    with MemFile("nvdimm", 1 << 20) as nvdimm:
        path = Path(program(tmp_path / "qemu", script))
        with Machine(plan(path), nvdimm) as machine:
            assert machine.last_words() == said
            assert not machine.running


def test_leaving_the_context_ends_the_process(tmp_path: Path) -> None:
    """Whatever the process does with signals, it is gone and reaped when the context is left."""
    path = Path(program(tmp_path / "qemu", "trap '' TERM INT HUP; while :; do sleep 1; done"))
    with MemFile("nvdimm", 1 << 20) as nvdimm:
        with Machine(plan(path), nvdimm) as machine:
            assert machine.running
            pid = machine.pid
            os.kill(pid, signal.SIGTERM)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_descriptors_are_given_up(tmp_path: Path) -> None:
    """Twenty machines later as many descriptors are open as before."""
    path = Path(program(tmp_path / "qemu", "exit 0"))
    with MemFile("nvdimm", 1 << 20) as nvdimm:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            with Machine(plan(path), nvdimm):
                pass
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_memory_no_machine() -> None:
    """A plan without RAM is refused before anything starts."""
    with MemFile("nvdimm", 1 << 20) as nvdimm, pytest.raises(QemuError, match="RAM"):
        Machine(plan(Path("/bin/true"), ram=None), nvdimm)
