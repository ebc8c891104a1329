"""The tables of the history, and how the file of an older daxcheck is brought to them.

A cell is a Program on a configuration, and stands once however often it is run. A result is one run of a cell, and a
sighting says that a result shows a cause. So a night of 3000 cells that were run before costs some 300 KiB.
"""

import sqlite3

from harness.errors import UsageError

APPLICATION = 0x64617863
"""The bytes `daxc`, by which the file is told from those of other programs (PRAGMA application_id)."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE run (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, started TEXT NOT NULL, directory TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE cell (
            id INTEGER PRIMARY KEY, scenario TEXT NOT NULL, kernel TEXT NOT NULL, fs TEXT NOT NULL,
            device TEXT NOT NULL, engine TEXT NOT NULL, seed TEXT NOT NULL, program TEXT NOT NULL,
            kernel_digest TEXT NOT NULL, digest TEXT NOT NULL,
            UNIQUE (scenario, kernel, fs, device, engine, seed, program, kernel_digest, digest)
        ) STRICT""",
        """CREATE TABLE result (
            id INTEGER PRIMARY KEY, mark BLOB NOT NULL UNIQUE, run INTEGER NOT NULL REFERENCES run,
            cell INTEGER NOT NULL REFERENCES cell, outcome TEXT NOT NULL, seconds REAL NOT NULL,
            started TEXT NOT NULL, known TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE cause (
            id INTEGER PRIMARY KEY, signature TEXT NOT NULL, title TEXT NOT NULL, UNIQUE (signature, title)
        ) STRICT""",
        """CREATE TABLE sighting (
            result INTEGER NOT NULL REFERENCES result, cause INTEGER NOT NULL REFERENCES cause,
            PRIMARY KEY (result, cause)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX result_of_cell ON result (cell)",
    ),
    (
        # The plan of crash points is a part of what a cell is, so of its key, which no ALTER TABLE can change.
        """CREATE TABLE planned (
            id INTEGER PRIMARY KEY, scenario TEXT NOT NULL, kernel TEXT NOT NULL, fs TEXT NOT NULL,
            device TEXT NOT NULL, engine TEXT NOT NULL, plan TEXT NOT NULL, seed TEXT NOT NULL, program TEXT NOT NULL,
            kernel_digest TEXT NOT NULL, digest TEXT NOT NULL,
            UNIQUE (scenario, kernel, fs, device, engine, plan, seed, program, kernel_digest, digest)
        ) STRICT""",
        """INSERT INTO planned
            SELECT id, scenario, kernel, fs, device, engine, 'end', seed, program, kernel_digest, digest FROM cell""",
        "DROP TABLE cell",
        "ALTER TABLE planned RENAME TO cell",
    ),
)
"""The statements that lead from each version to the next, the first of them from an empty file to version 1.

A step that was released is never changed: a new one is added behind it.
"""


class HistoryError(UsageError):
    """The history cannot be read or written; the text names the file and the remedy."""


def version(connection: sqlite3.Connection, name: str) -> int:
    """The version of the tables, 0 for an empty file. Raises HistoryError, which begins with `name`, for a file of
    another program or of a newer daxcheck; sqlite3.Error."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == found == tables == 0:
        return 0
    if application != APPLICATION or found < 1:
        raise HistoryError(f"{name}: a database of another program; name another file by --history FILE")
    if found > len(STEPS):
        raise HistoryError(f"{name}: a newer daxcheck wrote it (schema {found}, this one knows {len(STEPS)}): "
                           "use that one, or name another file by --history FILE")  # fmt: skip
    return int(found)


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Bring the tables to the newest version, within the transaction that is open. Raises as `version` does."""
    found = version(connection, name)
    for step in STEPS[found:]:
        for statement in step:
            connection.execute(statement)
    if found < len(STEPS):
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
