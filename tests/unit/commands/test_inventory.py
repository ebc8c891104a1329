"""Laws of what `daxcheck doctor` says of real persistent memory."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.box import discover, undolog
from harness.box.discover import Idle, MemoryKind, NamespaceMode, PmemDevice
from harness.box.signature import Signature
from harness.cli import main
from harness.commands import doctor, inventory
from harness.commands.doctor import Fact
from harness.fs.label import LABEL, UUID_PREFIX
from harness.model.units import PMD

GIB = 1 << 30
PMEM = PmemDevice(
    "pmem0", os.makedev(259, 0), GIB - PMD, MemoryKind.NVDIMM, NamespaceMode.FSDAX, "region0", "namespace0.0", PMD,
    4 * GIB + PMD, 1, "memory_controller", True, True, False, 0,
)  # fmt: skip
OURS = Signature("ext4", "filesystem", 0x438, LABEL, f"{UUID_PREFIX}8001-000000000001")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undolog, "RUN", tmp_path / "run")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_device_that_is_fit() -> None:
    """All its facts, and the command that tests it."""
    assert inventory.describe(PMEM) == [
        "/dev/pmem0: 1022 MiB of nvdimm in fsdax mode (namespace0.0 of region0, NUMA node 1)",
        "data at 0x100200000, align 2 MiB: PMD entries are possible",
        "DAX yes, persistence domain memory_controller, write_cache 1",
        "signatures: none",
    ]
    assert inventory.advice(PMEM) == "testable: daxcheck run --target /dev/pmem0 --erase /dev/pmem0"
    again = replace(PMEM, signatures=(OURS,))
    assert inventory.describe(again)[3].endswith("made by daxcheck") and inventory.advice(again).startswith("testable")


def test_every_use_is_told() -> None:
    """Who has it, under which names, and what is not known."""
    device = replace(
        PMEM, partitions=("pmem0p1",), holders=("dm-0",), mounts=("/srv",), swaps=("swap on /dev/pmem0",), start=None,
        users=("qemu (process 7)",), links=("/dev/disk/by-path/x",), unread="no wipefs", bad_blocks=2, read_only=True,
        write_cache=None, persistence_domain="", align=None,
    )  # fmt: skip
    text = "\n".join(inventory.describe(device))
    for words in (
        "pmem0p1", "dm-0", "/srv", "swap on /dev/pmem0", "qemu (process 7)", "/dev/disk/by-path/x", "no wipefs",
        "2 ranges of bad blocks", "read-only", "write_cache not told", "persistence domain not told", "only root",
    ):  # fmt: skip
        assert words in text
    assert inventory.advice(device).startswith("not to be erased as it is: is mounted at /srv")


def test_what_is_missing_has_its_command() -> None:
    """A wrong mode cannot be tested; data at an odd place can, but not by PMD entries."""
    command = "ndctl create-namespace -f -e namespace0.0 -m fsdax -a 2M"
    raw = inventory.advice(replace(PMEM, mode=NamespaceMode.RAW, dax=False))
    assert raw.startswith("not to be erased") and command in raw
    odd = inventory.advice(replace(PMEM, start=4 * GIB + 4096))
    assert odd.startswith("testable, but without PMD entries") and command in odd


def test_no_pmem_is_nothing_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Guests in QEMU need none: it is noted, with how to get some, and doctor's exit code does not change."""
    monkeypatch.setattr(discover, "devices", lambda: ())
    monkeypatch.setattr(discover, "idle", lambda: ())
    assert doctor.tell(list(doctor.hardware())) == 0
    said = capsys.readouterr().out
    assert said.startswith("note    pmem        no persistent memory here") and "memmap=4G!4G" in said


def test_devices_and_idle_memory_are_noted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One block for each, its advice last."""
    monkeypatch.setattr(discover, "devices", lambda: (PMEM,))
    monkeypatch.setattr(discover, "idle", lambda: (Idle("region1", "disabled region", "ndctl enable-region region1"),))
    assert doctor.tell(list(doctor.hardware())[:2]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("note    pmem        /dev/pmem0: 1022 MiB") and lines[1].startswith(" " * 20 + "data at")
    assert lines[4] == f"{'':20}to do: {inventory.advice(PMEM)}"
    assert lines[5] == "note    pmem        region1: disabled region" and "ndctl enable-region region1" in lines[6]


def test_a_remedy_is_a_failure_and_a_hint_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Only what every run needs can be missing."""
    assert doctor.tell([Fact("a", "b", hint="c")]) == 0
    assert doctor.tell([Fact("a", "b"), Fact("a", "b", "c")]) == 2
    assert "remedy: c" in capsys.readouterr().out


def test_a_killed_run_is_noted(tmp_path: Path) -> None:
    """Doctor points at cleanup."""
    with undolog.UndoLog() as book:
        text = book.path.read_text()
        assert not [finding for finding in doctor.hardware() if finding.name == "journal"]
    (tmp_path / "run/1-1-x.jsonl").write_text(text.replace(f'"start":{undolog.Owner.myself().start}', '"start":1'))
    (finding,) = [finding for finding in doctor.hardware() if finding.name == "journal"]
    assert "was killed" in finding.found and finding.hint == "daxcheck cleanup"


def test_tracing_is_told_for_this_machine() -> None:
    """Either it can be used, or every obstacle has its remedy."""
    found, hint = inventory.tracing()
    assert found and (hint == "") == found.startswith("kprobes and")


def test_doctor_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole of it, on the machine that runs the tests: something is said of pmem and of tracing."""
    assert main(["doctor"]) in (0, 2)
    said = capsys.readouterr().out
    assert "\nnote    pmem" in said and "tracing" in said
