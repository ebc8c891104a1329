"""Laws of what is handed on: wheel and sdist hold all that a checkout runs with, and nothing beside it."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness import shipped

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("__pycache__", "*.egg-info", ".*", "build", "dist", "results")
CODE = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
"""What pip runs of the build backend, in the directory of the source, and without the network."""


def build(kind: str, source: Path, out: Path) -> Path:
    done = subprocess.run([sys.executable, "-c", CODE, kind, str(out)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = out.iterdir()
    return made


def names(path: Path, prefix: str = "") -> set[str]:
    """The files of a wheel, below a directory of it."""
    with zipfile.ZipFile(path) as wheel:
        return {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}


def checkout(*patterns: str) -> set[str]:
    paths: Iterable[Path] = (path for pattern in patterns for path in ROOT.glob(pattern))
    return {str(path.relative_to(ROOT)) for path in paths if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, since a build leaves directories in it."""
    return Path(shutil.copytree(
        ROOT, tmp_path_factory.mktemp("source") / "daxcheck", ignore=shutil.ignore_patterns(*LEFT_OUT)
    ))  # fmt: skip


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    out = tmp_path_factory.mktemp("sdist")
    shutil.unpack_archive(build("build_sdist", source, out), out)
    (top,) = (path for path in out.iterdir() if path.is_dir())
    return top


def test_the_wheel_carries_what_a_checkout_runs_with(wheel: Path) -> None:
    """Scenarios, plugin sources, the kernel's options and the parts of a page lie in the wheel, below the one package
    that it installs."""
    assets = checkout("harness/report/html/assets/*")
    assert "harness/report/html/assets/style.css" in assets and assets <= names(wheel)
    wanted = checkout("scenarios/**/*.py", "scenarios/known/*.toml", "qemu/**/*")
    assert {"scenarios/conftest.py", "qemu/plugin/persist.c", "qemu/kernel.config"} <= wanted
    found = names(wheel, "harness/")
    assert found - checkout("harness/**/*") >= wanted
    assert {name for name in found if name.startswith(("qemu/", "scenarios/"))} == wanted
    assert {f"harness/{name}" for name in found if name.endswith(".py")} - checkout("harness/**/*.py") == {
        f"harness/{name}" for name in wanted if name.endswith(".py")
    }
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"harness"}  # no top-level qemu: PyPI's has it


def test_the_sdist_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    """The sdist holds all that is installed, scenarios and plugin sources too: the wheel made of it is the same."""
    assert names(build("build_wheel", sdist, tmp_path)) == names(wheel)
    for name in checkout("harness/**/*.py", "qemu/**/*", "scenarios/**/*"):
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes(), name


def test_the_image_copies_what_the_wheel_needs(source: Path, wheel: Path, tmp_path: Path) -> None:
    """The Containerfile's COPY lines bring a source of which the whole wheel can be made."""
    lines = (line.split() for line in (ROOT / "Containerfile").read_text().splitlines())
    for *sources, target in (words[1:] for words in lines if words[:1] == ["COPY"]):
        for name in sources:
            place = tmp_path / target.removeprefix("/usr/src/")
            place = place / name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
            copy(source / name, place)
    assert names(build("build_wheel", tmp_path / "daxcheck", tmp_path / "out")) == names(wheel)


def test_a_neighbour_of_the_same_name_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed daxcheck finds its own files, not those that another distribution put beside it."""
    package = tmp_path / "site-packages" / "harness"
    (package / "scenarios").mkdir(parents=True)
    (package.parent / "scenarios").mkdir()
    monkeypatch.setattr(shipped, "PACKAGE", package)
    assert shipped.place("scenarios") == package / "scenarios"
    shutil.rmtree(package / "scenarios")  # a checkout: nothing below the package
    assert shipped.place("scenarios") == package.parent / "scenarios"
