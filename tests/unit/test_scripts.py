"""Laws of scripts/: what they refuse, they refuse in words, before touching anything.

`scripts/setup` runs here in a user namespace, where it cannot change this machine whoever runs the tests.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.kernel import buildtools

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([*(path for path in (ROOT / "scripts").iterdir() if not path.suffix), ROOT / ".ci" / "run"])
SETUP = str(ROOT / "scripts" / "setup")

HIDDEN = {"gcc", "xz", "pkg-config"}
"""Programs that the bare machine below lacks."""

NAMESPACE = ("unshare", "--user")
"""Nobody: an unmapped user."""
ROOT_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
"""Root of nothing but a private mount table."""


@pytest.fixture
def namespaces() -> None:
    answer = subprocess.run([*ROOT_NAMESPACE, "true"], capture_output=True, text=True)
    if answer.returncode:
        pytest.skip(f"no user namespaces here: {answer.stderr.strip()}")


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH that holds /usr/bin without HIDDEN."""
    if Path("/usr/sbin").resolve() == Path("/usr/bin"):
        pytest.skip("sbin is bin here, and scripts/setup looks there: nothing can be hidden")
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name not in HIDDEN:
            (bin_dir / program.name).symlink_to(program)
    return str(bin_dir)


def run_setup(tmp_path: Path, *command: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": path, "DAXCHECK_VENV": str(tmp_path / "venv")}
    return subprocess.run([*command], capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_strict(script: Path) -> None:
    """Every script can be run; those for bash parse and stop at the first failure."""
    assert os.access(script, os.X_OK)
    if script.read_text().startswith("#!/usr/bin/env bash\n"):
        assert "\nset -euo pipefail\n" in script.read_text()
        subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.usefixtures("namespaces")
def test_without_root_the_command_is_printed(tmp_path: Path, bare_path: str) -> None:
    """A user who is not root gets the list of what is missing, the command that brings it, and 2."""
    answer = run_setup(tmp_path, *NAMESPACE, SETUP, path=bare_path)
    assert answer.returncode == 2
    for program in HIDDEN:
        assert f"  {program}: " in answer.stderr
    assert f"{SETUP} --system" in answer.stderr.splitlines()[-1] or "not Debian 12 or 13" in answer.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.usefixtures("namespaces")
def test_an_unknown_distribution_is_named(tmp_path: Path, bare_path: str) -> None:
    """Not even root gets packages installed on a distribution whose names for them are not known."""
    release = tmp_path / "os-release"
    release.write_text('ID=other\nVERSION_ID="13"\nPRETTY_NAME="Other Linux 13"\n')
    script = f'mount --bind "{release}" /etc/os-release && exec "{SETUP}"'
    answer = run_setup(tmp_path, *ROOT_NAMESPACE, "bash", "-c", script, path=bare_path)
    assert answer.returncode == 2
    assert "  gcc: builds the persistence plugin" in answer.stderr.splitlines()
    assert answer.stderr.splitlines()[-1].startswith("setup: this is Other Linux 13, not Debian 12 or 13")
    assert not (tmp_path / "venv").exists()


@pytest.mark.usefixtures("namespaces")
def test_a_directory_that_is_no_venv_is_left_alone(tmp_path: Path) -> None:
    """DAXCHECK_VENV may name the wrong directory: nothing in it is deleted."""
    precious = tmp_path / "venv" / "precious"
    precious.parent.mkdir()
    precious.write_text("mine")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("scripts/setup stops before it comes to the venv: QEMU is missing")
    answer = run_setup(tmp_path, *NAMESPACE, SETUP)
    assert answer.returncode == 1
    assert "is there and is no venv" in answer.stderr
    assert [path.name for path in precious.parent.iterdir()] == ["precious"]


@pytest.mark.usefixtures("namespaces")
def test_what_kernels_are_built_with_is_installed_on_demand(tmp_path: Path, bare_path: str) -> None:
    """scripts/setup asks for it with --kernel-build alone, and then for all of it; the command says so too."""
    for name in ("flex", "bison", "bc"):
        (Path(bare_path) / name).unlink(missing_ok=True)
    told = {words: run_setup(tmp_path, *NAMESPACE, SETUP, *words, path=bare_path).stderr
            for words in ((), ("--kernel-build",))}  # fmt: skip
    assert "builds kernels" not in told[()]
    assert told["--kernel-build",].count("builds kernels") >= 3
    assert told["--kernel-build",].splitlines()[-1].rstrip('"').endswith(("--system --kernel-build", "run this again"))
    text = Path(SETUP).read_text()
    assert [tool.package for tool in buildtools.TOOLS if f"\n  need {tool.package} " not in text] == []


def test_controls_in_turn(request: pytest.FixtureRequest) -> None:
    """By day each control runs once on each file system, and each kernel has some on each; on one kernel all run."""
    (conftest,) = [
        plugin for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(ROOT / "tests" / "conftest.py")
    ]  # fmt: skip
    names, systems = [f"control{number}" for number in range(18)], ("ext4", "xfs")
    for kernels in (["6.1.0-50-amd64"], ["6.12"], ["6.1.0-50-amd64", "6.12", "7.3"]):
        cells = [(name, f"{kernel}-{fs}") for name in names for kernel in kernels for fs in systems]
        day = [cell for cell, is_day in zip(cells, conftest.in_turn(cells), strict=True) if is_day]
        for name in names:
            mine = [where.rpartition("-")[::2] for one, where in day if one == name]
            assert sorted(fs for _, fs in mine) == list(systems)
            assert len({kernel for kernel, _ in mine}) == min(len(kernels), 2)
        assert {where for _, where in day} == {where for _, where in cells}
