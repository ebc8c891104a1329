"""Every op of every scenario can be cut: what was there before and after it is allowed inside, nothing foreign is."""

from collections.abc import Iterator

import pytest

from harness.model.contract import oracle
from harness.model.contract.allowed import Anything
from harness.model.contract.directories import is_directory, maker
from harness.model.contract.state import NOTHING, State
from harness.model.judge.verdict import judge
from harness.model.judge.violation import Kind
from harness.model.program.ops import SymbolicLink
from harness.model.program.program import Program
from harness.model.program.stages import stages
from harness.model.wire.observation import DIRECTORY, SYMLINK, FileView, Opaque, Segment, Source
from harness.pytestplugin import recording
from harness.pytestplugin.arguments import SCENARIOS

EVERY = 8
"""By day one in so many scenarios is cut."""


def shown(program: Program, state: State, other: Source | None = None) -> list[FileView]:
    """The files as a read returns them, when all that is current has reached the media; or `other` in all bytes."""
    found = []
    for path in dict.fromkeys((*program.names(), *state.names)):
        file = state.file(path)
        runs = file.contents.runs(0, file.longest) if file else ()
        known = [(low, high, [one for one in sorted(byte.current, key=str) if not isinstance(one, Anything)])
                 for low, high, byte in runs]  # fmt: skip
        segments = tuple(Segment(low, high, other or sources[0]) for low, high, sources in known if sources)
        named = named_otherwise(program, path, state.name(path).current)
        found.append(named or FileView(path, file.longest if file else None, segments))
    return found


def named_otherwise(program: Program, path: str, id: int | None) -> FileView | None:
    """The view of a directory or a symbolic link; None of a file, and where nothing is."""
    if is_directory(id):
        return FileView(path, 0, kind=DIRECTORY)
    made = None if id is None or (index := maker(id)) is None else program.ops[index]
    return FileView(path, 0, kind=SYMLINK, target=made.target) if isinstance(made, SymbolicLink) else None


def moments(program: Program, journal: bool) -> Iterator[tuple[int, State, State, State]]:
    """Of each op, or race, its index and what may be on the media inside it, before it and after it."""
    states = oracle.run(program, journal=journal)
    for stage in stages(program.ops):
        before = states[stage.first - 1] if stage.first else NOTHING
        yield stage.last, oracle.within(program, states, stage.last, journal), before, states[stage.last]


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(1, EVERY))])
def test_before_and_after_are_allowed_inside(part: int, journal: bool) -> None:
    """A file system that does the op at once, before the cut or never, passes at every op of every scenario. With a
    journal the same files full of bytes that nobody wrote do not, unless nothing of them was read."""
    every = list(recording.record_all(SCENARIOS).items())[part::EVERY]
    foreign = 0
    for name, one in every:
        for index, inside, *both in moments(one.program, journal):
            for state in both:
                judgement = judge(one.program, inside, shown(one.program, state), "image")
                assert not judgement.violations, (name, index, judgement.violations)
            garbage = judge(one.program, inside, shown(one.program, both[1], Opaque(b"\x5a" * 16)), "image")
            kinds = {found.kind for found in garbage.violations}
            assert not journal or not garbage.judged_bytes or Kind.FOREIGN in kinds, (name, index)
            foreign += Kind.FOREIGN in kinds
    assert foreign > 10 * len(every) * journal
