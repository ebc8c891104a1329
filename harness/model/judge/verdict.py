"""Judges what was read against what the contract allows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from harness.model.contract.allowed import ANYTHING, Values
from harness.model.contract.directories import is_directory, maker
from harness.model.contract.effect import came
from harness.model.contract.exchange import Half
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.state import NOTHING, NameState, State
from harness.model.judge.compare import Expected, compare
from harness.model.judge.judgement import Judgement
from harness.model.judge.naming import Naming, Promise, path_of, promise
from harness.model.judge.reads import Read, expected_read
from harness.model.judge.values import Condition, Names, Said, Value
from harness.model.judge.views import Judge, Which, sizes
from harness.model.judge.violation import LIVE, Kind, Violation
from harness.model.program.ops import DirectLoad, Load, Observe, Pread, SymbolicLink
from harness.model.program.program import Program
from harness.model.wire.observation import DIRECTORY, SYMLINK, FileView, OpResult

__all__ = ["LIVE", "Judgement", "Which", "judge", "judge_reads"]


def judge(
    program: Program,
    state: State,
    files: Sequence[FileView],
    image: str,
    which: Which = "durable",
    by: int | None = None,
) -> Judgement:
    """Judge every name of the Program as read back from `image` (its name in the report), with the power on by op `by`.

    A name is held against each file that it may stand for, and any of them explains it. Only bytes that were read count
    as judged. A name that may be absent, and is absent, has nothing to judge. A file that no op made is a violation.
    """
    views = {view.path: view for view in files}
    return _Judging(program, state, image, which, promise(program, by)).all(views)


def judge_reads(program: Program, states: Sequence[State], results: Iterable[OpResult]) -> Judgement:
    """Judge what the loads, preads and observes of the Program returned; `states` as oracle.run gives them."""
    by_index = {result.index: result for result in results}
    total = Judgement()
    naming = Naming(program, "", 0)
    for index, op in enumerate(program.ops):
        result = by_index.get(index)
        if result is not None and (result.errno or result.signal):
            continue
        before = states[index - 1] if index else NOTHING
        if isinstance(op, Load | Pread | DirectLoad):
            read = came(op, result, program.ops[index - 1] if index else None)
            if isinstance(read, Load | Pread | DirectLoad):
                total += _judge_read(naming, program, before, index, read, result)
        elif isinstance(op, Observe):
            total += judge(program, before, result.files if result else (), LIVE, "current", index)
    return total


def _judge_read(
    naming: Naming, program: Program, before: State, index: int, op: Read, result: OpResult | None
) -> Judgement:
    reading = expected_read(before, op)
    if not reading.expected:
        return Judgement()
    naming = naming.beside(path_of(program, before, reading.file), reading.file)
    segments = result.segments if result else ()
    judged, wrong = compare(reading.expected, segments)
    if wrong:
        judged, wrong = compare(expected_read(before, op, past=True).expected, segments)
    missing = reading.needed - judged
    unjudged = (f"{naming.op(index)}: {missing} bytes not seen",) if missing > 0 else ()
    judging = Judge(naming, before.files[reading.file], LIVE, "current", naming.promise(index))
    return Judgement(judged, judging.violations(wrong), unjudged)


class _Judging:
    """Judges all names of one image."""

    def __init__(self, program: Program, state: State, image: str, which: Which, by: Promise) -> None:
        self._program = program
        self._naming = Naming(program, "", 0)
        self._state = state
        self._image = image
        self._which: Which = which
        self._by = by
        self._asked = dict.fromkeys(program.names())
        self._standing: dict[str, frozenset[int]] = {}
        """Every name that was read -> the files that it may stand for, by what was read."""
        self._whole: dict[int, FileView] = {}
        """Every file that is surely there, by its name, and whose bytes are right each by itself."""

    def all(self, views: Mapping[str, FileView]) -> Judgement:
        """Judge all names, strangers too."""
        total = Judgement()
        # No op made the paths that only entries of several moments make together: what is there is told as a stranger.
        names = dict.fromkeys((*self._asked, *self._state.names))
        for path in names:
            view = views.get(path)
            if view is not None:
                total += self._name(path, view)
            elif path in self._asked and self._candidates(path) != {None}:
                total += Judgement(unjudged=(f"{path}: not read back",))
        strangers = [view for path, view in views.items() if path not in names and view.size is not None]
        found = [self._there(view, Kind.FOREIGN, Condition.NO_FILE, self._by) for view in strangers]
        if self._which == "durable":
            found += [*self._lost(), *self._halved()]
        return total + Judgement(violations=tuple(found))

    def _candidates(self, path: str) -> frozenset[int | None]:
        name = self._state.name(path)
        return name.durable if self._which == "durable" else frozenset({name.current})

    def _name(self, path: str, view: FileView) -> Judgement:
        name, candidates = self._state.name(path), self._candidates(path)
        files = [id for id in (name.current, *sorted(id for id in candidates if id is not None)) if id in candidates]
        found = list(dict.fromkeys(id for id in files if id is not None))
        ids = [id for id in found if id in self._state.files]
        self._standing[path] = frozenset()
        if view.size is None:
            return Judgement() if None in candidates else Judgement(violations=(self._missing(path, name, found[0]),))
        if found and (view.kind or not ids):
            same = [id for id in found if self._sort(id) == (view.kind, view.target)]
            self._standing[path] = frozenset(same)
            wrong = self._kind(path, name, self._shown(*self._sort(found[0])), self._shown(view.kind, view.target))
            return Judgement() if same else Judgement(violations=(wrong,))
        if not ids:
            # unlink(2), rename(2): the name is gone, after a cut once the directory was synced.
            return Judgement(violations=(self._there(view, Kind.NAME, Condition.GONE, self._promise(name)),))
        judgements = {id: self._judge(path, self._state.files[id]).view(view) for id in ids}
        right = [id for id, judgement in judgements.items() if not judgement.violations]
        self._standing[path] = frozenset(right or ids)
        if len(right) == 1:
            self._whole[right[0]] = view
        return judgements[(right or ids)[0]]

    def _judge(self, path: str, file: FileState) -> Judge:
        return Judge(self._naming.beside(path, file.id), file, self._image, self._which, self._by)

    def _promise(self, name: NameState) -> Promise:
        return promise(self._program, name.promised_by) if self._which == "durable" else self._by

    def _sort(self, id: int) -> tuple[str, str]:
        """The kind of what has the id, and of a symbolic link what it holds."""
        op = None if (index := maker(id)) is None else self._program.ops[index]
        if isinstance(op, SymbolicLink):
            return SYMLINK, op.target
        return (DIRECTORY if is_directory(id) else ""), ""

    def _shown(self, kind: str, target: str) -> Value:
        if kind == SYMLINK:
            return Said(f"a symbolic link to {target or 'nothing'}")
        return Condition.DIRECTORY if kind else Condition.FILE

    def _kind(self, path: str, name: NameState, expected: Value, found: Value) -> Violation:
        return Violation(Kind.NAME, path, *self._promise(name), self._image, (), 0, expected, found)

    def _missing(self, path: str, name: NameState, id: int) -> Violation:
        if id not in self._state.files:
            return self._kind(path, name, self._shown(*self._sort(id)), Condition.MISSING)
        op, verb = self._promise(name)
        return replace(self._judge(path, self._state.files[id]).missing(), op=op, verb=verb)

    def _there(self, view: FileView, kind: Kind, expected: Value, by: Promise) -> Violation:
        size = view.size or 0
        where = ((0, size),) if size else ()
        return Violation(kind, view.path, *by, self._image, where, size, expected, sizes([Span(size, size)]))

    def _halved(self) -> Iterator[Violation]:
        """Exchanges of which the image has a part: all that is there of both ranges is to be old, or new."""
        for exchange in self._state.exchanges:
            seen = [(half, self._whole[half.file]) for half in exchange.halves if half.file in self._whole]
            worlds = ([(half.old, half, view) for half, view in seen], [(half.new, half, view) for half, view in seen])
            if any(all(_shows(*one) for one in world) for world in worlds):
                continue
            half, view = seen[0]
            where = half.start, min(half.end, view.size or 0)
            by, whole, part = promise(self._program, exchange.op), Condition.EXCHANGED, Condition.EXCHANGED_IN_PART
            yield Violation(Kind.TORN, view.path, *by, self._image, (where,), where[1] - where[0], whole, part)

    def _lost(self) -> Iterator[Violation]:
        """Files that were renamed and have neither an old nor a new name (State.kept)."""
        for id, names in self._state.kept.items():
            told = [path for path in names if path in self._standing]
            if names & self._asked.keys() - self._standing.keys() or any(id in self._standing[path] for path in told):
                continue
            promises = [index for path in names if (index := self._state.name(path).promised_by) is not None]
            path = path_of(self._program, self._state, id)
            by = promise(self._program, max(promises, default=None))
            size = self._state.files[id].longest if id in self._state.files else 0
            where, expected = ((0, size),) if size else (), Names(tuple(sorted(names)))
            yield Violation(Kind.NAME, path, *by, self._image, where, size, expected, Condition.MISSING)


def _shows(values: Extents[Values], half: Half, view: FileView) -> bool:
    """Say whether the view shows one of these values at each byte of the half that it shows."""
    runs = values.runs(half.start, min(half.end, view.size or 0))
    expected = [Expected(low, high, held, None) for low, high, held in runs if ANYTHING not in held]
    return not compare(expected, view.segments)[1]
