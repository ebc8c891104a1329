"""`daxcheck shrink`: the smallest Program that shows the finding of a .prog file."""

import argparse
import contextlib
import sys
from pathlib import Path

from harness import ending, place, progfile
from harness.cells import setup
from harness.cells.matrix import FilePart
from harness.commands.fuzz import workers_of
from harness.errors import EXIT_CLEAN, EXIT_INFRA, DaxcheckError, UsageError
from harness.findings.cause import causes, id_of
from harness.fs import filesystem
from harness.model.cell import Cell
from harness.model.judge.result import Outcome
from harness.model.setting import crashplan
from harness.plain import plain
from harness.pytestplugin import precedence
from harness.pytestplugin.options import complete
from harness.search.reduction import Reduced, reduce
from harness.search.workers import Task, TaskForce, Workers


def main(options: argparse.Namespace) -> int:
    """Shrink one Program: 0 it is written, 3 it could not be judged. Raises UsageError for one that does not fail."""
    text, count = progfile.judgeable(options.file), workers_of(options.workers)
    typed = [option for option in ("--fs", "--seed") if getattr(options, option[2:]) is not None]
    for line in precedence.remarks(options, typed, [(options.file, text)]):
        _say(line)
    options = precedence.completed(options, text, fs="ext4")
    if len(filesystem.labels(options.fs)) > 1 or "," in options.kernel:
        raise UsageError("shrink works on one kernel and one file system: name one of each")
    everything = complete(options, engine="plugin", results=None)
    with contextlib.ExitStack() as stack:
        runner = setup.runner(everything, _say)
        stack.callback(runner.close)
        runner.prepare()
        (slot,) = runner.part(FilePart(why_not_kernel=text.heading.why_not_on))
        if slot.skip:
            raise UsageError(f"{options.file}: cannot be run: {slot.skip}")
        digests = [kernel.digest for kernel in runner.kernels]
        workers = stack.enter_context(Workers(count, everything, digests))
        plan = crashplan.find(options.crash, options.evictions)
        cell = Cell(options.file.name, text.program, slot.config, options.seed, plan)
        signature = _sought(workers, cell, options.finding)
        reduced = reduce(workers, cell, signature, _say)
    return _written(reduced, signature, options.out)


def _sought(workers: TaskForce, cell: Cell, wanted: str) -> str:
    """Return the signature of the finding to keep. Raises UsageError where the Program does not show it."""
    (answer,) = workers.answers([Task(cell)])
    if isinstance(answer, DaxcheckError):
        raise answer
    result = answer.result
    if result.outcome is not Outcome.FAIL:
        reason = f": {result.error}" if result.error else ""
        raise UsageError(f"{cell.scenario}: does not fail on {cell.config} ({result.outcome}{reason}): nothing to keep")
    found = {id_of(one.signature): one.signature for one in causes(result)}
    matching = [one for name, one in found.items() if name.startswith(wanted)]
    if not matching:
        raise UsageError(f"--finding {wanted[:40]!r}: {cell.scenario} shows {', '.join(found)}: name one of these")
    _say(f"finding {id_of(matching[0])}: {matching[0]}")
    return matching[0]


def _written(reduced: Reduced, signature: str, out: Path | None) -> int:
    before, after = f"{reduced.before[0]} of {reduced.before[1]}", f"{reduced.hits} of {reduced.runs}"
    _say(f"{len(reduced.program.ops)} ops; fails in {after} runs (before: {before})")
    if reduced.result is None:
        _say(f"{id_of(signature)} did not show again: it is a race, or it was seen in a guest that others had used")
        return EXIT_INFRA
    text = progfile.text_of(reduced.result.result)
    if out is None:
        sys.stdout.write(text)
        return EXIT_CLEAN
    try:
        with place.opened(out.absolute().parent) as folder:
            place.write(folder, out.name, text.encode())
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}: name another file") from error
    return EXIT_CLEAN


def _say(line: str) -> None:
    """Tell a line where it is no part of the Program."""
    ending.flush()
    print(plain(f"  {line}"), file=sys.stderr, flush=True)
