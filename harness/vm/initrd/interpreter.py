"""Finds the guest's Python: the parts of this machine's interpreter and standard library that the agent needs.

Every file keeps the path that it has here, so that the interpreter finds its prefix, its library and its shared
objects in the guest by the same rules as it does here, whoever built it.
"""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfraError, SetupError

ALWAYS = ("encodings.ascii", "encodings.latin_1", "encodings.utf_8", "traceback")
"""Modules that the interpreter imports by name and late: for the console's encoding and to print an exception."""
ASK = 120.0
"""Seconds that the interpreter may take to import or compile everything."""

_PROBE = """
import sys
root, *names = sys.argv[1:]
sys.path.insert(0, root)
for name in names:
    __import__(name)
files = []
for name, module in list(sys.modules.items()):
    files.append((name, getattr(module, "__file__", None)))
    # collections.abc puts another module in its own place; the file it has is the one under its name.
    above = sys.modules.get(name.rpartition(".")[0])
    if above is None or hasattr(above, "__path__"):
        spec = sys.meta_path[-1].find_spec(name, above and above.__path__)
        files.append((name, spec and spec.has_location and spec.origin))
print(repr({"files": files, "library": sys.modules["os"].__file__, "tag": sys.implementation.cache_tag}))
"""
_COMPILE = """
import py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for line in sys.stdin.buffer.read().decode().split("\\n"):
    source, target, shown = line.split("\\0")
    py_compile.compile(source, target, shown, doraise=True, invalidation_mode=mode)
"""


@dataclass(frozen=True, slots=True)
class PythonFiles:
    """An interpreter and what it needs to run the agent.

    `sources` are our own modules by name; `library` the directory of the standard library, `standard` its Python
    files and `extensions` its shared objects; `tag` is the infix of the names in __pycache__.
    """

    program: Path
    library: Path
    standard: tuple[Path, ...]
    extensions: tuple[Path, ...]
    sources: dict[str, Path]
    tag: str


def survey(package: str, root: Path, also: Sequence[str] = ()) -> PythonFiles:
    """Find what `package` under `root` imports, now or later, and the modules `also` of the standard library.

    Raises SetupError when that is more than the standard library. The base interpreter is asked: that of a virtual
    environment is only a link to it.
    """
    program = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    sources, foreign = _reach(package, root)
    answer = _ask(program, ["-I", "-S", "-B", "-c", _PROBE, str(root), *ALWAYS, *also, *sorted(foreign), *sources])
    try:
        told = ast.literal_eval(answer)
        files = {Path(file): str(name) for name, file in told["files"] if file}
        library, tag = Path(told["library"]).parent, str(told["tag"])
    except (ValueError, SyntaxError, KeyError, TypeError) as error:
        raise InfraError(f"{program}: answered {answer[:80]!r}, not a list of modules") from error
    others = [path for path, name in files.items() if name not in sources]
    strangers = [str(path) for path in others if not path.is_relative_to(library)]
    if strangers:
        raise SetupError(f"{package} imports {', '.join(sorted(strangers))}; the guest has the standard library only")
    standard = tuple(sorted(path for path in others if path.suffix == ".py"))
    extensions = tuple(sorted(path for path in others if path.suffix == ".so"))
    return PythonFiles(program, library, standard, extensions, sources, tag)


def compile_all(program: Path, jobs: list[tuple[Path, Path, str]]) -> None:
    """Compile (source, target, name shown in tracebacks), each to a .pyc that is never checked against its source.

    The hash seed is fixed, since the order of a constant set is part of a .pyc. Raises InfraError.
    """
    text = "\n".join(f"{source}\0{target}\0{shown}" for source, target, shown in jobs)
    _ask(program, ["-P", "-s", "-S", "-c", _COMPILE], text, {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"})


def _ask(program: Path, arguments: list[str], text: str = "", environment: dict[str, str] | None = None) -> str:
    argv = [str(program), *arguments]
    try:
        done = subprocess.run(argv, input=text, capture_output=True, encoding="utf-8", timeout=ASK, env=environment)
    except (OSError, subprocess.TimeoutExpired, UnicodeError) as error:
        raise InfraError(f"{program}: cannot be asked for the guest's modules ({error})") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InfraError(f"{program}: preparing the guest's modules failed: {reason}")
    return done.stdout


def _reach(package: str, root: Path) -> tuple[dict[str, Path], set[str]]:
    """Return our modules that `package` reaches, by name, and all other modules that they import, however late."""
    top = package.partition(".")[0]
    folder = root / Path(*package.split("."))
    # Importing a module takes its packages in, so their names count as reached too.
    todo = [name for path in folder.rglob("*.py") for name in _prefixes(_dotted(path.relative_to(root)))]
    sources: dict[str, Path] = {}
    foreign: set[str] = set()
    while todo:
        name = todo.pop()
        path = _file(name, root)
        if name in sources or path is None:
            continue
        sources[name] = path
        for imported in _imports(path, name):
            if imported.partition(".")[0] == top:
                todo += _prefixes(imported)
            else:
                foreign.add(imported)
    return dict(sorted(sources.items())), {name for name in foreign if _exists(name)}


def _prefixes(name: str) -> list[str]:
    """a.b.c as [a, a.b, a.b.c]: importing a module imports the packages it is in."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _dotted(path: Path) -> str:
    """The module's name of a source file: a/b/__init__.py is a.b."""
    return ".".join(path.parent.parts if path.stem == "__init__" else path.with_suffix("").parts)


def _file(name: str, root: Path) -> Path | None:
    base = root / Path(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _imports(path: Path, name: str) -> set[str]:
    """Every module that a source file imports at any depth; `from a import b` may mean a.b."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def _exists(name: str) -> bool:
    """Say whether `name` is a module and not a name in one."""
    if "." not in name:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False
