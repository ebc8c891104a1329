"""Writes the C program that shows what a Program lost: it does the ops, and judges by the kernel's fs_dax events which
promised pages were not written back between their store and the return of the sync.

It exits 1 if a page was not, 0 if all were, 77 if it cannot tell: an op went another way than the Program says, there
is no tracefs or no DAX, or all that was promised is what no event tells of.
"""

from collections.abc import Iterator, Sequence

from harness.errors import UsageError
from harness.model.contract import oracle
from harness.model.program import ops
from harness.model.program.program import Program, describe
from harness.model.program.program import format as format_program
from harness.model.program.stages import stages
from harness.repro import foreseen, frame, lanes, readback, statement, tracing
from harness.repro.comparison import comparison
from harness.repro.frame import Emitted, Untraced
from harness.repro.layout import comment, wrapped
from harness.repro.naming import names, quoted
from harness.repro.ops.checks import REFUSED
from harness.repro.promised import PromisedPages, traceable
from harness.repro.scene import Scene, scene

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
    at_cut = oracle.at_cut(program, states)
    zeroes = [*readback.zeroes(program, known, at_cut)]
    here = scene(program, known, trace, [one.file for one in zeroes])
    emitted = _emitted(here, trace.promises)
    untraced = Untraced([*comparison(at_cut, trace.judged)], zeroes)
    promised = sum(end - first for one in trace.promises for first, end in one.pages)
    words = [*about, *([""] if about else []), *_ops(program), "", *_explained(here, bool(zeroes))]
    return "".join(f"{line}\n" for line in wrapped([*comment(words), *frame.around(here, emitted, untraced, promised)]))


def _ops(program: Program) -> list[str]:
    return format_program(program).splitlines()[-len(program.ops) :]


def _explained(scene: Scene, reads: bool) -> Iterator[str]:
    """Yield how to build and run it, and what its exit codes mean."""
    lost, stale = "promised pages were not written back", "a file shows stale bytes"
    codes = {
        (True, False): f"1 {lost}, 0 all were, ", (False, True): f"1 {stale}, ",
        (True, True): f"1 {lost} or {stale}, 0 neither, ", (False, False): "",
    }  # fmt: skip
    yield f"Build: gcc -static -O2 {'-pthread ' * scene.raced}-o repro repro.c"
    yield "Run:   as root: ./repro /mnt    (a file system with DAX; files are replaced)"
    yield f"Exit:  {codes[scene.traced, reads]}77 cannot tell"


def _emitted(scene: Scene, promises: Sequence[PromisedPages]) -> Emitted:
    made = Emitted()
    due: dict[int, list[PromisedPages]] = {}
    for one in promises:
        due.setdefault(one.index, []).append(one)
    every = list(stages(scene.program.ops))
    called = lanes.function_names([stage for stage in every if stage.races])
    for stage in every:
        if scene.begin in stage.indices:
            made.body.extend(tracing.begun(scene.form))
        if stage.races:
            names_here = [called[stage.first, number] for number in range(len(stage.lanes))]
            for name, lane in zip(names_here, stage.lanes, strict=True):
                inner = [line for index in lane.indices for line in _statements(scene, index, made)]
                made.functions.extend(lanes.function(scene, name, lane, inner))
            made.body.extend(lanes.started(stage.lanes, names_here))
            made.helpers.update(lanes.HELPERS[one.lane.worker] for one in stage.lanes)
        else:
            made.body.extend(_statements(scene, stage.last, made))
        for one in due.get(stage.last, ()):
            made.helpers.add("covered")
            made.body.extend(_covered(scene, one))
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


def _covered(scene: Scene, one: PromisedPages) -> list[str]:
    """The statements that judge what op `one.index` promised of a file."""
    file = scene.form.argument(scene.files.index(one.file))
    by = "" if scene.form.once else f", {quoted(describe(scene.program.ops[one.index]))}"
    if len(one.pages) <= _MOST_CALLS:
        return [f"covered({file}{first}, {end}{by});" for first, end in one.pages]
    rows = ", ".join(f"{{ {first}, {end} }}" for first, end in one.pages)
    return [
        "{", f"\tstatic const int pages[][2] = {{ {rows} }};", "\tsize_t i;", "",
        "\tfor (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)",
        f"\t\tcovered({file}pages[i][0], pages[i][1]{by});", "}",
    ]  # fmt: skip
