"""Only harness/box opens a device of this machine for writing: every other way to open a path for writing has a name.

Read from the source by `ast`. In the rooms of the host a call that may open an existing path for writing stands in a
function that is listed here, with what keeps it from a device. The agent's rooms (agent, linux) are left out: they act
where their agent runs, in a guest, or on a box where harness.box starts it on the device that it has claimed; so the
host, box apart, imports of `linux` only what opens nothing for writing. A descriptor that is open already is no path:
QEMU, mkfs and fsck are given those of anonymous files, which mypy holds, since they take a MemFile.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_WRITE = ("harness.box", "harness.agent", "harness.linux")

CACHE = "a file below the cache, in folders of the user's own"
ROOM = "a new folder that is being filled for the cache"
DOORS = {
    "harness.cachedir:_try_lock": CACHE,
    "harness.cachedir:_publish": ROOM,
    "harness.commands.arm:_awake": "/dev/cpu_dma_latency, no disk: takes a number (power/pm_qos_interface.rst)",
    "harness.ending:_silence": "/dev/null",
    "harness.ending:open_streams": "/dev/null",
    "harness.history.file:_connect": "a regular file: place.create has made it for a writer, stat tells it to a reader",
    "harness.kernel.apt:Apt.prepare": ROOM,
    "harness.kernel.cache:_write": CACHE,
    "harness.kernel.cache:store.make": ROOM,
    "harness.kernel.debian:_extract": ROOM,
    "harness.kernel.index:_make": ROOM,
    "harness.kernel.transfer:unpack.make": ROOM,
    "harness.kernel.local:_copy_file": ROOM,
    "harness.kernel.local:collect": ROOM,
    "harness.kernel.making:Making.run": "the log of a build, a regular file: place.write has made it",
    "harness.media.golden:load.fill": ROOM,
    "harness.place:create": "fstat: a regular file, in a folder that was walked to",
    "harness.trimming:_recall": CACHE,
    "harness.pytestplugin.imagepipe:ImageTeller.tell": "fstat: a pipe, that of the session",
    "harness.remembered:_keep": "a file that has no name before it is whole (O_TMPFILE), in the cache",
    "harness.trimming:_trim": CACHE,
    "harness.trimming:directory": CACHE,
    "harness.vm.accel:_ask": ROOM,
    "harness.vm.accel:why_not_open": "/dev/kvm, no disk: opened to see whether it can be, nothing is written",
    "harness.vm.initrd.initramfs:_strip": ROOM,
    "harness.vm.initrd.initramfs:build.make": ROOM,
    "harness.vm.monitor:Monitor._give": "the state of a machine: made new by O_EXCL in the cache, or opened to be read",
    "harness.vm.snapshot:_take": ROOM,
}  # fmt: skip
"""module:function -> what it opens for writing, which is no device under test."""
PATHS = {
    "harness.commands.arm": {"/dev/cpu_dma_latency"},
    "harness.kernel.buildtools": {"/dev/null"},  # what the compiler reads
    "harness.kernel.config": {"/dev/pmem0"},  # the reason why a kernel needs an option
    "harness.exam.inguest": {"/dev/pmem0"},  # the guest's, where a format does not name it
    "harness.commands.doctor": {"/dev/kvm", "/dev/kvm "},
    "harness.vm.accel": {"/dev/kvm"},
    "harness.vm.initrd.initramfs": {"/dev/console", "/dev/null", "/dev/urandom"},  # the guest's
}
"""module -> the paths below /dev that it names."""

READING = {
    "O_RDONLY", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH", "O_DIRECT", "O_NOCTTY", "_WALK",
}  # fmt: skip
"""Flags of open(2) that do not write; _WALK of harness.place is of these."""
NEW = {"O_CREAT", "O_EXCL"}
WRITERS = {"write_text", "write_bytes", "touch", "mknod", "copyfile", "copy2", "copytree"}
"""Methods of Path, and functions of shutil, that write to the path that they are given."""


def opens_for_writing(call: ast.Call) -> bool:
    """Whether the call may open a path that exists for writing; True where the source does not tell."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="os"), attr="open"):
            flags = _argument(call, 1, "flags")
            names = {node.attr if isinstance(node, ast.Attribute) else node.id for node in ast.walk(flags or call)
                     if isinstance(node, ast.Attribute | ast.Name)} - {"os"}  # fmt: skip
            return not names >= NEW and not names <= READING
        case ast.Attribute(value=ast.Name(id="os"), attr="truncate" | "mknod"):
            return True
        case ast.Attribute(value=ast.Name(id="sqlite3"), attr="connect"):
            return not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == ":memory:")
        case ast.Name(id="open"):
            return _writes(_argument(call, 1, "mode"))
        case ast.Attribute(value=ast.Name(id="tarfile" | "PersistLog" | "cls" | "self"), attr="open"):
            return False  # these take what is open already
        case ast.Attribute(attr="open"):
            return _writes(_argument(call, 0, "mode"))
        case ast.Attribute(attr=name):
            return name in WRITERS
        case _:
            return False


def _argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    named = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return named or (call.args[place] if len(call.args) > place else None)


def _writes(mode: ast.expr | None) -> bool:
    """Whether open() with this mode writes to what exists: `x` makes a new file or fails."""
    if mode is None:
        return False
    known = isinstance(mode, ast.Constant) and isinstance(mode.value, str)
    return not known or bool(set(str(mode.value)) & set("wa+"))  # type: ignore[attr-defined]


def calls(node: ast.AST, scope: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.Call]]:
    """Every call below the node, with the dotted name of the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield ".".join(scope), child
        named = isinstance(child, ast.FunctionDef | ast.ClassDef)
        yield from calls(child, (*scope, child.name) if named else scope)  # type: ignore[attr-defined]


def writers(root: Path) -> Iterator[tuple[str, str]]:
    """(module:function, place) of all that may open a path for writing, in the tree at `root`."""
    for path in sorted((root / "harness").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for function, call in calls(ast.parse(path.read_text())):
            if opens_for_writing(call):
                yield f"{module}:{function}", f"{path.relative_to(root)}:{call.lineno}"


def may_write(module: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in MAY_WRITE)


def breaches(root: Path, doors: dict[str, str], paths: dict[str, set[str]]) -> list[str]:
    """What in the tree at `root` could open a device for writing and is not listed."""
    found = list(writers(root))
    wrong = [f"{place}: {name} may open what exists for writing" for name, place in found
             if not may_write(name.partition(":")[0]) and name not in doors]  # fmt: skip
    harmful = {name.partition(":")[0] for name, _ in found if name.startswith("harness.linux")}
    for path in sorted((root / "harness").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        if may_write(module):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(root)}:{getattr(node, 'lineno', 1)}"
            match node:
                case ast.ImportFrom(module="harness.linux", names=names):
                    wrong += [f"{where}: harness.linux.{one.name} opens paths for writing: for box and the agent"
                              for one in names if f"harness.linux.{one.name}" in harmful]  # fmt: skip
                case ast.ImportFrom(module=str(name), names=names) if name in harmful:
                    wrong += [f"{where}: {name} opens paths for writing: for box and the agent" for one in names
                              if not one.name.isupper()]  # fmt: skip
                case ast.Constant(value=str(text)) if text.startswith("/dev/") and text not in paths.get(module, ()):
                    wrong.append(f"{where}: {text} is named")
    return wrong


def test_only_box_opens_devices_for_writing() -> None:
    """Whatever else opens a path for writing is listed above, with what keeps it from a device."""
    assert breaches(ROOT, DOORS, PATHS) == []


def test_no_door_stands_open_for_nothing() -> None:
    """A listed function that opens nothing any more would hide the next one of its name."""
    assert DOORS.keys() - {name for name, _ in writers(ROOT)} == set()


PLANTED = {
    "os-open": ("harness/vm/x.py", "import os\ndef f(p): return os.open(p, os.O_RDWR | os.O_CLOEXEC)", "vm.x:f may"),
    "os-direct": ("harness/targets/x.py", "import os\nFD = os.open(P, os.O_WRONLY | os.O_DIRECT)", "targets.x: may"),
    "flags-unknown": ("harness/media/x.py", "import os\ndef f(p, how): os.open(p, how)", "media.x:f may"),
    "flags-named": ("harness/media/x.py", "import os\ndef f(p, how): os.open(p, flags=how)", "media.x:f may"),
    "not-exclusive": ("harness/vm/x.py", "import os\ndef f(p): os.open(p, os.O_WRONLY | os.O_CREAT)", "vm.x:f may"),
    "open-w": ("harness/cells/x.py", "def f(p):\n    with open(p, 'wb') as file: pass", "cells.x:f may"),
    "open-update": ("harness/fs/x.py", "class C:\n    def f(self, p): return open(p, mode='r+b')", "fs.x:C.f may"),
    "mode-unknown": ("harness/link/x.py", "def f(p, mode): return p.open(mode)", "link.x:f may"),
    "write-text": ("harness/powercut/x.py", "def f(p): p.write_text('0')", "powercut.x:f may"),
    "copyfile": ("harness/commands/x.py", "import shutil\ndef f(a, b): shutil.copyfile(a, b)", "commands.x:f may"),
    "in-a-door's-module": ("harness/place.py", "import os\ndef write(p): os.open(p, os.O_RDWR)", "place:write may"),
    "sqlite": ("harness/history/x.py", "import sqlite3\nsqlite3.connect(f'file:{P}', uri=True)", "x: may"),
    "dev-path": ("harness/powercut/x.py", "P = '/dev/pmem0'", "/dev/pmem0 is named"),
    "dev-f-string": ("harness/commands/x.py", "def f(name): return f'/dev/{name}'", "/dev/ is named"),
}
"""Where a breach stands, the breach, and what is said of it."""


@pytest.mark.parametrize(("name", "source", "said"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_writer_is_named(tmp_path: Path, name: str, source: str, said: str) -> None:
    """Each way to a device bites, in whatever room of the host, and in a module that has a door elsewhere."""
    _plant(tmp_path, name, source)
    (line,) = breaches(tmp_path, DOORS, PATHS)
    assert line.startswith(f"{name}:") and said in line


@pytest.mark.parametrize("line", ["from harness.linux import pmem", "from harness.linux.pmem import write"])
def test_the_host_does_not_borrow_the_agents_writers(tmp_path: Path, line: str) -> None:
    """What the agent writes with is not called on the host but in box; a constant may be read."""
    _plant(tmp_path, "harness/linux/pmem.py", "def write(path):\n    with open(path, 'w') as file: pass")
    _plant(tmp_path, "harness/box/y.py", line)
    _plant(tmp_path, "harness/vm/y.py", "from harness.linux.pmem import SECTOR")
    assert breaches(tmp_path, {}, {}) == []
    _plant(tmp_path, "harness/vm/x.py", line)
    (said,) = breaches(tmp_path, {}, {})
    assert said == "harness/vm/x.py:1: harness.linux.pmem opens paths for writing: for box and the agent"


ALLOWED = {
    "box": ("harness/box/x.py", "import os\nFD = os.open('/dev/pmem0', os.O_RDWR)"),
    "read": ("harness/vm/x.py", "import os\ndef f(p): return os.open(p, os.O_RDONLY | os.O_DIRECT), open(p, 'rb')"),
    "new": ("harness/vm/x.py", "import os\ndef f(p): os.open(p, os.O_WRONLY | os.O_CREAT | os.O_EXCL), p.open('xb')"),
    "memory": ("harness/history/x.py", "import sqlite3\nC = sqlite3.connect(':memory:', isolation_level=None)"),
    "descriptor": ("harness/vm/x.py", "import mmap\ndef f(fd): return mmap.mmap(fd, 4096)"),
}


@pytest.mark.parametrize(("name", "source"), ALLOWED.values(), ids=ALLOWED.keys())
def test_what_writes_no_device_is_not_named(tmp_path: Path, name: str, source: str) -> None:
    """Reading, new files and descriptors are nobody's harm."""
    _plant(tmp_path, name, source)
    assert breaches(tmp_path, {}, {}) == []


def _plant(root: Path, name: str, source: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
