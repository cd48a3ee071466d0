"""
Keep on disk what blobs decode to, so that a new process parses only what is new.

One SQLite file that several processes may share. It holds identities and digests, never
a body. It is only a cache: a file that is corrupt or of another version is made anew, one
that cannot be used is left alone with a warning, and no error ever leaves this module.
Each row carries a checksum, since a wrong identity could lead to a wrong delete.
"""

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from reconciler.manifests.decode import RULES, BoundRole, CustomKind, Decoded, Entry, Problem, Subject
from reconciler.manifests.mutation import Written

log = logging.getLogger(__name__)

_LAYOUT = 1  # of the table and of a row's text
_VERSION = _LAYOUT * 1000 + RULES
_MAX_ROWS = 100_000  # about 100 MB; ten times the files that one project may have
_KEEP = 0.9  # of the limit after rows were dropped, so that not every write drops some
_DAY = 86_400  # s; rows are stamped by the day, so that a run that finds everything writes nothing
_BUSY = 2.0  # s to wait for another process; it writes for milliseconds
_CHECKSUM = 16  # bytes; against damage, not against forgers


class DecodeCache:
    """
    Blob id -> `Decoded`, in the SQLite file `path`, at most `max_rows` of them.

    May be used from several threads, one call at a time. Close it, or use it as a context
    manager.
    """

    def __init__(self, path: Path, *, max_rows: int = _MAX_ROWS) -> None:
        self._path = path
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _open(path)
        except sqlite3.DatabaseError as error:
            self._failed(error)
        except OSError as error:
            log.warning("decode cache %s is not used: %s", path, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; afterwards nothing is found and nothing kept."""
        with self._lock:
            self._close()

    def get_many(self, blobs: Iterable[str]) -> dict[str, Decoded]:
        """What is known of `blobs`; whatever is missing has to be decoded."""
        wanted = orjson.dumps(list(blobs)).decode()
        today = int(time.time()) // _DAY
        with self._lock:
            try:
                rows = self._select(wanted, today)
            except sqlite3.DatabaseError as error:
                self._failed(error)
                return {}
        return {blob: decoded for blob, text in rows if (decoded := _load(blob, text)) is not None}

    def put_many(self, decoded: Mapping[str, Decoded]) -> None:
        """Keep results by blob id; beyond the limit those go that were not asked for longest."""
        today = int(time.time()) // _DAY
        rows = [(blob, today, _dump(blob, one)) for blob, one in decoded.items()]
        with self._lock:
            if self._db is None or not rows:
                return
            try:
                with self._db:
                    self._db.executemany("INSERT OR REPLACE INTO decoded VALUES (?, ?, ?)", rows)
                    self._trim(self._db)
            except sqlite3.DatabaseError as error:
                self._failed(error)

    def _select(self, wanted: str, today: int) -> list[tuple[str, bytes]]:
        if self._db is None:
            return []
        found = self._db.execute(
            "SELECT blob, used, text FROM decoded WHERE blob IN (SELECT value FROM json_each(?))", (wanted,)
        ).fetchall()
        if any(used != today for _, used, _ in found):
            with self._db:
                self._db.execute(
                    "UPDATE decoded SET used = ? WHERE blob IN (SELECT value FROM json_each(?))",
                    (today, wanted),
                )
        return [(blob, text) for blob, _, text in found]

    def _trim(self, db: sqlite3.Connection) -> None:
        (rows,) = db.execute("SELECT count(*) FROM decoded").fetchone()
        if rows > self._max_rows:
            db.execute(
                "DELETE FROM decoded WHERE blob IN (SELECT blob FROM decoded ORDER BY used, rowid LIMIT ?)",
                (rows - int(self._max_rows * _KEEP),),
            )

    def _failed(self, error: sqlite3.DatabaseError) -> None:
        """Warn, and begin a new file where the old one is damaged; go on without one where that fails."""
        if not _is_damage(error):
            # Busy or read-only: what is open may still be read, and the next call may do better.
            log.warning("decode cache %s is not used now: %s", self._path, error)
            return
        log.warning("decode cache %s is damaged and made anew: %s", self._path, error)
        self._close()
        try:
            self._path.unlink(missing_ok=True)
            self._db = _open(self._path)
        except (sqlite3.DatabaseError, OSError) as again:
            log.warning("decode cache %s stays unused: %s", self._path, again)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY, check_same_thread=False)
    try:
        db.execute("PRAGMA synchronous = OFF")  # after a power cut a row may be bad: its checksum tells
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            _create(db)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection) -> None:
    with db:
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == _VERSION:
            return  # another process was faster
        db.execute("DROP TABLE IF EXISTS decoded")
        db.execute("CREATE TABLE decoded (blob TEXT PRIMARY KEY, used INTEGER NOT NULL, text BLOB NOT NULL)")
        db.execute("CREATE INDEX decoded_by_use ON decoded (used)")
        db.execute(f"PRAGMA user_version = {_VERSION}")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """A busy, read-only or full disk is an OperationalError; a missing column would be one too."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return True


def _dump(blob: str, decoded: Decoded) -> bytes:
    text = orjson.dumps(decoded)
    return _checksum(blob, text) + text


def _load(blob: str, row: Any) -> Decoded | None:
    """None where the row is damaged: then the blob is decoded again."""
    if not isinstance(row, bytes) or row[:_CHECKSUM] != _checksum(blob, row[_CHECKSUM:]):
        return None
    found = orjson.loads(row[_CHECKSUM:])
    return Decoded(
        entries=tuple(_entry(one) for one in found["entries"]),
        problems=tuple(_problem(one) for one in found["problems"]),
        complete=found["complete"],
    )


def _entry(found: dict[str, Any]) -> Entry:
    if defines := found["defines"]:
        found["defines"] = CustomKind(**{**defines, "versions": tuple(defines["versions"])})
    if binds := found["binds"]:
        found["binds"] = BoundRole(**binds)
    found["substitutions"] = tuple(Written(**one) for one in found["substitutions"])
    return Entry(**found)


def _problem(found: dict[str, Any]) -> Problem:
    if subject := found["subject"]:
        found["subject"] = Subject(**subject)
    return Problem(**found)


def _checksum(blob: str, text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=_CHECKSUM, key=blob.encode()[:64]).digest()
