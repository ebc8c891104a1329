"""Laws of harness.kernel.build: out of the tree, only what has changed, with all that daxcheck needs, or clear words.

The trees are stand-ins whose makefile copies a file; make, the files and the signals are real.
"""

import fcntl
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.deadline import Deadline, poll
from harness.errors import SetupError, UsageError
from harness.kernel import build, buildconfig, buildtools, cache, config, local, making
from harness.kernel.build import BuildError, BuildOrder
from tests.unit.kernel import stubtree
from tests.unit.kernel.stubtree import bzimage

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", stubtree.search_path(tmp_path / "bin"))


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A source tree; whatever was done with it, it is as it was."""
    top = stubtree.write(tmp_path / "linux", "a kernel")
    yield top
    assert sorted(path.name for path in top.rglob("*")) == ["Makefile", "image.c", "unknown-options"]


def ordered(tree: Path, out: Path | None = None) -> BuildOrder:
    return BuildOrder.checked(tree, buildconfig.choose(buildconfig.SMALL), out)


def test_a_build_is_a_kernel(tree: Path, home: Path) -> None:
    """What was built is a build tree that `--kernel` takes, its configuration is the fragment, and the log is whole."""
    said: list[str] = []
    out = build.build(ordered(tree), said.append)
    assert out.is_relative_to(home / build.AREA)
    kernel = cache.add(out)
    assert kernel.release == "6.1.0-stub"
    config.check(kernel, ("ext4", "xfs"))
    assert said == [f"building {tree} (small) in {out}"]
    log = (out / build.LOG).read_text()
    assert log.count("$ make ") == 2 and "  CC      image.o\n" in log


def test_only_what_has_changed_is_built(tree: Path, tmp_path: Path) -> None:
    """An unchanged tree is built anew by nothing; a changed one is, in the same place."""
    out = build.build(ordered(tree, tmp_path / "out"), print)
    first = (out / local.BUILT).stat().st_mtime_ns
    assert build.build(ordered(tree, tmp_path / "out"), print) == out
    assert (out / local.BUILT).stat().st_mtime_ns == first
    stubtree.write(tree, "another kernel")
    build.build(ordered(tree, tmp_path / "out"), print)
    assert (out / local.BUILT).read_bytes() == bzimage("6.1.0-stub", "another kernel")


def test_the_environment_changes_nothing(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would have make build elsewhere or otherwise does not reach it, and a kernel holds no date and no name."""
    for name in making._DROPPED:
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("KBUILD_BUILD_USER", "me")
    out = build.build(ordered(tree, tmp_path / "out"), print)
    seen = dict(line.partition("=")[::2] for line in (out / "env").read_text().splitlines())
    assert "elsewhere" not in seen.values()
    assert making._FIXED.items() <= seen.items()


def test_a_tree_that_does_not_build(tree: Path, tmp_path: Path) -> None:
    """The last lines of make are told, and the one line of the error names the log, which has all of it."""
    stubtree.write(tree, "a broken kernel")
    said: list[str] = []
    with pytest.raises(BuildError) as caught:
        build.build(ordered(tree, tmp_path / "out"), said.append)
    assert "  image.c:1: error: broken by this commit" in said
    assert str(caught.value).endswith(f"make bzImage failed; all that it said is in {tmp_path}/out/{build.LOG}")
    assert "  CC      image.o\nimage.c:1: error" in (tmp_path / "out" / build.LOG).read_text()
    stubtree.write(tree, "a kernel")
    assert build.build(ordered(tree, tmp_path / "out"), print).is_dir()


def test_long_work_is_told(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of many minutes says from time to time how far it is, and at what."""
    monkeypatch.setattr(making, "TELL", -1.0)
    said: list[str] = []
    build.build(ordered(tree, tmp_path / "out"), said.append)
    assert said[1:] == ["1 files built in 0 s, next is image.o"]


def test_a_full_disk_is_no_fault_of_the_tree(tree: Path, tmp_path: Path) -> None:
    """It is the machine's, and told with a remedy: a bisection must not go on with it."""
    stubtree.write(tree, "a full disk")
    with pytest.raises(SetupError, match=r"no space left for the build at .*--out"):
        build.build(ordered(tree, tmp_path / "out"), print)


def test_what_is_lost_is_named(tree: Path, tmp_path: Path) -> None:
    """A file system that the source cannot have is told; an option that every guest needs ends it before it begins."""
    unknown = tree / "unknown-options"
    unknown.write_text("CONFIG_XFS_FS=\nCONFIG_VIRTIO_PMEM=\n")
    said: list[str] = []
    build.build(ordered(tree, tmp_path / "out"), said.append)
    assert said[1:] == ["not built in, though qemu/kernel.config asks for it: CONFIG_VIRTIO_PMEM, CONFIG_XFS_FS"]
    unknown.write_text("CONFIG_FS_DAX=\n")
    with pytest.raises(BuildError, match=r"cannot have CONFIG_FS_DAX \(what is tested\)"):
        build.build(ordered(tree, tmp_path / "none"), print)
    assert not (tmp_path / "none" / local.BUILT).exists()


@pytest.mark.parametrize("name", build._IN_PLACE)
def test_a_tree_built_in_place_is_refused(tmp_path: Path, name: str) -> None:
    """The kernel's makefile would refuse it in six lines; here it is one, with the remedy."""
    top = stubtree.write(tmp_path / "linux", "a kernel")
    (top / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=f"was built in place .*make -C {top} mrproper"):
        ordered(top)


def test_what_is_no_tree_is_refused(tmp_path: Path) -> None:
    """A missing directory, one without a kernel's makefile, and one that make cannot take."""
    (tmp_path / "a b").mkdir()
    for path, words in ((tmp_path / "gone", "no such directory"), (tmp_path, "no source tree of a kernel"),
                        (stubtree.write(tmp_path / "a b" / "linux", ""), "takes no ' ' in a path")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            ordered(path)


def test_a_directory_of_others_is_not_filled(tree: Path, tmp_path: Path) -> None:
    """No build goes into the source tree, into a file, or among the files of somebody else."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()
    for out, words in ((tree / "out", "lies in the source tree"), (tmp_path / "mine", "holds files, and no build"),
                       (tmp_path / "mine" / "precious", "is no directory")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            ordered(tree, out)
    assert not (tree / "out").exists()


def test_one_build_at_a_time(tree: Path, tmp_path: Path) -> None:
    """A directory in which another daxcheck builds is told of, and not touched."""
    out = tmp_path / "out"
    out.mkdir()
    holder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another daxcheck builds there"):
            build.build(ordered(tree, out), print)
    finally:
        os.close(holder)
    assert list(out.iterdir()) == []


def test_missing_tools_are_named_with_one_command(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is missing is named at once, each with its package, and the one command that brings it."""
    (tmp_path / "bin" / "flex").unlink()
    (tmp_path / "bin" / "gcc").write_text("#!/bin/sh\ncase $3 in libelf.h) exit 1;; esac\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    with pytest.raises(SetupError) as caught:
        build.build(ordered(tree), print)
    assert str(caught.value) == (
        "to build a kernel this machine lacks make (package make), flex (package flex), the headers of libelf (package "
        "libelf-dev): sudo apt-get install make flex libelf-dev"
    )
    assert [tool.name for tool in buildtools.missing()] == ["make", "flex", "the headers of libelf"]


def test_options_stand_once_and_the_last_one_counts() -> None:
    """Kconfig takes the last of two, with a warning for each: here every option stands once."""
    base = "CONFIG_A=m\n# CONFIG_B is not set\nCONFIG_AB=y\n# a remark\n"
    assert buildconfig.merged(base, "CONFIG_A=y\nCONFIG_B=y\n", "# CONFIG_A is not set\n").split("\n") == [
        "CONFIG_AB=y", "# a remark", "CONFIG_B=y", "# CONFIG_A is not set", "",
    ]  # fmt: skip


def test_a_debian_configuration(tmp_path: Path) -> None:
    """It is that of the newest Debian kernel in the cache, with what daxcheck needs built in and no certificates."""
    for release in ("6.1.1", "6.12.1", "6.2.1"):
        text = f'CONFIG_OF="{release}"\nCONFIG_EXT4_FS=m\nCONFIG_SYSTEM_TRUSTED_KEYS="debian/x.pem"\n'
        cache.store(functools.partial(_entry, release, text))
    found = buildconfig.choose("debian")
    options = config.parse(found.text)
    assert (found.base, options["CONFIG_OF"], options["CONFIG_EXT4_FS"]) == ("alldefconfig", '"6.12.1"', "y")
    assert options["CONFIG_SYSTEM_TRUSTED_KEYS"] == '""'


def _entry(release: str, text: str, room: Path) -> tuple[str, str]:
    (room / "vmlinuz").write_bytes(bzimage(release))
    (room / "config").write_text(text)
    return release, f"debian:test/{release}"


def test_a_configuration_of_the_user(tmp_path: Path) -> None:
    """A .config is taken with what daxcheck needs over it; what is none is refused in words."""
    mine = tmp_path / "my.config"
    mine.write_text("CONFIG_MINE=y\nCONFIG_FS_DAX=n\n")
    options = config.parse(buildconfig.choose(str(mine)).text)
    assert (options["CONFIG_MINE"], options["CONFIG_FS_DAX"]) == ("y", "y")
    mine.write_bytes(b"\x7fELF\xff")
    for path, words in ((mine, "sets no option"), (tmp_path, "no regular file"), (tmp_path / "gone", "No such file")):
        with pytest.raises(UsageError, match=words):
            buildconfig.choose(str(path))


def alive(pid: str) -> bool:
    """Whether this process runs; one that has ended may wait for its new parent to look."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def started(tree: Path, out: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """`daxcheck kernel build` of a slow kernel, in a process of its own, and the pid of what its make has started."""
    script = ("import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
              "from harness.cli import main; sys.exit(main())")  # fmt: skip
    words = ["kernel", "build", str(stubtree.write(tree, "a slow kernel")), "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-c", script, *words], env={**os.environ, "PYTHONPATH": str(ROOT)},
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
    slow = out / "slow"
    pid = poll(lambda: (slow.exists() and slow.read_text().strip()) or None, Deadline(60), "the build does not begin")
    assert (out / local.BUILT).read_text() == "half\n"
    return process, pid


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_build_leaves_no_process(tree: Path, tmp_path: Path, number: int, code: int) -> None:
    """Ctrl-C ends make and all that it started; no file is half-written, which a later build would take for whole."""
    process, pid = started(tree, tmp_path / "out")
    process.send_signal(number)
    assert process.communicate(timeout=60)[1].count(b"\n") == 1
    assert process.returncode == code
    assert not alive(pid)
    assert not (tmp_path / "out" / local.BUILT).exists()
    stubtree.write(tree, "a kernel")
    assert build.build(ordered(tree, tmp_path / "out"), print).is_dir()


def test_after_kill_9_make_ends_by_itself(tree: Path, tmp_path: Path) -> None:
    """Nobody is left to end make, so the kernel does, in the way in which it removes what is half-written."""
    process, pid = started(tree, tmp_path / "out")
    process.kill()
    process.communicate(timeout=60)
    poll(lambda: None if (tmp_path / "out" / local.BUILT).exists() else True, Deadline(20), "make does not clean up")
    os.kill(int(pid), signal.SIGKILL)  # a real compiler ends with the file that it is at
    stubtree.write(tree, "a kernel")
    assert build.build(ordered(tree, tmp_path / "out"), print).is_dir()
