"""The catalog's tables.

A table is added or changed here, ``VERSION`` grows, and ``update_schema`` learns the way from the
version before. vidrec is not released yet: what is older than ``OLDEST`` is refused.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from pathlib import Path

from vidrec.errors import LibraryError

VERSION = 9
OLDEST = 7  # that is brought up to date
PAGE_BYTES = 16384  # of a vector of 512 numbers seven lie on a page, of 4,096 bytes only one
SCHEMA = """
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
CREATE INDEX videos_filename ON videos(filename);
CREATE TABLE fields (               -- the user's own
    video_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value NOT NULL,                 -- a number or a text
    PRIMARY KEY (video_id, key)
) WITHOUT ROWID;
CREATE INDEX fields_key ON fields(key, value);
CREATE TABLE removed (              -- so that each store can follow
    video_id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX removed_revision ON removed(revision);
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('revision', 0);
CREATE TABLE indexed (              -- how far each store has followed
    target TEXT NOT NULL,           -- where the collection is; ./ is the library's folder
    fingerprint TEXT NOT NULL,
    revision INTEGER NOT NULL,
    last_id INTEGER NOT NULL,       -- of embeddings
    version TEXT NOT NULL,          -- what the store called its state then
    writing INTEGER NOT NULL,       -- a run has begun to write since
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
    extra TEXT,                     -- JSON: metadata of imported vectors
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
    below INTEGER NOT NULL DEFAULT 0, -- found below a named folder: its own folder is its label
    kind TEXT NOT NULL DEFAULT '',  -- the error's name
    PRIMARY KEY (stage, source)
) WITHOUT ROWID;
CREATE TABLE queries (
    text TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    vector BLOB NOT NULL,
    understood REAL NOT NULL DEFAULT 1, -- probability
    kept_at REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (text, fingerprint)
) WITHOUT ROWID;
CREATE INDEX queries_kept ON queries(fingerprint, kept_at);
CREATE TABLE calibrations (         -- what scores mean on this library's videos
    fingerprint TEXT NOT NULL,
    kind TEXT NOT NULL,             -- of query: text, video or image
    slope REAL NOT NULL,
    offset REAL NOT NULL,
    PRIMARY KEY (fingerprint, kind)
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
    source TEXT NOT NULL DEFAULT '', -- what the provider reads: a URL unsigned, or a file's name
    PRIMARY KEY (video_id, fingerprint)
);
CREATE TABLE claims (               -- who is at a job now
    video_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    owner TEXT NOT NULL,            -- a process: its locked file says whether it lives
    token TEXT NOT NULL,
    PRIMARY KEY (video_id, fingerprint)
) WITHOUT ROWID;
CREATE TABLE paid (                 -- every job there ever was, each before it is asked for
    id INTEGER PRIMARY KEY,
    job_id TEXT UNIQUE,             -- NULL while no answer has named it
    video_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    run TEXT NOT NULL,              -- whose cap it counts for
    minutes REAL NOT NULL,
    created_at REAL NOT NULL
);
CREATE INDEX paid_run ON paid(run, video_id);
CREATE INDEX paid_created ON paid(created_at);
CREATE TABLE sent (                 -- copies of files that a provider may still hold
    name TEXT PRIMARY KEY,          -- unique: under it the copy is found there
    asset_id TEXT,                  -- NULL while no answer has named it
    video_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    sent_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE uploads (
    video_id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    uploaded_at REAL NOT NULL
) WITHOUT ROWID;
"""


def write_schema(db: sqlite3.Connection) -> None:
    """Make the tables of an empty catalog, and the id that its library keeps for ever."""
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(SCHEMA)
    db.execute("INSERT INTO about VALUES ('id', ?)", (str(uuid.uuid4()),))
    db.execute(f"PRAGMA user_version = {VERSION}")


def update_schema(db: sqlite3.Connection) -> None:
    """Bring a catalog of an earlier version up to date: whole or not at all, nothing is lost."""
    if not OLDEST <= _version(db) < VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        if _version(db) == 7:  # nobody else was quicker
            _from_7(db)
        if _version(db) == 8:
            db.execute("ALTER TABLE queries ADD COLUMN kept_at REAL NOT NULL DEFAULT 0")
            db.execute("CREATE INDEX queries_kept ON queries(fingerprint, kept_at)")
            db.execute("PRAGMA user_version = 9")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _from_7(db: sqlite3.Connection) -> None:
    """Write jobs down before they are asked for, and who is at them."""
    db.execute("ALTER TABLE jobs ADD COLUMN source TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE paid RENAME TO paid_before")
    for statement in SCHEMA.split(";\n"):
        made = re.match(r"\s*CREATE (?:TABLE|INDEX) (\w+)", statement)
        if made and made[1] in ("claims", "paid", "paid_run", "paid_created", "sent"):
            db.execute(statement)
    db.execute(
        "INSERT INTO paid (job_id, video_id, fingerprint, run, minutes, created_at) "
        "SELECT old.job_id, old.video_id, coalesce(jobs.fingerprint, old.embedder || ':' || "
        "old.model), '', old.minutes, old.created_at FROM paid_before AS old "
        "LEFT JOIN jobs ON jobs.job_id = old.job_id ORDER BY old.created_at"
    )
    db.execute("DROP TABLE paid_before")
    db.execute("PRAGMA user_version = 8")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_schema(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a catalog of another schema.

    Raises:
        LibraryError: it is older, newer, or no catalog at all.
    """
    version = _version(db)
    if version == 0:
        raise LibraryError(
            f"{path} is damaged: it is no catalog of a library; put a copy of it back, or delete "
            f"the folder {path.parent} to begin anew"
        )
    if OLDEST <= version < VERSION:
        raise LibraryError(
            f"{path} is of an older vidrec: run `vidrec status` once as a user who may write there"
        )
    if version != VERSION:
        age = "a newer" if version > VERSION else "an older"
        raise LibraryError(
            f"{path} is of {age} vidrec (schema {version}, this one knows {VERSION}): use that "
            "vidrec, or another library"
        )
