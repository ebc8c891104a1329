"""A bisection as a maintainer does it: a run shows a loss, `git bisect run daxcheck bisect-step` names the commit.

By day the kernels are those of the cache, which a stand-in for a source tree only copies; by night a source of Debian
is built, in which one commit plants the fault.
"""

import functools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import cachedir
from harness.kernel import buildtools, debian
from harness.kernel.apt import Apt
from harness.kernel.kernel import Kernel, version_key

Daxcheck = Any
SCENARIO = ("-k", "punch_hole and page_inside_dirty_pmd", "--fs", "ext4", "--no-known")
SERIES = "6.1"
"""The series of Linux whose ext4 keeps what is around a hole."""
LAST = 3 * 3600.0
"""Seconds for a bisection whose kernels are built: twenty minutes each on two idle processors, if nothing is cached."""

COPY = """\
VERSION = 6
PATCHLEVEL = 1
kernel := $(shell cat which)

allnoconfig:
	cp $(kernel)/config $(O)/.config

bzImage:
	mkdir -p $(O)/arch/x86/boot
	cp $(kernel)/vmlinuz $(O)/arch/x86/boot/bzImage
	cp -r $(kernel)/modules/kernel/. $(kernel)/modules/modules.* $(O)
	find $(O) -name '*.ko.xz' -exec xz -df {} +
"""
"""A makefile whose bzImage is a kernel of the cache, with modules as a build tree has them."""


def git(tree: Path, *words: str) -> str:
    settings = ("user.name=x", "user.email=x@example.org", "commit.gpgsign=false", "gc.auto=0", "core.autocrlf=false")
    options = [part for one in settings for part in ("-c", one)]
    return subprocess.run(["git", "-C", str(tree), *options, *words], check=True, capture_output=True, text=True).stdout


def commit(tree: Path, subject: str) -> str:
    """Commit all that there is; the commit's name."""
    git(tree, "add", "-A", "-f")
    git(tree, "commit", "-q", "-m", subject)
    return git(tree, "rev-parse", "HEAD").strip()


def bisected(daxcheck: Daxcheck, tree: Path, good: str, *words: str | Path, seconds: float) -> str:
    """The commit that `git bisect run daxcheck bisect-step` finds between `good` and HEAD."""
    git(tree, "bisect", "start", "HEAD", good)
    step = daxcheck.start("bisect-step", *words, prefix=("git", "-C", str(tree), "bisect", "run"))
    code, said = step.wait(seconds), step.output()
    print(said)
    assert code == 0, said
    found = re.search(r"^([0-9a-f]{40}) is the first bad commit$", said, re.MULTILINE)
    assert found, said
    return found[1]


@pytest.mark.nightly
def test_kernels_of_the_cache(kernel_6_1: Kernel, kernel_6_12: Kernel, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """The results of the failing run are all that the step is told; the sound kernel is good, the other one bad."""
    tree, out = tmp_path / "linux", tmp_path / "out"
    tree.mkdir()
    git(tree, "init", "-q")
    (tree / "Makefile").write_text(COPY)
    names = []
    for number, kernel in enumerate((kernel_6_1, kernel_6_1, kernel_6_12, kernel_6_12)):
        (tree / "which").write_text(f"{kernel.image.parent}\n")
        (tree / "number").write_text(f"{number}\n")
        names.append(commit(tree, f"commit {number}"))
    code, said = daxcheck.run("run", *SCENARIO, "--kernel", kernel_6_12.digest, "--results", out)
    assert code == 1, said
    (program,) = out.glob("*.prog")
    step = (program, "--build", tree, "--out", tmp_path / "build")
    assert bisected(daxcheck, tree, names[0], *step, seconds=1200.0) == names[2]
    assert git(tree, "status", "--porcelain", "--ignored") == ""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest source of Linux 6.1 that Debian 12 has, unpacked."""
    if lacking := buildtools.missing():
        pytest.skip(f"kernels cannot be built here: {buildtools.remedy(lacking)}")
    top = tmp_path_factory.mktemp("source")
    name, suite = f"linux-source-{SERIES}", "bookworm"
    with cachedir.locked(debian.AREA, suite):
        apt = Apt.prepare(suite, cachedir.root() / debian.AREA / suite)
        apt.update(print)
        package = max(apt.show((name,)), key=lambda one: version_key(one.version))
        deb = apt.download(package, top, print)
    subprocess.run(["dpkg-deb", "-x", deb, top / "package"], check=True)
    subprocess.run(["tar", "-xf", top / f"package/usr/src/{name}.tar.xz", "-C", top], check=True)
    shutil.rmtree(top / "package")
    return top / name


def edited(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1, f"{path} is not the source that this test was written for"
    path.write_text(text.replace(before, after))


WRITEBACK = """\
\tif (mapping_tagged(mapping, PAGECACHE_TAG_DIRTY)) {
\t\tret = filemap_write_and_wait_range(mapping, offset,
\t\t\t\t\t\t   offset + length - 1);
\t\tif (ret)
\t\t\treturn ret;
\t}

\tinode_lock(inode);

\t/* No need to punch hole beyond i_size */
"""
"""What ext4_punch_hole does before it drops the page cache: dirty entries are written, so that none is lost."""


@pytest.mark.nightly
def test_a_commit_of_linux(source: Path, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """A commit takes the writeback out of ext4_punch_hole: it is found among four, and the tree stays as it is."""
    git(source, "init", "-q")
    inode = source / "fs/ext4/inode.c"
    changes: list[Callable[[], object]] = [
        lambda: None,
        functools.partial(edited, source / "README", "Linux kernel", "The Linux kernel"),
        functools.partial(edited, inode, WRITEBACK, WRITEBACK[WRITEBACK.index("\tinode_lock") :]),
        functools.partial(edited, inode, "punches a hole in a file", "makes a hole in a file"),
    ]
    names = []
    for number, change in enumerate(changes):
        change()
        names.append(commit(source, f"commit {number}"))
    build, out = tmp_path / "build", tmp_path / "out"
    started = daxcheck.start("kernel", "build", source, "--out", build)
    assert started.wait(LAST) == 0, started.output()
    code, said = daxcheck.run("run", *SCENARIO, "--kernel", build, "--results", out)
    assert code == 1, said
    assert "ext4_punch_hole drops a dirty PMD entry without writeback" in said
    (program,) = out.glob("*.prog")
    step = (program, "--build", source, "--out", build)
    assert bisected(daxcheck, source, names[0], *step, seconds=LAST) == names[2]
    assert git(source, "status", "--porcelain", "--ignored") == ""
