"""Judges what surely must be on the media, as far as one can tell who has not mounted them.

The running kernel has told where the bytes of each file lie; these are looked for on the media as a cut left them. Only
what has one content in every order of events counts: the name and the bytes, each promised and not changed since.

    pwrite f 0 8K, fsync f, pwrite f 0 4K     [4K..8K) must be there; [0..4K) may be old or new: not looked at
    the same, and collapse_range f 0 4K       nothing is looked at: what moved may be where it was
    pwrite f 0 8, fsync f, pwrite f 8K 4K     [8..8K) is zero, whether or not the file is that long after the cut

What that shows wrong is a suspicion, since a recovery may find the file at other blocks: it must be recovered.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from harness.model.contract.allowed import ANYTHING, Allowed
from harness.model.contract.extents import Extents
from harness.model.contract.state import State
from harness.model.judge.compare import Expected, compare_file
from harness.model.judge.judgement import Judgement
from harness.model.judge.naming import Naming
from harness.model.judge.views import Judge
from harness.model.program.program import Program
from harness.model.wire.observation import FileView


def judge(program: Program, state: State, files: Sequence[FileView], image: str) -> Judgement:
    """Judge the promised bytes of these files, which lie on the media as `image`; `state` is that at the cut."""
    total = Judgement()
    naming = Naming(program, "", 0)
    for view in files:
        name = state.name(view.path)
        if view.size is None or name.current is None or name.durable != {name.current} or view.kind:
            continue
        file = state.file(view.path)
        if file is None:
            continue
        judged, wrong = compare_file(file, partial(_promised, size=view.size), view.segments)
        judging = Judge(naming.beside(view.path, file.id), file, image, "durable")
        total += Judgement(judged, judging.violations(wrong))
    return total


def _promised(contents: Extents[Allowed], size: int) -> Iterator[Expected]:
    """Yield the runs of bytes that the media hold in one way only, if they hold them at all."""
    for low, high, byte in contents.runs(0, size):
        if len(byte.durable) == 1 and ANYTHING not in byte.durable:
            yield Expected(low, high, byte.durable, byte.ever, byte.promised_by)
