"""The catalog's tables and how an older catalog becomes a newer one.

``PRAGMA user_version`` is the number of migrations that have run. A migration is never edited
once released; a change is a new entry at the end.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from vidrec.errors import LibraryError

MIGRATIONS = (
    """
    CREATE TABLE videos (
        id TEXT PRIMARY KEY,            -- SHA-256 of the bytes
        filename TEXT NOT NULL,
        path TEXT,                      -- where it was last seen
        url TEXT,                       -- stable s3:// or https:// address
        size INTEGER NOT NULL,
        label TEXT,
        grp TEXT,
        duration_sec REAL, width INTEGER, height INTEGER, fps REAL, codec TEXT, rotation INTEGER,
        added_at REAL NOT NULL,
        revision INTEGER NOT NULL       -- grows when something that an index shows has changed
    );
    CREATE INDEX videos_revision ON videos(revision);
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counters VALUES ('revision', 0);
    CREATE TABLE indexed (              -- how far each store has followed
        target TEXT NOT NULL,           -- where the collection is
        fingerprint TEXT NOT NULL,
        revision INTEGER NOT NULL,
        last_id INTEGER NOT NULL,       -- of embeddings
        PRIMARY KEY (target, fingerprint)
    ) WITHOUT ROWID;
    CREATE TABLE files (                -- spares re-hashing; never the truth
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        video_id TEXT NOT NULL
    );
    CREATE INDEX files_video ON files(video_id);
    CREATE TABLE fingerprints (
        id INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        embedder TEXT NOT NULL,
        model TEXT NOT NULL,
        dim INTEGER NOT NULL,
        options TEXT NOT NULL,
        created_at REAL NOT NULL
    );
    CREATE TABLE embedded (             -- what is finished: one row a video and fingerprint
        video_id TEXT NOT NULL,
        fingerprint_id INTEGER NOT NULL,
        clip_seconds REAL NOT NULL,
        embedded_at REAL NOT NULL,
        PRIMARY KEY (video_id, fingerprint_id)
    ) WITHOUT ROWID;
    CREATE TABLE embeddings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: an index can ask for what is new
        video_id TEXT NOT NULL,
        fingerprint_id INTEGER NOT NULL,
        scope TEXT NOT NULL,
        start_sec REAL NOT NULL,
        end_sec REAL NOT NULL,
        vector BLOB NOT NULL,           -- float32, little endian
        UNIQUE (video_id, fingerprint_id, scope, start_sec, end_sec)
    );
    CREATE INDEX embeddings_fingerprint ON embeddings(fingerprint_id, id);
    CREATE TABLE failures (
        stage TEXT NOT NULL,            -- scan, upload, or an embedder's name
        source TEXT NOT NULL,           -- path or URL as the user knows it
        reason TEXT NOT NULL,
        permanent INTEGER NOT NULL,
        size INTEGER, mtime_ns INTEGER, -- of the file that failed: another file is tried again
        failed_at REAL NOT NULL,
        PRIMARY KEY (stage, source)
    ) WITHOUT ROWID;
    CREATE TABLE queries (
        text TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY (text, fingerprint)
    ) WITHOUT ROWID;
    CREATE TABLE jobs (
        video_id TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        state TEXT NOT NULL,
        job_id TEXT,
        detail TEXT NOT NULL DEFAULT '',
        result BLOB,
        created_at REAL NOT NULL,
        minutes REAL NOT NULL DEFAULT 0, -- of footage
        PRIMARY KEY (video_id, fingerprint)
    );
    CREATE TABLE paid (                 -- every job there ever was; never deleted
        job_id TEXT PRIMARY KEY,
        video_id TEXT NOT NULL,
        embedder TEXT NOT NULL,
        model TEXT NOT NULL,
        minutes REAL NOT NULL,
        created_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE uploads (
        video_id TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        size INTEGER NOT NULL,
        checksum TEXT NOT NULL,
        uploaded_at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE embeddings ADD COLUMN extra TEXT;  -- JSON: metadata of imported vectors\n",
    """
    ALTER TABLE queries ADD COLUMN understood REAL NOT NULL DEFAULT 1;  -- probability
    CREATE TABLE calibrations (         -- what scores mean on this library's videos
        fingerprint TEXT NOT NULL,
        kind TEXT NOT NULL,             -- of query: text, video or image
        slope REAL NOT NULL,
        offset REAL NOT NULL,
        PRIMARY KEY (fingerprint, kind)
    ) WITHOUT ROWID;
    """,
    # Whether it was found below a named folder: then its own folder is its label.
    "ALTER TABLE failures ADD COLUMN below INTEGER NOT NULL DEFAULT 0;\n",
)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the catalog to this version's schema; safe when two processes start at once.

    Raises:
        LibraryError: the catalog was written by a newer vidrec.
    """
    if _version(db, path) == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version(db, path), len(MIGRATIONS)):
            for statement in _statements(MIGRATIONS[number]):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number + 1}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def check_schema(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a catalog of another schema where it cannot be brought to this one's.

    Raises:
        LibraryError: it is older or newer.
    """
    if _version(db, path) < len(MIGRATIONS):
        raise LibraryError(
            f"{path} is of an older vidrec and cannot be written: run this vidrec once as a user "
            "who may write there"
        )


def _version(db: sqlite3.Connection, path: Path) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise LibraryError(
            f"{path} was written by a newer vidrec (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): upgrade vidrec"
        )
    return version


def _statements(script: str) -> list[str]:
    """Split a script: ``executescript`` would commit the transaction first."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
