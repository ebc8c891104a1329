"""The guest's early user space: interpreter, agent, kernel modules and a few tools, as one cpio archive.

It is not compressed: the emulated processor would take longer to unpack it than to copy it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness import cachedir, sparse, trimming
from harness.errors import InfraError, SetupError
from harness.kernel import modinfo, modules
from harness.kernel.kernel import Kernel
from harness.remembered import Learned
from harness.vm.initrd import cpio, interpreter, libraries
from harness.vm.initrd.interpreter import PythonFiles

AREA = "initramfs"
"""Archives in the cache, some 30 MB each: one per kernel, and one more for its shell."""
FORMAT = 2
"""Raise when the same inputs make a different archive."""
ROOT = Path(__file__).resolve().parents[3]
"""The directory that holds the harness package."""
AGENT = "harness.agent"
ENTRY = f"{AGENT}.entry.init"
"""The module whose main() is PID 1."""
OURS = "/lib/daxcheck"
"""The directory of our own modules in the guest."""
TOOLS = ("mkfs.ext4", "mkfs.xfs")
PACKAGES = {"mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs"}
MODULE_LIST = "/modules.list"
STRIP = 60.0
"""Seconds that strip may take for one file."""

_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_CONFIGS = ("/etc/mke2fs.conf",)
_LINKER_CACHE = Path("/etc/ld.so.cache")
_EMPTY = ("/dev", "/mnt", "/proc", "/run", "/sys", "/tmp")
_INIT = """\
#!{program} -ISB
import os, sys
sys.path.insert(0, "{ours}")
os.environ["PATH"] = "/bin"
from {entry} import main
main()
"""

Tree = dict[str, cpio.Entry]


def build(
    kernel: Kernel, tools: tuple[str, ...] = TOOLS, extra: tuple[str, ...] = (), root: Path = ROOT,
    wanted: tuple[str, ...] = modules.WANTED, entry: str = ENTRY, library: tuple[str, ...] = (),
) -> Path:  # fmt: skip
    """The archive for a kernel, from the cache or made now.

    `tools` must exist on this machine, `extra` may; both are found in /bin of the guest. `root` holds the package
    `harness.agent`, whose module `entry` is PID 1 and loads the `wanted` modules. Where `library` names modules of the
    standard library, those and python3 are for people who work in the guest. Raises SetupError for a missing
    tool, UsageError for a module that the kernel lacks.
    """
    programs = {name: _which(name) for name in tools}
    programs |= {name: path for name in extra if (path := _locate(name))}
    options = (wanted, entry, library)

    def survey() -> Learned:
        contents = _Contents.survey(root, programs, library)
        return Learned(_key(kernel, contents, programs, options), contents.depends_on(root))

    def make(room: Path) -> None:
        contents = _Contents.survey(root, programs, library)
        tree = _base() | _libraries(contents.shared) | _tools(programs) | _modules(kernel, wanted)
        tree |= _python(contents.python, entry)
        if library:
            tree["/bin/python3"] = cpio.Symlink(str(contents.python.program))
        with (room / "initramfs.cpio").open("wb") as file:
            file.writelines(cpio.encode(tree))

    # All that decides on the survey and is no file, so that nothing is asked of the interpreter and the linker anew.
    asked = (str(root), sys.version, os.environ.get("LD_LIBRARY_PATH"), _parts(kernel, programs, options))
    key = cachedir.remember(("initramfs", json.dumps(asked, sort_keys=True)), survey)
    return trimming.directory(AREA, key, make, hashed=True) / "initramfs.cpio"


@dataclass(frozen=True, slots=True)
class _Contents:
    """The files of this machine that an archive holds: the interpreter and its modules, libraries, `others`."""

    python: PythonFiles
    shared: tuple[Path, ...]
    others: tuple[Path, ...]

    @classmethod
    def survey(cls, root: Path, programs: dict[str, Path], library: tuple[str, ...]) -> Self:
        """Ask the interpreter and the dynamic linker what is needed. Raises SetupError, InfraError."""
        python = interpreter.survey(AGENT, root, library)
        shared = libraries.closure([python.program, *python.extensions, *programs.values()])
        return cls(python, shared, (*programs.values(), *_settings()))

    @property
    def inputs(self) -> list[Path]:
        """The files that the archive is made of."""
        python = self.python
        return [python.program, *python.standard, *python.extensions, *python.sources.values(), *self.shared,
                *self.others]  # fmt: skip

    def depends_on(self, root: Path) -> list[Path]:
        """Return all that a survey looks at: the inputs, the linker's cache, and the directories in which another
        module or library could appear."""
        agent, python = root / Path(*AGENT.split(".")), self.python
        below = (path for path in agent.rglob("*") if path.is_dir() and path.name != "__pycache__")
        found = (*python.standard, *python.extensions, *python.sources.values(), *self.shared)
        linker = (path for path in (_LINKER_CACHE,) if path.is_file())
        return [*self.inputs, *linker, agent, *below, *{path.parent for path in found}]


def _parts(kernel: Kernel, programs: dict[str, Path], options: tuple[object, ...]) -> tuple[object, ...]:
    """Return what an archive depends on besides the contents of files."""
    links = {name: str(path) for name, path in programs.items()}
    settings = [str(path) for path in _settings()]
    return FORMAT, kernel.digest, options, _INIT, links, settings, bool(shutil.which("strip"))


def _key(kernel: Kernel, contents: _Contents, programs: dict[str, Path], options: tuple[object, ...]) -> str:
    """Return a digest of everything that the archive depends on, by content."""
    digests = {str(path): sparse.digest(path) for path in contents.inputs}
    parts = (*_parts(kernel, programs, options), digests)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _settings() -> tuple[Path, ...]:
    return tuple(path for path in map(Path, _CONFIGS) if path.is_file())


def _which(name: str) -> Path:
    path = _locate(name)
    if path is None:
        raise SetupError(f"{name} is missing: sudo apt-get install {PACKAGES.get(name, name)}")
    return path


def _locate(name: str) -> Path | None:
    """Find a program, also in the sbin directories, which a user's PATH often lacks."""
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)
    return Path(found) if found else None


def _base() -> Tree:
    tree: Tree = {path: cpio.ArchivedDirectory() for path in _EMPTY}
    tree["/dev/console"] = cpio.DeviceNode(5, 1)
    tree["/dev/null"] = cpio.DeviceNode(1, 3, 0o666)
    # Python hashes with a random seed before init could mount devtmpfs, and getrandom(2) fails as long as a kernel
    # that does not trust the processor's generator has gathered no entropy.
    tree["/dev/urandom"] = cpio.DeviceNode(1, 9, 0o666)
    tree["/sbin"] = cpio.Symlink("bin")
    for path in _settings():
        tree[str(path)] = cpio.ArchivedFile(path.read_bytes())
    return tree


def _libraries(shared: tuple[Path, ...]) -> Tree:
    tree: Tree = {str(path): cpio.ArchivedFile(_stripped(path), 0o755) for path in shared}
    for path, target in libraries.aliases(shared).items():
        tree.setdefault(path, cpio.Symlink(target))
    return tree


def _tools(programs: dict[str, Path]) -> Tree:
    return {f"/bin/{name}": cpio.ArchivedFile(_stripped(path), 0o755) for name, path in programs.items()}


def _modules(kernel: Kernel, wanted: tuple[str, ...]) -> Tree:
    tree: Tree = {}
    unknown = modules.missing(kernel, modules.OPTIONAL)
    for module in modules.closure(kernel, tuple(name for name in wanted if name not in unknown)):
        data = modinfo.read(module.path)
        # The debug information of a kernel built at home is ten times the module; a signature would not survive.
        if b".debug_info" in data and not modinfo.signed(data):
            data = _strip(data, "--strip-debug")
        tree[f"/lib/modules/{module.name}.ko"] = cpio.ArchivedFile(data)
    names = "".join(f"{path}\n" for path in tree)
    return {**tree, MODULE_LIST: cpio.ArchivedFile(names.encode())} if tree else {}


def _python(python: PythonFiles, entry: str) -> Tree:
    tree: Tree = {
        "/init": cpio.ArchivedFile(_INIT.format(program=python.program, ours=OURS, entry=entry).encode(), 0o755),
        str(python.program): cpio.ArchivedFile(_stripped(python.program), 0o755),
        # Its absence makes the interpreter complain that it cannot find its platform dependent libraries.
        str(python.library / "lib-dynload"): cpio.ArchivedDirectory(),
    }
    for path in python.extensions:
        tree[str(path)] = cpio.ArchivedFile(_stripped(path), 0o755)
    for name, path in python.sources.items():
        tree[_guest_path(name, path)] = cpio.ArchivedFile(path.read_bytes())
    return tree | _compiled(python)


def _guest_path(name: str, path: Path) -> str:
    base = f"{OURS}/{name.replace('.', '/')}"
    return f"{base}/__init__.py" if path.name == "__init__.py" else f"{base}.py"


def _compiled(python: PythonFiles) -> Tree:
    """Compile all modules. The standard library comes without its sources; ours with them, for lines of tracebacks."""
    places = [(path, str(path.with_suffix(".pyc")), str(path)) for path in python.standard]
    for name, path in python.sources.items():
        shown = Path(_guest_path(name, path))
        places.append((path, str(shown.parent / "__pycache__" / f"{shown.stem}.{python.tag}.pyc"), str(shown)))
    with tempfile.TemporaryDirectory() as scratch:
        jobs = [(path, Path(scratch) / str(i), shown) for i, (path, _, shown) in enumerate(places)]
        interpreter.compile_all(python.program, jobs)
        compiled = [target.read_bytes() for _, target, _ in jobs]
    return {target: cpio.ArchivedFile(data) for (_, target, _), data in zip(places, compiled, strict=True)}


def _stripped(path: Path) -> bytes:
    data = path.read_bytes()
    return _strip(data, "--strip-unneeded") if data.startswith(b"\x7fELF") else data


def _strip(data: bytes, how: str) -> bytes:
    """Remove symbols that only a debugger reads; where binutils is not installed, `data` stays as it is."""
    program = shutil.which("strip")
    if program is None:
        return data
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "file"
        path.write_bytes(data)
        try:
            done = subprocess.run([program, how, str(path)], capture_output=True, timeout=STRIP)
        except subprocess.TimeoutExpired as error:
            raise InfraError(f"{program} does not end within {STRIP:g} s") from error
        return path.read_bytes() if done.returncode == 0 else data
