"""daxcheck as a wheel in a virtual environment of its own, outside any checkout, in a project with other settings."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from harness.kernel.kernel import Kernel

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("__pycache__", "*.egg-info", ".*", "build", "dist", "results")
MINUTES = 600.0
"""Seconds for a command: a snapshot may have to be taken, on a busy machine."""


def call(*argv: str | Path, cwd: Path, code: int = 0) -> str:
    """What a command prints that ends with `code`, started as by a user to whom no checkout is known."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=MINUTES, check=False)  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `daxcheck` of a fresh virtual environment into which the wheel was installed, without the network.

    The environment sees this one's dependencies, but not the checkout that this one has as daxcheck: a path that a
    .pth file names is not searched for more .pth files, and by such a file a checkout is installed.
    """
    top = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
    source = top / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT_OUT))
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", top, source, cwd=top)
    (wheel,) = top.glob("daxcheck-*.whl")
    call(sys.executable, "-m", "venv", "--without-pip", top / "venv", cwd=top)
    python = top / "venv" / "bin" / "python"
    (library,) = (top / "venv" / "lib").glob("python*/site-packages")
    (library / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    call(*pip, "--python", python, "install", "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=top)
    found = call(python, "-c", "import harness; print(harness.__file__)", cwd=top).strip()
    assert found == str(library / "harness" / "__init__.py")
    return top / "venv" / "bin" / "daxcheck"


@pytest.fixture
def project(installed: Path) -> Path:
    """A project around the virtual environment, whose pytest settings are not for daxcheck."""
    top = installed.parents[2]
    (top / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (top / "conftest.py").write_text("raise RuntimeError('loaded')\n")
    return top


def test_it_brings_its_scenarios_and_its_plugin(installed: Path, project: Path) -> None:
    """`doctor` builds the plugin, `list` names what the checkout's scenarios are."""
    assert "plugin      loads: " in call(installed, "doctor", cwd=project)
    here = call(sys.executable, "-m", "pytest", "--collect-only", "-q", "scenarios/test_punch_hole.py", cwd=ROOT)
    wanted = {line.partition("[")[0] for line in here.splitlines() if "::" in line}
    listed = call(installed, "list", "-k", "test_punch_hole.py", cwd=project).splitlines()
    assert wanted == {line for line in listed if "::" in line} != set()


@pytest.mark.parametrize("workers", [pytest.param("0", marks=pytest.mark.nightly), "1"])
def test_it_judges(installed: Path, project: Path, kernel_6_12: Kernel, workers: str) -> None:
    """It runs a scenario, in its own process or in a worker; the verdict is the one known of this kernel, by the known
    issues that were installed with it."""
    told = call(installed, "run", "--kernel", kernel_6_12.digest, "--fs", "ext4", "-n", workers,
                "-k", "punch_hole and page_inside_dirty_pmd", cwd=project)  # fmt: skip
    assert "msync returned 0, 511 of 512 pages of data[0..2M) hold the older store" in told
    assert "[ext4-punch-hole]" in told


def test_a_program_in_a_project(installed: Path, project: Path, kernel_6_12: Kernel) -> None:
    """A Program is judged by daxcheck's settings alone, in whatever project it lies."""
    path = project / "x.prog"
    path.write_text("daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\ncut_power\n")
    told = call(installed, "run", "--kernel", kernel_6_12.digest, "--fs", "ext4", path, cwd=project)
    assert "[1/1] ok " in told
