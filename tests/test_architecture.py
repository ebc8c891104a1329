"""The order of the layers and the house rules, read from the source by `ast`.

The tables are the law; each rule is planted once below, so that a rule that no longer bites turns red.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

SHARED = frozenset({
    "errors", "plain", "paths", "deadline", "sparse", "cachedir", "memfile", "place", "hosttool", "shipped", "trimming",
    "manifest", "remembered",
})  # fmt: skip
"""Modules directly in harness/ that every room of the host may import."""

WIRE = frozenset({"model.units", "model.wire"})
PROGRAM = WIRE | {"model.program"}
SETTING = PROGRAM | {"model.contract", "model.setting"}
MODEL = SETTING | {"model.cell", "model.judge"}
"""The storeys of the model, each with those below it."""

TARGETS = SHARED | SETTING | {"linux", "kernel", "media", "fs", "link"}
CELLS = TARGETS | MODEL | {"coverage", "vm", "targets", "targets.engines", "box", "powercut"}
FRONT = CELLS | {"agent", "cells", "findings", "history", "report", "repro", "ending", "progfile", "importing"}

MAY_IMPORT: dict[str, frozenset[str]] = {
    "plain": frozenset(),
    "paths": frozenset(),
    "errors": frozenset({"plain"}),
    "deadline": frozenset({"errors"}),
    "sparse": frozenset(),
    "place": frozenset({"errors"}),
    "hosttool": frozenset(),
    "shipped": frozenset(),
    "remembered": frozenset(),
    "manifest": frozenset({"errors", "paths", "sparse"}),
    "cachedir": frozenset({"errors", "deadline", "paths", "sparse", "place", "remembered", "manifest"}),
    "trimming": frozenset({"errors", "cachedir"}),
    "memfile": frozenset({"errors", "deadline", "model.units", "sparse"}),
    "model.units": frozenset(),
    "model.wire": frozenset({"errors", "plain", "model.units"}),
    "model.program": WIRE | {"errors", "plain"},
    "model.contract": PROGRAM | {"errors", "plain"},
    "model.generator": PROGRAM | {"errors", "model.contract"},
    "model.setting": PROGRAM | {"errors", "plain", "model.contract"},
    "model.cell": SETTING,
    "model.judge": SETTING | {"errors", "plain", "model.cell"},
    # Pure, as the model is: what they make are texts and Programs.
    "repro": PROGRAM | {"errors", "model.contract"},
    "importing": PROGRAM | {"errors", "plain", "model.contract"},
    "linux": WIRE | {"errors", "deadline"},
    "agent": PROGRAM | {"errors", "deadline", "linux"},
    "kernel": SHARED,
    "media": SHARED | WIRE | {"kernel"},
    "fs": SHARED | WIRE | {"linux"},
    "link": SHARED | PROGRAM | {"linux", "fs"},
    "coverage": SHARED | WIRE,
    "vm": SHARED | SETTING | {"kernel", "link"},
    # An engine judges; no other part of what runs a Program may.
    "targets.engines": TARGETS | {"model.judge"},
    "targets": TARGETS | {"targets.engines", "vm", "coverage"},
    "box": TARGETS | {"targets", "targets.engines"},
    "powercut": TARGETS | {"targets", "targets.engines", "box"},
    "trial": TARGETS | {"vm", "targets", "targets.engines"},
    "cells": CELLS,
    "findings": MODEL | {"errors", "plain", "fs", "shipped"},
    "history": SHARED | MODEL | {"findings", "kernel"},
    "report": SHARED | MODEL | {"coverage", "fs", "findings", "history", "kernel", "progfile"},
    "ending": frozenset({"errors", "plain", "cachedir"}),
    "progfile": MODEL | {"errors", "fs"},
    "search": CELLS | {"cells", "findings", "report", "repro", "model.generator", "ending", "progfile"},
    "cluster": CELLS | {"cells", "search", "ending"},
    "pytestplugin": FRONT | {"search", "cluster"},
    "exam": CELLS | {"cells", "findings", "search", "trial", "pytestplugin"},
    "commands": FRONT | {"pytestplugin", "search", "cluster", "trial"},
    "parsers": frozenset({"pytestplugin", "importing"}),
    "cli": FRONT | {"pytestplugin", "commands", "parsers"},
}
"""What each room of harness/ may import of the others. A room that is missing has no place yet."""

STDLIB_ONLY = ("plain", "errors", "deadline", "model", "linux", "agent")
"""These run inside the guest, which has the standard library and nothing else."""

ONLY_IN = {
    "pyudev": ("harness.box.discover",),
    "psutil": ("harness.vm.pool", "harness.box.discover"),
    "qemu": ("harness.vm.monitor",),
    "jinja2": ("harness.report.html.templates",),
    "markupsafe": ("harness.report.html.templates",),
    "pytest": ("harness.pytestplugin", "harness.commands.suite"),
    "_pytest": ("harness.pytestplugin",),
    "sqlite3": ("harness.history",),
    "distributed": ("harness.cluster",),
}
"""Modules with few doors: a cell is judged without pytest, which is one client of harness.cells."""

KNOW_ENGINES = ("harness.targets.engines", "harness.model.setting.engine")
"""Where one engine may be told from another; the others ask its object (targets.engines.table)."""
CHOOSE_ENGINES = ("harness.cells.setup", "harness.targets.provision")
"""These read what the user asked for, and make what serves it."""

INPUT_OUTPUT = {
    "asyncio", "ctypes", "datetime", "fcntl", "glob", "http", "importlib", "io", "logging", "mmap", "multiprocessing",
    "os", "pathlib", "resource", "select", "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading",
    "time", "urllib",
}
"""What harness.model, being pure, must not import."""

LONGEST_FUNCTION = {"harness": 45}
"""Lines, by the top-level directory; elsewhere OTHER_FUNCTION."""
LONGEST_FILE = {"harness": 320}
"""Lines, by the top-level directory; elsewhere OTHER_FILE."""
OTHER_FUNCTION, OTHER_FILE = 60, 400

HEADLESS = re.compile(r"(What|Who|Which|Whether|That|Those|Where|When|How|Why)\b")
"""How a docstring of harness must not begin: a clause without a subject makes the reader look for one."""


def violations(root: Path) -> list[str]:
    """Every breach in the tree at `root`, as "path:line: what is wrong"."""
    found = [f"{path.relative_to(root)}:1: Python under qemu/ would hide PyPI's qemu.qmp" for path in
             sorted((root / "qemu").rglob("*.py"))]
    for path in sorted(path for top in ("harness", "scenarios", "tests") for path in (root / top).rglob("*.py")):
        source = path.read_text()
        tree = ast.parse(source, filename=str(path))
        name = path.relative_to(root)
        rules = [*house_rules(name, source, tree)]
        if name.parts[0] == "harness":
            rules += [*import_rules(name, tree), *engine_rules(name, tree)]
        found += [f"{name}:{line}: {text}" for line, text in rules]
    return found


def imported(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in `tree`, wherever it stands; `package` resolves the relative ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += [node.module] if node.module else []
            # `from harness import x` names the module harness.x; elsewhere the last part may be a mere attribute.
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def room(parts: tuple[str, ...] | list[str]) -> str:
    """The room of a dotted name below harness: a storey of the model, a room with a row of its own, else the first."""
    inner = ".".join(parts[:2])
    return inner if inner in MAY_IMPORT or (parts[0] == "model" and len(parts) > 1) else parts[0]


def import_rules(name: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What the module at `name` (relative, under harness/) imports and must not."""
    parts = name.with_suffix("").parts
    module = ".".join(parts)
    layer = room(parts[1:])
    if parts[-1] == "__init__" and layer not in MAY_IMPORT:
        allowed: frozenset[str] = frozenset()
    elif layer in MAY_IMPORT:
        allowed = MAY_IMPORT[layer] | {layer}
    else:
        yield 1, f"harness.{layer} has no place in the import order"
        return
    for line, target in imported(tree, parts[:-1]):
        top, *rest = target.split(".")
        if top == "harness":
            if rest and room(rest) not in allowed and rest[0] != "__version__":
                yield line, f"{module} must not import harness.{room(rest)}"
        elif parts[1] == "model" and top in INPUT_OUTPUT:
            yield line, f"harness.model is pure and must not import {top}"
        elif parts[1] in STDLIB_ONLY and top not in sys.stdlib_module_names:
            yield line, f"{module} may import the standard library only, not {top}"
        elif not {module, module.rpartition(".")[0]} & {*ONLY_IN.get(top, (module,))}:
            yield line, f"{top} may be imported by {' and '.join(ONLY_IN[top])} only"


def engine_rules(name: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where the module at `name` tells engines apart and must not: by a comparison, a membership or a match."""
    module = ".".join(name.with_suffix("").parts)
    if any(module == one or module.startswith(f"{one}.") for one in KNOW_ENGINES + CHOOSE_ENGINES):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others) if any(
                _names_engine(part) for side in (left, *others) for part in ast.walk(side)
            ):
                yield node.lineno, "engines are told apart in harness.targets.engines only"
            case ast.match_case(pattern=pattern) if any(_names_engine(part) for part in ast.walk(pattern)):
                yield pattern.lineno, "engines are told apart in harness.targets.engines only"


def _names_engine(node: ast.AST) -> bool:
    """Whether this is an engine: Engine.X, or something called `engine`."""
    match node:
        case ast.Attribute(value=ast.Name(id="Engine")) | ast.Attribute(attr="engine") | ast.Name(id="engine"):
            return True
        case _:
            return False


def house_rules(name: Path, source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What no file of ours does, whichever layer it belongs to."""
    if name.name == "utils.py":
        yield 1, "utils.py is no name: say what it holds"
    most = LONGEST_FILE.get(name.parts[0], OTHER_FILE)
    if (lines := len(source.splitlines())) > most:
        yield most, f"{lines} lines: is it one room? (at most {most})"
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))) if name.parts[0] == "harness" and HEADLESS.match(text):
                yield node.lineno, f"a docstring without a subject: {text.split()[0]} ..."
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield node.value.lineno, "shell=True"
            case ast.ExceptHandler(type=None) | ast.ExceptHandler(type=ast.Name(id="BaseException")):
                yield node.lineno, "an except that swallows KeyboardInterrupt"
            case ast.Attribute(value=ast.Name(id="time"), attr="sleep") if name.name != "deadline.py":
                yield node.lineno, "only harness.deadline sleeps"
            case ast.ImportFrom(module="time", names=names) if name.name != "deadline.py":
                if any(alias.name == "sleep" for alias in names):
                    yield node.lineno, "only harness.deadline sleeps"
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                most = LONGEST_FUNCTION.get(name.parts[0], OTHER_FUNCTION)
                if length > most:
                    yield node.lineno, f"{node.name} has {length} lines (at most {most})"


def test_the_tree_keeps_the_rules() -> None:
    """Imports go one way, and the house rules hold in every file."""
    found = violations(ROOT)
    assert not found, "\n".join(found)


def test_the_import_order_has_no_cycle() -> None:
    """The table is an order: following it from any layer never leads back."""
    left = dict(MAY_IMPORT)
    while free := [layer for layer, wants in left.items() if not wants & left.keys()]:
        for layer in free:
            del left[layer]
    assert left == {}


def test_unit_tests_mirror_the_rooms() -> None:
    """Every folder of tests/unit is one of harness/, or what lies beside it: the plugin and the scenarios."""
    unit = ROOT / "tests" / "unit"
    beside = {Path(), Path("qemu"), Path("scenarios")}
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")} - beside
    assert [str(folder) for folder in folders if not (ROOT / "harness" / folder / "__init__.py").is_file()] == []


def test_a_class_name_stands_once() -> None:
    """A reader who meets a class name knows which class it is, in whatever room."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "harness").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def pyproject() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def test_pyproject_lists_every_package() -> None:
    """A package that is not listed would be missing from an installed daxcheck."""
    setuptools = pyproject()["tool"]["setuptools"]
    listed = set(setuptools["packages"]) - set(setuptools["package-dir"])
    on_disk = {".".join(path.relative_to(ROOT).parent.parts) for path in (ROOT / "harness").rglob("*.py")}
    assert listed == on_disk
    assert [name for name in listed if not ROOT.joinpath(*name.split("."), "__init__.py").is_file()] == []


NOT_IMPORTED = {"pytest-xdist"}
"""Dependencies that no line imports: pytest loads its plugins itself, and -n is an option of this one."""


def test_dependencies_are_what_is_imported() -> None:
    """What harness and scenarios import of others is declared, and what is declared is used."""
    project = pyproject()["project"]
    extra = project["optional-dependencies"]["cluster"]
    declared = {re.split(r"[>=<\[; ]", text)[0] for text in [*project["dependencies"], *extra]}
    names = {"qemu": "qemu.qmp", "_pytest": "pytest"}
    used = {names.get(top, top) for top in third_party("harness", "scenarios")}
    assert used == declared - NOT_IMPORTED
    assert declared >= NOT_IMPORTED


def third_party(*folders: str) -> set[str]:
    """The top-level modules that the Python files in `folders` import, and that are neither Python's nor ours."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = {name.split(".")[0] for path in paths for _, name in
             imported(ast.parse(path.read_text()), path.relative_to(ROOT).parent.parts)}  # fmt: skip
    return found - sys.stdlib_module_names - {"harness"}


PLANTED = {
    "model-up": ("harness/model/judge/x.py", "import harness.agent.device", "must not import harness.agent"),
    "model-clock": ("harness/model/wire/x.py", "from harness import deadline", "must not import harness.deadline"),
    "model-io": ("harness/model/judge/x.py", "from os import path", "pure"),
    "model-third-party": ("harness/model/program/x.py", "import numpy", "standard library only"),
    "storey-up": ("harness/model/wire/x.py", "from harness.model import program", "harness.model.program"),
    "contract-judges": ("harness/model/contract/x.py", "from harness.model.judge import verdict", "model.judge"),
    "no-storey": ("harness/model/x.py", "", "no place"),
    "linux-up": ("harness/linux/x.py", "from harness.agent import device", "must not import harness.agent"),
    "agent-up": ("harness/agent/x.py", "from harness.vm import machine", "must not import harness.vm"),
    "agent-cache": ("harness/agent/x.py", "from harness import cachedir", "must not import harness.cachedir"),
    "agent-judges": ("harness/agent/x.py", "from harness.model.judge import verdict", "not import harness.model.judge"),
    "agent-third-party": ("harness/agent/x.py", "import numpy as np", "standard library only"),
    "kernel-sideways": ("harness/kernel/x.py", "from harness.model.wire import frame", "not import harness.model.wire"),
    "media-sideways": ("harness/media/x.py", "from harness.vm import guest", "must not import harness.vm"),
    "vm-up": ("harness/vm/x.py", "from ..targets import guest", "must not import harness.targets"),
    "vm-agent": ("harness/vm/x.py", "from harness.agent import serve", "must not import harness.agent"),
    "box-vm": ("harness/box/x.py", "from harness.vm import guest", "must not import harness.vm"),
    "powercut-vm": ("harness/powercut/x.py", "from harness.vm import guest", "must not import harness.vm"),
    "targets-box": ("harness/targets/x.py", "from harness.box import claim", "must not import harness.box"),
    "targets-up": ("harness/targets/x.py", "from harness.cli import main", "must not import harness.cli"),
    "in-a-function": ("harness/vm/x.py", "def f():\n    from harness import cli", "must not import harness.cli"),
    "engine-is": ("harness/cells/x.py", "def f(e): return e is Engine.POWER", "engines are told apart"),
    "engine-in": ("harness/box/x.py", "def f(e): return e in (Engine.POWER, Engine.TRACE)", "engines are told apart"),
    "engine-word": ("harness/report/x.py", "def f(r): return r.engine != 'plugin'", "engines are told apart"),
    "engine-match": ("harness/cells/x.py", "match e:\n    case Engine.POWER:\n        pass", "engines are told apart"),
    "engine-vm": ("harness/targets/engines/x.py", "from harness.vm import guest", "must not import harness.vm"),
    "engine-up": ("harness/targets/engines/x.py", "from harness.targets import steps", "not import harness.targets"),
    "target-judges": ("harness/targets/x.py", "from harness.model.judge import verdict", "harness.model.judge"),
    "report-reads": ("harness/report/x.py", "from harness.cells import cell", "must not import harness.cells"),
    "report-to-cli": ("harness/report.py", "import harness.cli", "must not import harness.cli"),
    "errors-imports": ("harness/errors.py", "from harness.model import units", "must not import harness.model.units"),
    "no-place": ("harness/misc.py", "", "no place"),
    "pyudev": ("harness/vm/x.py", "import pyudev", "pyudev may be imported by harness.box.discover only"),
    "psutil": ("harness/cli.py", "import psutil", "psutil may be imported by"),
    "pytest": ("harness/cells/x.py", "import pytest", "pytest may be imported by harness.pytestplugin and"),
    "qemu": ("harness/vm/x.py", "from qemu.qmp import QMPClient", "qemu may be imported by harness.vm.monitor only"),
    "distributed": ("harness/search/x.py", "from distributed import Client", "by harness.cluster only"),
    "sqlite3": ("harness/report/x.py", "import sqlite3", "sqlite3 may be imported by harness.history only"),
    "history-reports": ("harness/history/x.py", "from harness.report import text", "must not import harness.report"),
    "jinja2": ("harness/report/html/x.py", "from jinja2 import Template", "harness.report.html.templates only"),
    "qemu-shadow": ("qemu/__init__.py", "", "would hide PyPI's qemu.qmp"),
    "shell": ("harness/vm/x.py", "f('ls', shell=True)", "shell=True"),
    "bare-except": ("tests/test_x.py", "try:\n    f()\nexcept:\n    pass", "swallows"),
    "base-exception": ("harness/vm/x.py", "try:\n    f()\nexcept BaseException:\n    pass", "swallows"),
    "sleep": ("scenarios/test_x.py", "import time\ntime.sleep(1)", "only harness.deadline sleeps"),
    "from-sleep": ("harness/vm/x.py", "from time import sleep", "only harness.deadline sleeps"),
    "utils": ("harness/vm/utils.py", "", "utils.py"),
    "long-function": ("harness/vm/x.py", "def f() -> None:\n" + "    pass\n" * 45, "f has 46 lines"),
    "long-test": ("tests/test_x.py", "def f() -> None:\n" + "    pass\n" * 60, "f has 61 lines"),
    "headless": ("harness/vm/x.py", '"""What a guest is."""', "without a subject"),
    "headless-field": ("harness/vm/x.py", 'SIZE = 1\n"""How large it is."""', "without a subject"),
    "long-file": ("harness/vm/x.py", "x = 1\n" * 321, "321 lines"),
}
"""Rule: where a breach of it stands, the breach, and what is said of it."""

ALLOWED = {
    "model": ("harness/model/judge/x.py", "import re\nfrom harness.errors import X\nfrom harness.model import program"),
    "agent": ("harness/agent/x.py", "import os\nfrom harness import deadline\nfrom harness.model import wire"),
    "relative": ("harness/vm/x.py", "from .machine import Machine\nfrom ..errors import QemuError"),
    "engine-asked": ("harness/cells/x.py", "def f(e): return not ENGINES[e].keeps_media or make(Engine.POWER)"),
    "engine-chosen": ("harness/targets/provision.py", "def f(engine): return engine is Engine.PLUGIN"),
    "cells": ("harness/cells/x.py", "from harness import box, kernel, media, vm"),
    "cli": ("harness/cli.py", "from harness import report, targets, __version__"),
    "plugin": ("harness/pytestplugin/x.py", "import pytest\nfrom harness.cells import runner"),
    "monitor": ("harness/vm/monitor.py", "from qemu.qmp import QMPClient"),
    "clock": ("harness/deadline.py", "import time\ntime.sleep(1)"),
    "narrow-except": ("harness/vm/x.py", "try:\n    f()\nexcept (OSError, ValueError):\n    pass"),
    "long-enough": ("harness/vm/x.py", "def f() -> None:\n" + "    pass\n" * 44),
}
"""Neighbours of the breaches that are right."""


def plant(root: Path, name: str, source: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text(source)


@pytest.mark.parametrize(("name", "source", "said"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_breach_is_named(tmp_path: Path, name: str, source: str, said: str) -> None:
    """Each rule bites: its breach alone in a tree gives one line, with the file and the reason."""
    plant(tmp_path, name, source)
    (line,) = violations(tmp_path)
    assert line.startswith(f"{name}:") and said in line


@pytest.mark.parametrize(("name", "source"), ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_allowed_is_not_named(tmp_path: Path, name: str, source: str) -> None:
    """No rule bites what stands right beside its breach."""
    plant(tmp_path, name, source)
    assert violations(tmp_path) == []
