"""Writes the C program that shows what a Program lost: it does the ops, and judges by the kernel's fs_dax events which
promised pages were not written back between their store and the return of the sync.

It exits 1 if a page was not, 0 if all were, 77 if it cannot tell: an op went another way than the Program says, there
is no tracefs or no DAX, or all that was promised is what no event tells of.
"""

from collections.abc import Sequence

from harness.errors import UsageError
from harness.model.contract import oracle
from harness.model.program import ops
from harness.model.program.ops import Worker
from harness.model.program.program import Program, describe
from harness.model.program.program import format as format_program
from harness.model.program.stages import stages
from harness.repro import foreseen, frame, lanes, statement
from harness.repro.comparison import comparison
from harness.repro.frame import Emitted
from harness.repro.layout import comment, wrapped
from harness.repro.naming import names, quoted
from harness.repro.ops.checks import REFUSED
from harness.repro.promised import PromisedPages, traceable
from harness.repro.scene import Scene

_EXPLAINED = (
    "Build: gcc -static -O2 -pthread -o repro repro.c",
    "Run:   as root: ./repro /mnt    (a file system with DAX; files are replaced)",
    "Exit:  1 promised pages were not written back, 0 all were, 77 cannot tell",
)
_MOST_CALLS = 4
"""Ranges of pages that are judged one by one; more are judged in a loop."""


def source(program: Program, about: Sequence[str] = ()) -> str:
    """The reproducer; `about` are lines on what was found, which stand at its top. Raises UsageError, which names the
    op that C cannot express."""
    for index, op in enumerate(program.ops):
        if type(op) in REFUSED:
            raise UsageError(f"op {index} ({describe(op)}): {REFUSED[type(op)]}: leave it out")
    known = names(program)
    states = oracle.run(program, foreseen.results(program))
    trace = traceable(program, known, states)
    scene = Scene(program, known, bool(trace.promises))
    emitted = _emitted(scene, trace.promises)
    told = list(comparison(oracle.at_cut(program, states), trace.judged))
    words = [*about, *([""] if about else []), *format_program(program).splitlines(), "", *_EXPLAINED]
    return "".join(f"{line}\n" for line in wrapped([*comment(words), *frame.around(scene, emitted, trace, told)]))


def _emitted(scene: Scene, promises: Sequence[PromisedPages]) -> Emitted:
    made = Emitted([], [], set(), set())
    due: dict[int, list[PromisedPages]] = {}
    for one in promises:
        due.setdefault(one.index, []).append(one)
    every = list(stages(scene.program.ops))
    called = lanes.function_names([stage for stage in every if stage.races])
    for stage in every:
        if stage.races:
            names_here = [called[stage.first, number] for number in range(len(stage.lanes))]
            for name, lane in zip(names_here, stage.lanes, strict=True):
                inner = [line for index in lane.indices for line in _statements(scene, index, made)]
                made.functions.extend(lanes.function(scene, name, lane, inner))
            made.body.extend(lanes.started(stage.lanes, names_here))
            forks = any(one.lane.worker is Worker.PROCESS for one in stage.lanes)
            made.helpers.add("process" if forks else "lanes")
        else:
            made.body.extend(_statements(scene, stage.last, made))
        for one in due.get(stage.last, ()):
            made.helpers.add("covered")
            made.body.extend(_covered(scene.program, one))
    return made


def _statements(scene: Scene, index: int, made: Emitted) -> list[str]:
    one = statement.call(scene, index)
    if one is None:
        return []
    made.helpers.update(one.helpers)
    made.headers.update(one.headers)
    if isinstance(scene.foreseen(index), ops.ExpectErrno):
        made.headers.add("errno.h")
    if isinstance(scene.foreseen(index), ops.ExpectSignal):
        made.helpers.add("in_child")
    return statement.statements(scene, index, one)


def _covered(program: Program, one: PromisedPages) -> list[str]:
    """The statements that judge what op `one.index` promised of a file."""
    by = quoted(describe(program.ops[one.index]))
    if len(one.pages) <= _MOST_CALLS:
        return [f"covered({one.file - 1}, {first}, {end}, {by});" for first, end in one.pages]
    rows = ", ".join(f"{{ {first}, {end} }}" for first, end in one.pages)
    return [
        "{", f"\tstatic const int pages[][2] = {{ {rows} }};", "\tsize_t i;", "",
        "\tfor (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)",
        f"\t\tcovered({one.file - 1}, pages[i][0], pages[i][1], {by});", "}",
    ]  # fmt: skip
