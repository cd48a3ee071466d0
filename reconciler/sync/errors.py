"""
Errors of `sync`.

    SyncError
    ├── RecordsUnusable     the records cannot be read or written: this run does nothing
    │   ├── RecordsTooNew   written by a later release: needs a person
    │   ├── TwoWriters      somebody else writes the same records: the next run reads them again
    │   ├── RecordsExist    a backup would replace others
    │   └── BackupUnusable  a file that is no backup of these records
    ├── IdentityUnusable    nobody to act as: this run does nothing
    ├── LeaseUnusable       the Lease that keeps two writers apart cannot be had: nothing is written
    └── NotApproved         an approval that does not fit what is held
"""

from reconciler.errors import ReconcilerError


class SyncError(ReconcilerError):
    """Any failure of a run that is not one object's own."""


class RecordsUnusable(SyncError):
    """Inventory, key or status could not be read or written."""


class RecordsTooNew(RecordsUnusable):
    """A later release wrote these records."""


class TwoWriters(RecordsUnusable):
    """The records changed under us."""


class RecordsExist(RecordsUnusable):
    """A backup would replace other records."""


class BackupUnusable(RecordsUnusable):
    """A file is not the backup that it is taken for."""


class IdentityUnusable(SyncError):
    """The ServiceAccount that a project is to be applied as does not exist."""


class LeaseUnusable(SyncError):
    """The Lease may not be read or written, or what is in its place is not one."""


class NotApproved(SyncError):
    """The hash that was approved is not the hash of what is held."""
