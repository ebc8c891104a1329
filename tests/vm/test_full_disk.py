"""A full disk, as a tiny tmpfs in a mount namespace of its own: one line, exit code 2, nothing half-written."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import cachedir, progfile
from harness.model.program.program import parse
from harness.targets.guest import GuestTarget

Daxcheck = Any
MakeCache = Callable[..., Path]
TINY = ("unshare", "--mount", "sh", "-c")
INSIDE = """
mount -t tmpfs -o "size=$SIZE" tiny "$TINY" || exit 77
[ -z "$FILL" ] || cp -a "$FILL/." "$TINY"
"$@"
code=$?
cp -a "$TINY/." "$KEPT"
exit $code
"""


@pytest.fixture(autouse=True)
def root_only() -> None:
    if os.geteuid():
        pytest.skip("only root can mount a tmpfs that is too small")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")


@pytest.fixture
def tiny(daxcheck: Daxcheck, tmp_path: Path) -> Callable[..., tuple[int, str, Path]]:
    """Runs daxcheck with a directory `size` small, that holds what `fill` holds; gives what was in it at the end."""
    place, kept = tmp_path / "tiny", tmp_path / "kept"
    place.mkdir()
    kept.mkdir()

    def run(size: str, *argv: str | Path, fill: str = "", **environment: str) -> tuple[int, str, Path]:
        variables = {"SIZE": size, "TINY": str(place), "KEPT": str(kept), "FILL": fill}
        code, said = daxcheck.run(*argv, prefix=(*TINY, INSIDE, "sh"), env={**variables, **environment})
        if code == 77:
            pytest.skip(f"no tmpfs can be mounted here: {said}")
        return code, said, kept

    return run


def complaint(said: str) -> str:
    """The one thing that is said, however often the layers between repeat it."""
    assert "Traceback" not in said and "INTERNALERROR" not in said, said
    lines = {line.partition("daxcheck: ")[2].rstrip(" !") for line in said.splitlines() if "daxcheck: " in line}
    lines |= {line.partition("ERROR: ")[2] for line in said.splitlines() if line.startswith("ERROR: ")}
    (line,) = lines
    return line


@pytest.mark.nightly
def test_results_on_a_full_disk(
    target_6_1: GuestTarget, kept_file: Path, tmp_path: Path, tiny: Callable[..., tuple[int, str, Path]]
) -> None:
    """When --results cannot hold another cell the run stops with one line; what was judged is whole."""
    options = ["--kernel", target_6_1.kernel.digest, "--fs", "ext4", "--repeat", "9"]
    code, said, kept = tiny("8k", "run", kept_file, *options, "--results", tmp_path / "tiny")
    assert code == 2, said
    line = complaint(said)
    assert str(tmp_path / "tiny") in line and "No space left on device" in line
    journal = (kept / "results.jsonl").read_bytes()
    assert journal.endswith(b"\n")
    cells = [json.loads(line) for line in journal.splitlines()]
    assert cells and all(cell["outcome"] == "PASS" for cell in cells)
    assert all(progfile.read(path).program == parse(cells[0]["program"]) for path in kept.glob("*.prog"))


def test_results_that_never_fit(
    target_6_1: GuestTarget, kept_file: Path, tmp_path: Path, tiny: Callable[..., tuple[int, str, Path]]
) -> None:
    """A disk that is full from the first cell on leaves no half of a Program or a line."""
    options = ["--kernel", target_6_1.kernel.digest, "--fs", "ext4"]
    code, said, kept = tiny("4k", "run", kept_file, *options, "--results", tmp_path / "tiny")
    assert code == 2, said
    assert "No space left on device" in complaint(said)
    assert (kept / "results.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("size", "areas"),
    [
        pytest.param("4m", (), id="kernel"),
        pytest.param("48m", ("kernels", "plugin"), id="initramfs", marks=pytest.mark.nightly),
        pytest.param("160m", ("kernels", "initramfs", "plugin"), id="snapshot"),
    ],
)
def test_a_cache_on_a_full_disk(
    target_6_1: GuestTarget, kept_file: Path, tmp_path: Path, private_cache: MakeCache,
    tiny: Callable[..., tuple[int, str, Path]], size: str, areas: tuple[str, ...],
) -> None:  # fmt: skip
    """When the cache's disk is full the run ends with one line that names the cache and what to do; no entry is
    half-made."""
    fill = str(private_cache(target_6_1, areas)) if areas else ""
    kernel = target_6_1.kernel.digest if areas else target_6_1.kernel.image
    arguments = ["run", kept_file, "--kernel", kernel, "--fs", "ext4"]
    code, said, kept = tiny(size, *arguments, fill=fill, XDG_CACHE_HOME=str(tmp_path / "tiny"))
    assert code == 2, said
    line = complaint(said)
    assert "no space left" in line and str(tmp_path / "tiny") in line and "XDG_CACHE_HOME" in line
    assert not list(kept.rglob(".tmp-*"))
    made = {path.name for path in (kept / "daxcheck").glob("[!.]*") if any(path.glob("[!.]*"))}
    assert made - {cachedir.REMEMBERED} == set(areas)
