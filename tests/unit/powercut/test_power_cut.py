"""Laws of real power cuts: what outlives one is whole, and what a cut cannot tell is refused before or after it."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.box import armedrun
from harness.box.armedrun import ArmedPhase, ArmedRun
from harness.box.discover import MemoryKind, NamespaceMode, PmemDevice
from harness.box.signature import Signature
from harness.cells.cell import cell_on, judge_cell
from harness.cells.matrix import Wanted
from harness.commands import arm, judge
from harness.errors import InfraError, SetupError, UsageError
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.fs.label import LABEL, UUID_PREFIX
from harness.link.kernellog import Complaint, Trouble
from harness.media.image import CrashImage
from harness.memfile import MemFile
from harness.model.judge.result import CellResult, Outcome
from harness.model.program.program import Expect, parse
from harness.model.setting.engine import Engine
from harness.model.setting.engine import find as find_engine
from harness.model.setting.hardware import PmemKind
from harness.model.wire.observation import FileView, OpResult, Segment, Stamp, Zero
from harness.model.wire.traced import Dropped, Traced
from harness.powercut.postmortem import PowerTarget, clean
from harness.pytestplugin import recording
from harness.pytestplugin.arguments import SCENARIOS
from harness.pytestplugin.recording import Recorded
from harness.targets.target import Recovery

MIB = 1 << 20
PROGRAM = parse("daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\npread f 0 4K\ncut_power\n")
UUID = f"{UUID_PREFIX}8001-000000000001"
PMEM = PmemDevice(
    "pmem0", os.makedev(259, 0), 1 << 30, MemoryKind.NVDIMM, NamespaceMode.FSDAX, "region0", "namespace0.0", 2 * MIB,
    1 << 32, 0, "memory_controller", True, True, False, 0,
    signatures=(Signature("ext4", "filesystem", 0x438, LABEL, UUID),),
)  # fmt: skip
TOLD = ArmedRun(
    ArmedPhase.ARMED, "test_x.py::test_y[a]", PROGRAM, "ext4", 7, "6.12.95", "boot-1", PmemKind.NVDIMM, "pmem0",
    1 << 30, UUID, ("xfs",), 1, "memory_controller", {"8089-a2-1748-01": 3},
    (OpResult(0), OpResult(1), OpResult(2), OpResult(3, segments=(Segment(0, 4096, Stamp(1, 1)),)), OpResult(4)),
    Traced(dropped=(Dropped(2, "dax_delete_mapping_entry", 12, 0, 4096, ("a", "b")),), inodes={1: 12}),
    (Complaint(Trouble.WARNING, "WARNING: CPU: 0"),),
)  # fmt: skip


REFUSED = {
    "arming": (replace(TOLD, phase=ArmedPhase.ARMING), "had not come to its cut"),
    "disarmed": (replace(TOLD, phase=ArmedPhase.DISARMED), "was disarmed"),
    "not booted since": (replace(TOLD, boot="now"), "not been booted since"),
    "judged, copy lost": (replace(TOLD, phase=ArmedPhase.JUDGED), r"medium\.img is gone"),
}


@pytest.mark.parametrize(("told", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_judged_is_refused(tmp_path: Path, told: ArmedRun, said: str) -> None:
    """Nothing is judged but a run that stood at its cut when the machine went down."""
    with pytest.raises(UsageError, match=said):
        judge.refuse(told, "now", tmp_path)


def test_what_can_be_judged_is_not_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An armed run after a boot; one that was judged, from its copy, which is said."""
    judge.refuse(TOLD, "now", tmp_path)
    (tmp_path / "medium.img").touch()
    judge.refuse(replace(TOLD, phase=ArmedPhase.JUDGED, outcome="FAIL", judged_by="6.1"), "now", tmp_path)
    assert "judged before, under 6.1: FAIL" in capsys.readouterr().out


def test_judge_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """As a user sees it."""
    armedrun.write(tmp_path, replace(TOLD, phase=ArmedPhase.DISARMED))
    words = [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())", "judge", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=SCENARIOS.parent, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr


def test_the_device_is_known_by_its_file_system() -> None:
    """Its name may be another after the boot; a size or a number of devices that cannot be is refused."""
    other = replace(PMEM, name="pmem7", signatures=())
    moved = replace(PMEM, name="pmem1")
    assert judge.find(TOLD, [other, moved]) == moved
    stranger = replace(PMEM, signatures=(Signature("ext4", "filesystem", 0x438, "home", UUID),))
    for devices, said in (
        ([], "no pmem device here holds"), ([other], "no pmem device here holds"), ([stranger], "holds"),
        ([PMEM, moved], "both hold"), ([replace(moved, size=2 << 30)], "has 2147483648 bytes"),
        ([replace(other, unread="/dev/pmem7: only root may")], "only root may"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            judge.find(TOLD, devices)


def test_a_control_that_kept_all_is_no_verdict() -> None:
    """By luck of eviction it may keep its data: nobody's fault, but no proof that a loss would have shown."""
    blank = CellResult("x", "local", "6.12", "ext4", Outcome.ERROR, 0.0, engine=Engine.POWER, kept=True)
    result = judge._explained(blank)
    assert result.outcome is Outcome.ERROR
    assert "no cut" not in result.error and "proves nothing" in result.error
    assert judge._CODES[Outcome.ERROR] == 3
    assert judge._explained(replace(blank, outcome=Outcome.PASS, kept=False)).error == ""


def test_no_run_has_the_engine_of_a_real_cut() -> None:
    """--engine power would promise a cut that a run does not make."""
    with pytest.raises(UsageError, match=r"known: plugin, trace, coverage$"):
        find_engine("power")


def recorded(text: str, *formats: str) -> Recorded:
    return Recorded("x.prog", parse("daxcheck program 1\n" + text), Wanted(formats))


SENSELESS = {
    "planted": ("plant ignore_flush 0 4K\ncreate f data\ncut_power\n", {}, "plants a fault"),
    "no cut": ("create f data\n", {}, "the power was not cut"),
    "memmap": ("create f data\ncut_power\n", {"kind": MemoryKind.MEMMAP, "persistence_domain": ""}, "ordinary memory"),
    "virtio": ("create f data\ncut_power\n", {"kind": MemoryKind.VIRTIO, "persistence_domain": ""}, "file of the host"),
    "firmware is silent": ("create f data\ncut_power\n", {"persistence_domain": ""}, "firmware does not say"),
    "eADR control": (
        "expect loss\ncreate f data\nfallocate f allocate 0 2M\nfsync f\nfsyncdir\nmmap m f 0 2M\nstore m 0 2M\n"
        "cut_power\n", {"persistence_domain": "cpu_cache"}, "can be lost",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "facts", "said"), SENSELESS.values(), ids=SENSELESS.keys())
def test_what_a_real_cut_cannot_tell_is_not_armed(text: str, facts: dict[str, object], said: str) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match=said):
        arm._refuse(recorded(text), replace(PMEM, **facts))  # type: ignore[arg-type]


def test_a_control_is_armed_where_caches_are_lost() -> None:
    """On ADR it is how a cut is shown to be one; on eADR other Programs are judged by what that promises."""
    arm._refuse(recorded("expect loss\ncreate f data\npwrite f 0 4K\ncut_power\n"), PMEM)
    eadr = replace(PMEM, persistence_domain="cpu_cache", write_cache=False)
    arm._refuse(recorded("create f data\npwrite f 0 4K\nfsync f\ncut_power\n"), eadr)


def test_one_file_system_is_armed() -> None:
    """What --fs says, with the format that the scenario asks for where that is one."""
    plain = recorded("create f data\ncut_power\n")
    assert arm._system(plain, "xfs:reflink").label == "xfs:reflink"
    one, two = (recorded("create f data\ncut_power\n", *words) for words in (("reflink",), ("reflink", "rmapbt")))
    assert arm._system(one, "xfs").label == arm._system(one, "xfs:reflink").label == "xfs:reflink"
    assert arm._system(two, "xfs:reflink").label == "xfs:reflink"
    for wanted, label, said in ((one, "ext4", "has no format"), (two, "xfs", "--fs xfs:reflink or --fs xfs:rmapbt"),
                                (plain, "ext4:linear", "in guests only"), (plain, "vfat", "unknown")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            arm._system(wanted, label)


@pytest.mark.parametrize("text", ["'unclosed", "no-such-program-of-mine power cycle"])
def test_a_power_command_that_cannot_be_run_is_refused(text: str) -> None:
    """Before anything is written, not when all is armed."""
    with pytest.raises(UsageError, match="--power"):
        arm._command(text)


def test_a_power_command_is_words_for_no_shell() -> None:
    """What the user quotes is one word, and nothing in it is expanded."""
    assert arm._command("printf '%s $HOME' ';reboot'") == ["printf", "%s $HOME", ";reboot"]
    assert arm._command("") == []


def test_a_machine_that_outlives_its_power_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that fails, does not end, or cuts nothing, ends the run as an infrastructure failure."""
    monkeypatch.setattr(arm, "ALIVE", 0.2)
    monkeypatch.setattr(arm, "COMMAND", 0.5)
    for words, said in (
        (["sh", "-c", "echo chassis is on fire; exit 3"], "ended with 3: chassis is on fire"),
        (["sleep", "60"], "timed out"), (["echo", "done"], "still has power; it said: done"),
    ):  # fmt: skip
        with pytest.raises(InfraError, match=said):
            arm._await_cut(words)


@pytest.mark.parametrize(("phase", "said"), [(ArmedPhase.ARMED, "not judged yet"), (ArmedPhase.JUDGED, "was judged")])
def test_an_armed_or_judged_run_is_not_overwritten(tmp_path: Path, phase: ArmedPhase, said: str) -> None:
    """What one cut has cost is not thrown away by the next."""
    armedrun.write(tmp_path, replace(TOLD, phase=phase))
    with pytest.raises(UsageError, match=said):
        arm._folder(tmp_path, PMEM)


@pytest.mark.parametrize("name", ["nothing/there", "file/below"])
def test_a_state_directory_has_a_place(tmp_path: Path, name: str) -> None:
    """Its parent is there."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is no directory"):
        arm._folder(tmp_path / name, PMEM)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no tmpfs here")
def test_memory_is_no_place_for_a_dossier() -> None:
    """By the kernel's own account of a real tmpfs."""
    with pytest.raises(UsageError, match="tmpfs, which is memory: name a directory that outlives"):
        arm._folder(Path("/dev/shm/daxcheck-no-such-state"), PMEM)


def test_what_another_cut_left_is_not_judged_for_this_one(tmp_path: Path) -> None:
    """The copy of a medium says not of which run it is: without its dossier it is in the way, and is not removed."""
    (tmp_path / "medium.img").touch()
    with pytest.raises(UsageError, match=r"holds medium\.img, what another cut left"):
        arm._folder(tmp_path, PMEM)
    assert (tmp_path / "medium.img").exists()


def done(*lines: str) -> ArmedRun:
    """Of a Program whose ops all succeeded."""
    program = parse("\n".join(("daxcheck program 1", *lines, "")))
    return replace(TOLD, program=program, results=tuple(OpResult(index) for index in range(len(program.ops))))


@pytest.mark.skipif(not shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin"), reason="no mkfs.ext4")
@pytest.mark.parametrize(("label", "offset"), [("ext4", 0x60), ("ext4:nojournal", 0x3A)])
def test_ext4_says_that_it_was_unmounted(label: str, offset: int) -> None:
    """Else a run whose process was killed before the cut would pass: its umount has flushed everything."""
    system = filesystem.find(label)
    with MemFile("medium", 64 * MIB) as medium:
        tool, *options = system.mkfs[:-1]
        argv = [str(shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin")), *options, str(medium.path)]
        subprocess.run(argv, check=True, pass_fds=(medium.fd,), capture_output=True)
        assert clean(TOLD, system, medium, Recovery("x"))
        assert not clean(TOLD, system, medium, Recovery("x", failure="no mount"))
        for words, killed in ("umount,mount", True), ("freeze", False), ("freeze,thaw", True), ("remount ro", False), (
            "remount ro,remount rw", True), ("remount dax=always", True):  # fmt: skip
            told = done("create f data", "close f", *words.split(","), "cut_power")
            assert clean(told, system, medium, Recovery("x")) is killed, words
        refused = done("create f data", "expect_errno EBUSY", "remount ro", "cut_power")
        refused = replace(refused, results=(*refused.results[:2], OpResult(2, errno=16), OpResult(3)))
        assert clean(refused, system, medium, Recovery("x"))
        # What a mount does: set needs_recovery, or clear EXT4_VALID_FS (ext4_load_journal, ext4_setup_super).
        medium.array[1024 + offset] ^= 4 if offset == 0x60 else 1
        assert not clean(TOLD, system, medium, Recovery("x"))


def test_the_kernel_says_that_xfs_was_unmounted() -> None:
    """Its log has no flag that a mount sets; whether it was recovered is in the kernel's words."""
    with MemFile("medium", MIB) as medium:
        for words, expected in (("XFS (pmem0): Starting recovery (logdev: internal)", False),
                                ("XFS (pmem0): Ending clean mount", True)):  # fmt: skip
            recovery = Recovery("x", console=words)
            assert clean(TOLD, filesystem.find("xfs"), medium, recovery) is expected


def test_one_scenario_is_recorded() -> None:
    """By the name that `daxcheck list` or a report gives it, or a part that only one has; its marks come along."""
    found = recording.record("punch_hole::page_inside_dirty_pmd", SCENARIOS)
    assert found.scenario == "test_punch_hole.py::test_page_inside_dirty_pmd"
    assert found.program.ops[-1] == PROGRAM.ops[-1]
    assert recording.record(found.scenario, SCENARIOS) == found
    marked = recording.record("reflink::clone_of_dirty_pmd", SCENARIOS)
    assert marked.wanted.formats == ("reflink",)


@pytest.mark.parametrize(("name", "said"), [
    ("punch_hole", "is a part of punch_hole::"), ("no_such", "no scenario 'no_such'"), ("gone.prog", "No such file"),
])  # fmt: skip
def test_what_is_not_one_scenario_is_refused(name: str, said: str) -> None:
    """A cut of the power is for one."""
    with pytest.raises(UsageError, match=said):
        recording.record(name, SCENARIOS)


def test_a_program_file_is_recorded(tmp_path: Path) -> None:
    """As it stands there, for any format."""
    path = tmp_path / "x.prog"
    path.write_text("daxcheck program 1\ncreate f data\ncut_power\n")
    assert recording.record(str(path), SCENARIOS) == recorded("create f data\ncut_power\n")


def test_arm_names_a_device_twice() -> None:
    """The safety is that of `daxcheck run`, and comes before all else that could write."""
    options = argparse.Namespace(
        scenario="punch_hole::page_inside_dirty_pmd", fs="ext4", power="", target="/dev/pmem99", erase="/dev/pmem98",
        erase_signature="", state=Path("/nonexistent/state"), seed=1,
    )  # fmt: skip
    with pytest.raises(UsageError, match="must be the same name"):
        arm.main(options)


class Left:
    """What LocalTarget.recover tells of a medium."""

    def __init__(
        self, source: Stamp | None, console: str = "XFS: Starting recovery", failure: str = "", able: bool = True
    ) -> None:
        self.segments = (Segment(0, 4096, source),) if source else ()
        self.console = console
        self.failure = failure
        self.able = able
        self.recovered = 0

    def golden(self, system: FileSystem) -> None:
        if not self.able:
            raise SetupError("a fresh xfs cannot be mounted with DAX")

    def recover(self, crashes: Iterable[CrashImage], *_: object) -> Iterator[Recovery]:
        for crash in crashes:
            self.recovered += 1
            with crash.media:
                view = FileView("data", 4096 if self.segments else 0, self.segments)
                yield Recovery(crash.name, (view,), console=self.console, failure=self.failure)


def judged(told: ArmedRun, left: Left) -> CellResult:
    with MemFile("medium", MIB) as medium:
        target = PowerTarget(told, medium, left)  # type: ignore[arg-type]
        cell = cell_on(target, told.scenario, told.program, filesystem.find(told.fs), told.seed)
        return judge_cell(target, cell).result


QUIET = replace(TOLD, fs="xfs", complaints=())


def test_a_real_cut_is_judged_as_any_other() -> None:
    """By the same oracle: what fsync promised is there or is lost, by name; the result says what it rests on."""
    kept = judged(QUIET, Left(Stamp(1, 1)))
    assert (kept.outcome, kept.engine, kept.kernel, kept.images, kept.error) == ("PASS", "power", "6.12.95", 1, "")
    lost = judged(QUIET, Left(Stamp(2, 1)))
    assert lost.outcome is Outcome.FAIL
    assert {violation.image for violation in lost.violations} == {"power cut"}


def test_what_was_wrong_before_the_cut_counts() -> None:
    """What the kernel complained about, and what an op read, is on record and survives any recovery."""
    assert judged(replace(QUIET, complaints=TOLD.complaints), Left(Stamp(1, 1))).outcome is Outcome.FAIL
    wrong = OpResult(3, segments=(Segment(0, 4096, Zero()),))
    results = (*QUIET.results[:3], wrong, *QUIET.results[4:])
    assert judged(replace(QUIET, results=results), Left(Stamp(1, 1))).outcome is Outcome.FAIL


def test_a_run_that_was_let_go_before_the_cut_is_not_judged() -> None:
    """It would pass whatever the kernel forgot: the umount flushes all."""
    result = judged(QUIET, Left(Stamp(1, 1), "XFS (pmem0): Ending clean mount"))
    assert result.outcome is Outcome.ERROR
    assert "unmounted before the power was cut" in result.error


def test_a_medium_that_does_not_mount_is_held_against_a_fresh_one() -> None:
    """After the boot it may be another kernel, which mounts none: that is no verdict. Each time the device ends with
    what the cut left, by which it is known."""
    broken, unable = Left(None, failure="no mount"), Left(None, failure="no mount", able=False)
    assert [one.kind for one in judged(QUIET, broken).violations] == ["recovery"]
    result = judged(QUIET, unable)
    assert (result.outcome, result.violations) == (Outcome.ERROR, ())
    assert "a fresh xfs cannot be mounted" in result.error
    assert broken.recovered == unable.recovered == 2


def test_a_control_is_told_by_what_it_lost() -> None:
    """A control that lost shows that the cut is one; one that kept is no verdict."""
    control = replace(QUIET.program, ops=(*QUIET.program.ops[:2], *QUIET.program.ops[3:]), expect=Expect.LOSS)
    results = (*QUIET.results[:2], replace(QUIET.results[3], index=2), OpResult(3))
    told = replace(QUIET, program=control, results=results)
    kept = judged(told, Left(Stamp(1, 1)))
    assert (kept.outcome, kept.kept) == (Outcome.ERROR, True)
    assert judged(told, Left(None)).outcome is Outcome.PASS
