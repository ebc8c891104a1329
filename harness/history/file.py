"""The file of the history: where it is, and how it is opened for one piece of work at a time.

The journal is SQLite's rollback journal, not a write-ahead log: that one needs memory which all its processes share,
and a home directory on NFS has none. No connection outlives its piece of work, so that two runs wait for each other
for some milliseconds, and a run that is killed in mid-write leaves a journal from which the next one puts all back.
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from harness import paths, place
from harness.history import schema
from harness.history.schema import HistoryError

NAME = "history.sqlite"
WAIT = 10.0
"""Seconds to wait while another process writes."""


def default() -> Path:
    """The path of the user's history, whether it exists or not. Raises HistoryError."""
    base = paths.base("XDG_STATE_HOME", ".local/state")
    if base is None:
        raise HistoryError("no home directory for the history: set HOME or XDG_STATE_HOME, or name it by --history")
    return base / "daxcheck" / NAME


@contextlib.contextmanager
def writing(path: Path, wait: float = WAIT) -> Iterator[sqlite3.Connection]:
    """A transaction on the file, which is made if missing: all of it is done, or nothing. Raises HistoryError."""
    with _explained(path):
        with place.opened(path.parent) as folder:
            os.close(place.create(folder, path.name))  # which refuses a link, and a device: SQLite would write there
        with contextlib.closing(_connect(path, wait)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            schema.migrate(connection, str(path))
            yield connection
            connection.execute("COMMIT")  # close() rolls back what was not committed


@contextlib.contextmanager
def reading(path: Path, wait: float = WAIT) -> Iterator[sqlite3.Connection]:
    """The file as it is now, or an empty history if there is none; nothing can be written. Raises HistoryError.

    The tables of an older daxcheck are read from a copy in memory that has been brought to those of today.
    """
    with _explained(path), contextlib.closing(_opened(path, wait)) as connection:
        if schema.version(connection, str(path)) == len(schema.STEPS):
            connection.execute("PRAGMA query_only = 1")
            connection.execute("BEGIN")
            yield connection
        else:
            with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
                connection.backup(copy)
                schema.migrate(copy, str(path))
                yield copy


def _opened(path: Path, wait: float) -> sqlite3.Connection:
    try:
        status = path.stat()
    except FileNotFoundError:
        return sqlite3.connect(":memory:", isolation_level=None)
    if not stat.S_ISREG(status.st_mode):
        raise HistoryError(f"{path}: no regular file; name another file by --history FILE")
    return _connect(path, wait)


def _connect(path: Path, wait: float) -> sqlite3.Connection:
    """Open the file, for reading only where it cannot be written: what a killed run has left has to be put back."""
    name = f"file:{quote(os.fsencode(path.absolute()))}?mode=rw"
    connection = sqlite3.connect(name, uri=True, timeout=wait, isolation_level=None)
    # The file may be anyone's: its schema calls no functions, and a page is checked before it is believed.
    connection.execute("PRAGMA trusted_schema = 0")
    connection.execute("PRAGMA cell_size_check = 1")
    return connection


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeError) as error:  # the module decodes what SQLite says of a damaged schema
        raise HistoryError(f"{path}: {_why(error)}") from error
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}; name another file by --history FILE") from error


def _why(error: sqlite3.Error | UnicodeError) -> str:
    """Return what is wrong and the remedy. A result code has its kind in the eight lowest bits."""
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another process keeps it locked; end that one, or name another file by --history FILE"
        case sqlite3.SQLITE_FULL:
            return "no space left; free some, or name another file by --history FILE"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return f"{error}; let it and its directory be written, or name another file by --history FILE"
        case sqlite3.SQLITE_IOERR:
            return f"{error}; name another file by --history FILE"
        case _:
            return f"damaged ({error}); move it away, and `daxcheck history import` old results"
