"""Puts a reproducer together: what stands before the statements of the ops, and what ends main()."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.model.program import ops
from harness.model.program.ops import How
from harness.repro import headers, seldom, tracing
from harness.repro.helpers import chosen
from harness.repro.layout import WIDTH
from harness.repro.naming import quoted, size
from harness.repro.readback import Zeroes
from harness.repro.scene import Scene

_COMPARE = "No event tells of these. After a power cut compare:"


@dataclass(frozen=True, slots=True)
class Emitted:
    """The statements of the ops outside of lanes, the functions of lanes, and the helpers and headers that all need."""

    body: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    helpers: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Untraced:
    """Lines on what to compare after a cut, and zeroes to read back at once, since no event tells of either."""

    told: Sequence[str]
    zeroes: Sequence[Zeroes]


def around(scene: Scene, emitted: Emitted, untraced: Untraced, promised: int) -> Iterator[str]:
    """Yield all lines below the comment at the top; `promised` are the pages that are judged."""
    table = {**tracing.helpers(scene.form), **seldom.TABLE}
    texts = chosen(table, emitted.helpers)
    below = [line for one in texts for line in (*one.text.splitlines(), "")]
    below += [*emitted.functions, *_main(scene, emitted, untraced, promised)]
    code = "\n".join(below)
    yield "#define _GNU_SOURCE"
    more = {*emitted.headers, *(header for one in texts for header in one.headers)}
    yield from (f"#include <{header}>" for header in headers.headers(code, more))
    yield ""
    status = "lost ? 1 : 77" if scene.traced else "77"
    yield f'#define CHECK(x) do {{ if (!(x)) err({status}, "%s", #x); }} while (0)'
    if scene.traced:
        yield f'#define TRACE "{tracing.INSTANCE}"'
    yield from headers.units(code)
    yield ""
    yield from _declared(scene, code, bool(untraced.zeroes))
    yield ""
    yield from below


def _declared(scene: Scene, code: str, reads: bool) -> Iterator[str]:
    form = scene.form
    if scene.traced:
        yield from tracing.declared(form)
    elif scene.checked:
        yield "static struct statx st;"
    arrays = [f"written{'' if form.files == 1 else f'[{form.files}]'}[{form.pages}]"] if scene.traced else []
    pieces = [op for op in scene.program.ops if isinstance(op, ops.Pwrite | ops.Pread)]
    if re.search(r"\bbuf\b", code):
        aligned = " __attribute__((aligned(4096)))" if any(op.how is How.DIRECT for op in pieces) else ""
        arrays.append(f"buf[{max(op.length for op in pieces)}]{aligned}")
    arrays += [f"*{name}" for name in scene.names.maps.values()]
    arrays += ["mapped[1 << 16]"] * (scene.traced and form.faults)
    if arrays:
        yield f"static char {', '.join(arrays)};"
    counts = ["lost"] * scene.traced + ["stale"] * reads + ["marker"] * (scene.traced and form.marks)
    yield f"static int {', '.join((*scene.names.fds.values(), *(['root'] * _has_root(code)), *counts))};"


def _has_root(code: str) -> bool:
    return re.search(r"\broot\b", code) is not None


def _main(scene: Scene, emitted: Emitted, untraced: Untraced, promised: int) -> Iterator[str]:
    body = [*emitted.body, *_undone(scene)]
    mounts = emitted.helpers & {"remount", "unmount", "mount_again"}
    yield "int main(int argc, char **argv)"
    yield "{"
    if untraced.zeroes:
        yield from ("\tchar byte;", "\tlong at;", *["\tint fd;"] * any(not one.fd for one in untraced.zeroes), "")
    if mounts:
        yield "\tCHECK(argc == 2);"
        yield "\tnote_mount(argv[1]);"
    rooted = mounts or _has_root("\n".join((*body, *emitted.functions)))
    root = ' && (root = open(".", O_RDONLY)) >= 0' if rooted else ""
    yield f"\tCHECK(argc == 2 && !chdir(argv[1]){root});"
    paths = [*scene.program.names(), *([".filler"] if "fill" in emitted.helpers else [])]
    remove = "remove" if any(isinstance(op, ops.Mkdir) for op in scene.program.ops) else "unlink"
    yield from (f"\t{remove}({quoted(path)});" for path in sorted(paths, key=lambda one: -one.count("/")))
    yield from (f"\t{line}" if line else "" for line in body)
    yield ""
    yield from (f"\t{line}" for line in _ended(scene, untraced, promised))
    yield "}"


def _undone(scene: Scene) -> Iterator[str]:
    """The statements that give the machine back as it was: nobody could write to a file system that stays frozen."""
    last = {type(op): index for index, op in enumerate(scene.program.ops)}
    if last.get(ops.Freeze, -1) > last.get(ops.Thaw, -1):
        yield "CHECK(!ioctl(root, FITHAW, 0));"
    if last.get(ops.Fill, -1) > last.get(ops.Unfill, -1):
        yield 'unlink(".filler");'


def _ended(scene: Scene, untraced: Untraced, promised: int) -> Iterator[str]:
    """The statements that say what was found, on the last line, and before it what no event tells of."""
    if scene.traced:
        yield from tracing.ended(scene.form)
    if untraced.told:
        yield from _puts([_COMPARE, *(f"  {line}" for line in untraced.told)])
    yield from (line for one in untraced.zeroes for line in _read_back(one))
    if untraced.zeroes:
        yield "if (stale)"
        yield '\tprintf("STALE %d bytes that must be zero\\n", stale);'
    if scene.traced:
        yield f'printf("%s %d of {promised} promised pages\\n", lost ? "LOST" : "covered", lost ? lost : {promised});'
        yield "return lost || stale;" if untraced.zeroes else "return !!lost;"
    else:
        yield from ("else",) * bool(untraced.zeroes)
        indent = "\t" * bool(untraced.zeroes)
        yield f'{indent}puts("cannot tell: no event tells of what is promised");'
        yield f"return {'stale ? 1 : ' if untraced.zeroes else ''}77;"


def _read_back(zeroes: Zeroes) -> Iterator[str]:
    fd = zeroes.fd or "fd"
    if not zeroes.fd:
        yield f"CHECK((fd = open({quoted(zeroes.path)}, O_RDONLY)) >= 0);"
    yield f"for (at = {size(zeroes.start)}; at < {size(zeroes.end)}; at++)"
    yield f"\tstale += pread({fd}, &byte, 1, at) != 1 || byte;"


def _puts(lines: Sequence[str]) -> Iterator[str]:
    """The statement that prints the lines: as many to a literal as stand in a row."""
    rows: list[str] = []
    for line in lines:
        if rows and len(rows[-1]) + len(quoted(line)) + len("\n\t       puts(\n\n);") < WIDTH:
            rows[-1] += f"\n{line}"
        else:
            rows.append(line)
    literals = [quoted(f"{row}\n") for row in rows[:-1]] + [quoted(rows[-1])]
    for number, literal in enumerate(literals):
        begin = "puts(" if not number else "     "
        yield f"{begin}{literal}{');' if number == len(literals) - 1 else ''}"
