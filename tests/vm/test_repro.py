"""Reproducers in guests with Debian's kernels: each says LOST where its kernel is known to lose, and covered elsewhere.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.findings import knownfile
from harness.kernel.kernel import Kernel
from harness.model.cell import short
from harness.model.program.program import Program
from harness.model.setting import version
from harness.pytestplugin import recording
from harness.pytestplugin.arguments import SCENARIOS
from harness.repro.source import source

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())")
SECONDS = 1200.0
"""Seconds for one guest, which may have to take its snapshot first."""
Programs = dict[str, Program]
UNTRACED = {"memory_failure::failed_page_punched"}
"""Known findings that no reproducer is to show: it would poison a page of this guest, and the next would see it."""
CASES = {
    "6.12-ext4": (
        {"punch_hole::page_inside_dirty_pmd", "zero_range::page_inside_dirty_pmd", "truncate::down_inside_dirty_pmd"},
        {"controls::store_msync_pmd", "punch_hole::hole_elsewhere_dirty_pmd"},
    ),
    "7.3-ext4": (
        {"punch_hole::hole_elsewhere_dirty_pmd", "truncate::up_keeps_dirty_pte", "shift::collapse_behind_dirty_pmd"},
        {"controls::store_msync_pmd", "controls::store_msync_pte"},
    ),
    "7.3-xfs": (
        {"punch_hole::page_inside_dirty_pmd", "zero_range::range_elsewhere_dirty_pte"},
        {"controls::store_msync_pmd", "controls::store_msync_pte"},
    ),
    "6.1-ext4": (
        {"zero_range::page_inside_dirty_pmd", "truncate::down_inside_dirty_pmd"},
        {"punch_hole::page_inside_dirty_pmd", "controls::store_msync_pmd"},
    ),
    "6.12-xfs": (
        {"truncate::down_inside_dirty_pmd"}, {"punch_hole::page_inside_dirty_pmd", "zero_range::page_inside_dirty_pmd"},
    ),
    "6.1-xfs": (set(), {"truncate::down_inside_dirty_pmd", "punch_hole::page_inside_dirty_pmd"}),
}  # fmt: skip
"""By kernel and file system the scenarios that lose there, and some that do not."""
BY_DAY = "7.3-xfs"


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> Kernel:
    found = request.getfixturevalue(f"kernel_{request.param.partition('-')[0].replace('.', '_')}")
    assert isinstance(found, Kernel)
    return found


@pytest.fixture(scope="session")
def programs() -> Programs:
    """The Program of each scenario, by its short name."""
    return {short(name): one.program for name, one in recording.record_all(SCENARIOS).items()}


def codes(kernel: Kernel, fs: str, chosen: Programs, path: Path) -> Iterator[tuple[str, int, str]]:
    """Build the reproducer of each scenario and run them in one guest: scenario, exit code, last line."""
    files: list[str] = []
    script = []
    for number, (scenario, program) in enumerate(chosen.items()):
        (path / "repro.c").write_text(source(program))
        subprocess.run(["gcc", "-static", "-s", "-O2", "-pthread", "-o", path / f"repro{number}", path / "repro.c"],
                       check=True)  # fmt: skip
        files += ["--file", str(path / f"repro{number}")]
        script.append(f"/tmp/repro{number} /mnt > /tmp/said; code=$?; echo {scenario} $code $(tail -n 1 /tmp/said)\n")
    # In /mnt the shell would keep the file system busy.
    done = subprocess.run([*COMMAND, "shell", "--kernel", kernel.digest, "--fs", fs, *files],
                          input="cd /\n" + "".join(script), capture_output=True, text=True, cwd=ROOT, timeout=SECONDS,
                          check=False)  # fmt: skip
    for line in done.stdout.splitlines():
        name, code, *words = line.split()
        yield name, int(code), " ".join(words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kernel", "case"),
    [pytest.param(name, name, marks=() if name == BY_DAY else pytest.mark.nightly, id=name) for name in CASES],
    indirect=["kernel"],
)
def test_known_findings(kernel: Kernel, case: str, programs: Programs, tmp_path: Path) -> None:
    """LOST and 1 for each finding, covered and 0 for what the kernel keeps."""
    lost, kept = CASES[case]
    chosen = {name: programs[name] for name in lost | kept}
    found = {name: (code, last) for name, code, last in codes(kernel, case.partition("-")[2], chosen, tmp_path)}
    assert found.keys() == lost | kept
    assert {name: found[name] for name in lost if not is_lost(*found[name])} == {}
    assert {name: found[name] for name in kept if not is_covered(*found[name])} == {}


def is_covered(code: int, last: str) -> bool:
    """Say whether a reproducer ended so."""
    return code == 0 and re.fullmatch(r"covered (\d+) of \1 promised pages", last) is not None


def is_lost(code: int, last: str) -> bool:
    """Say whether a reproducer ended so."""
    return code == 1 and re.fullmatch(r"LOST [1-9]\d* of \d+ promised pages", last) is not None


def known_scenarios(kernel: Kernel, fs: str) -> set[str]:
    """The scenarios that lose dirty entries there on every run, by a known issue, without a format of the file system.

    What other issues break no event tells of: zeroes past the end that show a store, for one.
    """
    release = version.of_release(kernel.release)
    assert release is not None
    return {
        scenario for issue in knownfile.load((), own=True).issues for where in issue.where
        if any(version.within(release, series) for series in where.kernels) and fs in where.systems
        and where.formats == ("",) and not where.flaky
        and all(signature.startswith("dropped; ") for signature in issue.signatures) for scenario in where.scenarios
    }  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize(("kernel", "case"), [pytest.param(name, name, id=name) for name in CASES], indirect=["kernel"])
def test_every_known_finding(kernel: Kernel, case: str, programs: Programs, tmp_path: Path) -> None:
    """Each scenario that always fails there for a known cause has a reproducer that says LOST."""
    fs = case.partition("-")[2]
    wanted = known_scenarios(kernel, fs) - UNTRACED
    assert bool(wanted) == bool(CASES[case][0])
    if not wanted:
        return
    chosen = {name: programs[name] for name in wanted}
    found = {name: (code, last) for name, code, last in codes(kernel, fs, chosen, tmp_path)}
    assert found.keys() == wanted
    assert {name: one for name, one in found.items() if not is_lost(*one)} == {}


@pytest.mark.nightly
def test_a_sync_that_is_left_out(kernel_6_12: Kernel, programs: Programs, tmp_path: Path) -> None:
    """On a kernel that keeps all, a reproducer whose sync was taken out says LOST: it does not pass unseen."""
    text = source(programs["controls::store_msync_pte"])
    spoilt = re.sub(r"CHECK\(!msync\([^;]*;", "", text)
    assert spoilt != text
    (tmp_path / "repro.c").write_text(spoilt)
    subprocess.run(["gcc", "-static", "-s", "-O2", "-o", tmp_path / "repro", tmp_path / "repro.c"], check=True)
    done = subprocess.run([*COMMAND, "shell", "--kernel", kernel_6_12.digest, "--fs", "xfs", "--file",
                           str(tmp_path / "repro"), "-c", "/tmp/repro /mnt"], capture_output=True, text=True, cwd=ROOT,
                          timeout=SECONDS, check=False)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == "LOST 64 of 64 promised pages"
