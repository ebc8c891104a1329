"""Loading the packages that write to this machine's devices loads nothing of the virtual machines, even indirectly."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("package", ["box", "powercut", "targets.engines"])
def test_real_hardware_loads_no_vm(package: str) -> None:
    """A fresh interpreter that imports every module of the package has loaded none of harness.vm."""
    folder = ROOT.joinpath("harness", *package.split("."))
    names = [f"harness.{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
    assert names
    source = f"import sys, {', '.join(names)}; print(sorted(m for m in sys.modules if m.startswith('harness.vm')))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
