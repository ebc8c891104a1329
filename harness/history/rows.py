"""Cells as rows of the history, and the strict reading of them: the file may be anyone's."""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from harness.findings.keptcell import KeptCause, KeptCell, Site
from harness.model.judge.result import Outcome
from harness.model.setting import crashplan
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind

_COLUMNS = (
    "cell.scenario", "cell.fs", "cell.device", "cell.engine", "cell.plan", "cell.kernel", "result.outcome",
    "result.seconds", "result.known", "cell.kernel_digest", "cell.program", "cell.digest", "cell.seed",
    "result.started", "run.name",
)  # fmt: skip
_SELECT = f"""
    SELECT result.id, {', '.join(_COLUMNS)}, cause.signature, cause.title FROM result
    JOIN cell ON cell.id = result.cell JOIN run ON run.id = result.run
    LEFT JOIN sighting ON sighting.result = result.id LEFT JOIN cause ON cause.id = sighting.cause
"""
_ORDER = "ORDER BY result.started, result.id"


def add(
    connection: sqlite3.Connection, run: str, directory: str, cells: Sequence[KeptCell], marks: Sequence[bytes]
) -> int:
    """Add the cells of a run, but those whose mark is there already; returns how many were added.

    The run is made with its first cell, and begins when the first of its cells began. Raises sqlite3.Error.
    """
    marked = dict(zip(marks, cells, strict=True))
    fresh = {mark: one for mark, one in marked.items() if _find(connection, "result", mark=mark) is None}
    if fresh:
        started = min(one.started for one in fresh.values())
        number = _put(connection, "run", {"name": run}, started=started, directory=_text(directory))
        for mark, one in fresh.items():
            _add(connection, number, one, mark)
    return len(fresh)


def _add(connection: sqlite3.Connection, run: int, cell: KeptCell, mark: bytes) -> None:
    site = cell.site
    columns = {
        "scenario": site.scenario, "kernel": cell.kernel, "fs": site.fs, "device": site.device, "engine": site.engine,
        "plan": str(site.plan),
        "seed": cell.seed, "program": cell.program, "kernel_digest": cell.kernel_digest, "digest": cell.id,
    }  # fmt: skip
    number = _put(connection, "cell", {name: _text(value) for name, value in columns.items()})
    known = json.dumps(cell.known)
    result = _put(connection, "result", {"mark": mark}, run=run, cell=number, outcome=str(cell.outcome),
                  seconds=cell.seconds, started=cell.started, known=known)  # fmt: skip
    for one in cell.causes:
        cause = _put(connection, "cause", {"signature": _text(one.signature), "title": _text(one.title)})
        connection.execute("INSERT OR IGNORE INTO sighting VALUES (?, ?)", (result, cause))


def read(connection: sqlite3.Connection, condition: str = "1", values: Sequence[object] = ()) -> tuple[KeptCell, ...]:
    """The cells whose rows meet a condition of SQL, in the order of time.

    Raises sqlite3.Error, also for a row that add() did not write.
    """
    with strictly():
        return tuple(_cells(connection.execute(f"{_SELECT} WHERE {condition} {_ORDER}", values)))


@contextlib.contextmanager
def strictly() -> Iterator[None]:
    """Raise sqlite3.Error for what could not be made of a row."""
    try:
        yield
    except (ValueError, TypeError, RecursionError) as error:
        raise sqlite3.DatabaseError(f"no row of daxcheck: {' '.join(str(error).split())[:80]}") from error


def _cells(rows: Iterable[tuple[object, ...]]) -> Iterator[KeptCell]:
    """Return each cell with all its causes, which stand in one row each."""
    last: tuple[object, ...] = ()
    seen: list[KeptCause] = []
    for number, *columns, signature, title in rows:
        if last and last[0] != number:
            yield _cell(last[1:], seen)
            seen = []
        last = (number, *columns)
        if signature is not None:
            seen.append(KeptCause(str(signature), str(title)))
    if last:
        yield _cell(last[1:], seen)


def _cell(columns: Sequence[object], causes: Sequence[KeptCause]) -> KeptCell:
    kernel, outcome, seconds, known, *texts = columns[5:]
    names = json.loads(str(known))
    if not isinstance(names, list) or not isinstance(seconds, float) or not seconds >= 0:
        raise ValueError(f"{known!r}, {seconds!r}")
    return KeptCell(
        site(columns[:5]), str(kernel), Outcome(str(outcome)), seconds, tuple(causes), tuple(map(str, names)),
        *map(str, texts),
    )  # fmt: skip


def site(columns: Sequence[object]) -> Site:
    """The site of a scenario, file system, device, engine and plan. Raises ValueError."""
    scenario, fs, device, engine, plan = map(str, columns)
    return Site(scenario, fs, PmemKind(device), Engine(engine), crashplan.parse(plan))


def marks(cells: Sequence[KeptCell]) -> list[bytes]:
    """The name of each cell by content, the same whenever it is added again: from a run, or from its results.

    Cells of an older daxcheck have no time, and two SKIPs took no seconds either. These are told apart by the first
    cell of their results that took some, and by their number.
    """
    anchor = next((_content(one) for one in cells if one.seconds), "")
    counts: dict[str, int] = {}
    found = []
    for one in cells:
        text = _content(one)
        if not one.started:
            counts[text] = counts.get(text, 0) + 1
            text = f"{anchor} {counts[text]} {text}"
        found.append(hashlib.sha256(text.encode()).digest()[:16])
    return found


def _content(cell: KeptCell) -> str:
    """Return what is fixed once a cell was judged: known issues may make another outcome of it."""
    site = cell.site
    return json.dumps([
        site.scenario, site.fs, site.device, site.engine, cell.kernel, cell.kernel_digest, cell.program, cell.seed,
        cell.seconds, cell.started, *([] if site.plan.usual else [str(site.plan)]),
    ])  # fmt: skip


def _put(connection: sqlite3.Connection, table: str, key: dict[str, object], **others: object) -> int:
    """Return the number of the row with this key, which is made if missing."""
    found = _find(connection, table, **key)
    if found is not None:
        return found
    columns = key | others
    places = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
    return connection.execute(statement, tuple(columns.values())).lastrowid or 0


def _find(connection: sqlite3.Connection, table: str, **key: object) -> int | None:
    condition = " AND ".join(f"{name} = ?" for name in key)
    row = connection.execute(f"SELECT id FROM {table} WHERE {condition}", tuple(key.values())).fetchone()
    return None if row is None else int(row[0])


def _text(value: str) -> str:
    """Return the text without lone surrogates, which SQLite does not take."""
    return value.encode(errors="backslashreplace").decode()
