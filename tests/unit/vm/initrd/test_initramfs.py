"""Laws of harness.vm.initrd.initramfs and what it is made of; booted for real in tests/vm."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import SetupError
from harness.kernel.kernel import Kernel
from harness.vm.initrd import initramfs, interpreter, libraries

AGENT = """
import ctypes, json, os
from harness.words import WORD
def main():
    import collections.abc
    print(WORD, json.dumps({"a": 1}), ctypes.sizeof(ctypes.c_void_p), collections.abc.Callable)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small agent with a module of its own, a late import and a file that nothing imports."""
    agent = tmp_path / "root/harness/agent"
    entry = agent / "entry"
    entry.mkdir(parents=True)
    (agent.parent / "__init__.py").write_text("")
    (agent.parent / "words.py").write_text("WORD = 'hello'\n")
    (agent.parent / "unused.py").write_text("import nothing_such\n")
    (agent / "__init__.py").write_text("")
    (entry / "__init__.py").write_text("")
    (entry / "init.py").write_text(AGENT)
    return tmp_path / "root"


KERNEL = Kernel("6.12.1-test", Path("vmlinuz"), None, "test", "0" * 64)


def members(path: Path) -> dict[str, tuple[int, bytes]]:
    """(mode, data) by name of a newc archive that is known to be well-formed (see test_cpio)."""
    found: dict[str, tuple[int, bytes]] = {}
    data, at = path.read_bytes(), 0
    while True:
        mode, size, length = (int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in (1, 6, 11))
        name = data[at + 110 : at + 109 + length].decode()
        if name == "TRAILER!!!":
            return found
        start = (at + 110 + length + 3) & ~3
        found[name] = (mode, data[start : start + size])
        at = (start + size + 3) & ~3


def test_survey_follows_every_import(root: Path) -> None:
    """Our own modules are those that the agent reaches; the standard library's include those imported late."""
    python = interpreter.survey("harness.agent", root)
    packages = {"harness", "harness.agent", "harness.agent.entry"}
    assert set(python.sources) == packages | {"harness.agent.entry.init", "harness.words"}
    names = {str(path.relative_to(python.library)) for path in python.standard}
    assert {"os.py", "ctypes/__init__.py", "json/decoder.py", "struct.py", "encodings/utf_8.py"} <= names
    assert python.program.is_file()
    assert not python.program.is_symlink()


def test_agent_may_use_the_standard_library_only(root: Path, tmp_path: Path) -> None:
    """A module from elsewhere is named: the guest does not have it."""
    (root / "stranger.py").write_text("")
    (root / "harness/words.py").write_text("import stranger\nWORD = 1\n")
    with pytest.raises(SetupError, match=r"harness.agent imports \S+/stranger.py; the guest has the standard library"):
        interpreter.survey("harness.agent", root)


def test_archive_holds_what_a_guest_needs(root: Path) -> None:
    """/init is an executable script of the interpreter; tools, console and empty mount points are there."""
    found = members(initramfs.build(KERNEL, ("true",), root=root))
    mode, init = found["init"]
    assert mode == stat.S_IFREG | 0o755
    program = init.split(b"\n")[0].removeprefix(b"#!").split()[0].decode()
    assert found[program[1:]][1].startswith(b"\x7fELF")
    assert found["bin/true"][0] == stat.S_IFREG | 0o755
    assert stat.S_ISCHR(found["dev/console"][0])
    assert {"proc", "sys", "dev", "tmp", "mnt"} <= set(found)
    assert found["lib/daxcheck/harness/words.py"][1] == b"WORD = 'hello'\n"
    assert "lib/daxcheck/harness/unused.py" not in found
    assert "modules.list" not in found


def unpack(archive: Path, into: Path) -> None:
    for name, (mode, data) in members(archive).items():
        path = into / name
        if stat.S_ISDIR(mode):
            path.mkdir(exist_ok=True)
        elif stat.S_ISLNK(mode):
            path.symlink_to(data.decode())
        elif stat.S_ISREG(mode):
            path.write_bytes(data)
            path.chmod(mode & 0o777)


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root; tests/vm boots it without")
def test_init_runs_with_nothing_but_the_archive(root: Path, tmp_path: Path) -> None:
    """Interpreter, standard library, shared objects and agent work when the archive is all there is."""
    guest = tmp_path / "guest"
    guest.mkdir()
    unpack(initramfs.build(KERNEL, ("true",), root=root), guest)
    done = subprocess.run(["chroot", str(guest), "/init"], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout == "hello {\"a\": 1} 8 <class 'collections.abc.Callable'>\n"
    subprocess.run(["chroot", str(guest), "/bin/true"], check=True, timeout=60)


PYTHON3 = "import json, sys, textwrap; print(sys.executable, json.dumps(textwrap.dedent('  x')))"


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root; tests/vm boots it without")
def test_python3_for_whoever_works_in_the_guest(root: Path, tmp_path: Path) -> None:
    """Where modules are asked for, python3 is in /bin and imports them, started as anybody does; else it is not."""
    guest = tmp_path / "guest"
    guest.mkdir()
    unpack(initramfs.build(KERNEL, ("true",), root=root, library=("site", "textwrap")), guest)
    done = subprocess.run(["chroot", str(guest), "/bin/python3", "-c", PYTHON3], capture_output=True, text=True,
                          timeout=60)  # fmt: skip
    assert (done.stdout, done.stderr) == ('/bin/python3 "x"\n', "")
    assert "bin/python3" not in members(initramfs.build(KERNEL, ("true",), root=root))


def test_same_inputs_same_bytes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two caches on one machine get the same archive under the same key, byte for byte."""
    first = initramfs.build(KERNEL, ("true",), root=root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    second = initramfs.build(KERNEL, ("true",), root=root)
    assert first != second
    assert first.parent.name == second.parent.name
    assert first.read_bytes() == second.read_bytes()


def test_key_follows_contents(root: Path) -> None:
    """A changed agent, kernel or set of tools is another archive; nothing changed is the same file."""
    first = initramfs.build(KERNEL, ("true",), root=root)
    assert initramfs.build(KERNEL, ("true",), root=root) == first
    assert initramfs.build(KERNEL, ("true", "cat"), root=root) != first
    (root / "harness/words.py").write_text("WORD = 'bye'\n")
    assert initramfs.build(KERNEL, ("true",), root=root) != first


def test_a_warm_start_asks_nobody_and_notices_an_edit(
    root: Path, tick: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unchanged files need no interpreter; an edit of the agent that keeps size and mtime, and a module that appears in
    a directory which had none, each make another archive."""
    (root / "harness/agent/empty").mkdir()
    tick()
    paths = [initramfs.build(KERNEL, ("true",), root=root)]
    with monkeypatch.context() as patched:
        patched.setattr(interpreter, "survey", lambda *_: pytest.fail("the interpreter was asked"))
        assert initramfs.build(KERNEL, ("true",), root=root) == paths[0]
    words = root / "harness/words.py"
    stat = words.stat()
    words.write_text("WORD = 'jello'\n")
    os.utime(words, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    tick()
    paths.append(initramfs.build(KERNEL, ("true",), root=root))
    (root / "harness/agent/empty/late.py").write_text("import fractions\n")
    paths.append(initramfs.build(KERNEL, ("true",), root=root))
    assert len(set(paths)) == 3


def test_damaged_archive_is_made_anew(root: Path) -> None:
    """An altered archive in the cache is never booted."""
    path = initramfs.build(KERNEL, ("true",), root=root)
    whole = path.read_bytes()
    path.write_bytes(b"\0" * len(whole))
    assert initramfs.build(KERNEL, ("true",), root=root).read_bytes() == whole


def test_missing_tool_names_its_package(root: Path) -> None:
    """A tool that must be there is named with the command that brings it; an extra one is left out."""
    with pytest.raises(SetupError, match=r"no-such-tool is missing: sudo apt-get install no-such-tool"):
        initramfs.build(KERNEL, ("no-such-tool",), root=root)
    assert "bin/no-such-tool" not in members(initramfs.build(KERNEL, ("true",), ("no-such-tool",), root=root))


def test_modules_in_order(root: Path, tmp_path: Path) -> None:
    """Modules lie unpacked in the archive, listed in the order in which they load."""
    compiler = shutil.which("gcc") or pytest.skip("gcc is not installed")
    tree = tmp_path / "modules"
    (tree / "kernel").mkdir(parents=True)
    builtin = ["virtio_pci", "virtio_console", "nfit", "nd_pmem", "ext4"]
    (tree / "modules.builtin").write_text("".join(f"kernel/{name}.ko\n" for name in builtin))
    for name, depends in [("libnvdimm", ""), ("xfs", "some_dash"), ("some-dash", "")]:
        code = f'const char i[] __attribute__((section(".modinfo"))) = "depends={depends}";'
        target = str(tree / f"kernel/{name}.ko")
        subprocess.run([compiler, "-c", "-x", "c", "-", "-o", target], input=code.encode(), check=True, timeout=60)
    kernel = Kernel("6.12.1-test", Path("vmlinuz"), tree, "test", "1" * 64)
    found = members(initramfs.build(kernel, ("true",), root=root))
    assert found["modules.list"][1].decode().split() == [
        "/lib/modules/libnvdimm.ko", "/lib/modules/some_dash.ko", "/lib/modules/xfs.ko"
    ]  # fmt: skip
    assert found["lib/modules/xfs.ko"][1] == (tree / "kernel/xfs.ko").read_bytes()


def test_libraries_of_a_program() -> None:
    """The closure has the C library and the dynamic linker; a missing library is told."""
    found = libraries.closure([Path(os.path.realpath(sys.executable))])
    assert any(path.name.startswith("libc.so") for path in found)
    assert any(path.name.startswith("ld-") for path in found)


def test_missing_library_is_named(tmp_path: Path) -> None:
    """A program whose library is gone cannot go into a guest; the library is named."""
    compiler: str | Callable[..., None] = shutil.which("gcc") or pytest.skip("gcc is not installed")
    (tmp_path / "gone.c").write_text("int gone(void) { return 0; }")
    (tmp_path / "main.c").write_text("int gone(void); int main(void) { return gone(); }")
    library, program = tmp_path / "libgone.so", tmp_path / "program"
    run([str(compiler), "-shared", "-fPIC", "-o", str(library), str(tmp_path / "gone.c")])
    run([str(compiler), "-o", str(program), str(tmp_path / "main.c"), str(library)])
    library.unlink()
    with pytest.raises(SetupError, match=r"libgone.so, needed by one of .*program, is missing"):
        libraries.closure([program])


def run(argv: list[str]) -> None:
    subprocess.run(argv, check=True, timeout=60)


def test_library_known_through_the_linkers_cache_gets_a_link() -> None:
    """A library outside the C library's directory is linked into it; those in it are not."""
    found = libraries.aliases([Path("/lib/x/libc.so.6"), Path("/usr/local/lib/liba.so"), Path("/lib64/ld-linux.so.2")])
    assert found == {"/lib/x/liba.so": "/usr/local/lib/liba.so"}
