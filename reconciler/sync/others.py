"""
The other projects of this instance: what they declare, what they own, and what they let go.

Pure; made of their records, and of what git declares for projects on the same repository.
plan.py asks before it takes an object, departing.py before it gives one up, so that an object
which moves between projects is never deleted on the way:

    the old project: left git, another declares it -> keeps it, and records since when it left
    the new one: recorded as left, with the uid that is there -> applies it, whatever its policy
    the old one: the object is the other's now -> forgets it
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.manifests.identity import ObjectRef
from reconciler.sync.inventory import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherProject:
    """Another project of the configuration, as its records show it."""

    project: str
    owner: str
    """What the owner annotation of its objects says."""
    records: Mapping[ObjectRef, Record] = field(default_factory=dict)
    unread: str = ""
    """Why its records cannot be fully believed."""
    departed: bool = False
    """It has left the configuration, and nothing of it is wanted any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherProjects:
    """All of them; `declared` is what git declares for those on our repository, at our commit."""

    each: tuple[OtherProject, ...] = ()
    declared: Mapping[ObjectRef, str] = field(default_factory=dict)
    unread: str = ""
    """Why what git declares for them is not completely known."""

    def declaring(self, ref: ObjectRef) -> str:
        """The project that declares an object; "" where none is known to."""
        if project := self.declared.get(ref):
            return project
        return next((its.project for its in self.each if _declares(its, ref)), "")

    def releasing(self, ref: ObjectRef, uid: str, owner: str | None) -> str:
        """The project that let go of exactly this object, so that another may take it."""
        for its in self.each:
            record = its.records.get(ref)
            if its.unread or record is None or not record.left or record.uid != uid:
                continue
            if owner in (None, its.owner):
                return its.project
        return ""

    def owning(self, ref: ObjectRef, owner: str | None) -> str:
        """The project whose object it is and stays, or may be; "" where it is none of ours."""
        for its in self.each:
            if its.owner == owner and (its.unread or _declares(its, ref)):
                return its.project
        return ""

    def departed(self, owner: str | None) -> str:
        """The project with this owner mark, if it has left the configuration; "" otherwise."""
        return next((its.project for its in self.each if its.departed and its.owner == owner), "")

    def unknown(self) -> str:
        """Why somebody may declare what we do not know of; "" where all is known."""
        doubtful = [f"project {its.project}: {its.unread}" for its in self.each if its.unread]
        return self.unread or (doubtful[0] if doubtful else "")


NOBODY: Final = OtherProjects()


def _declares(other: OtherProject, ref: ObjectRef) -> bool:
    """By its own last run; also what it could not get, since that is another's."""
    record = other.records.get(ref)
    return record is not None and not record.left


def among(others: Iterable[OtherProject], projects: Iterable[str] | None) -> tuple[OtherProject, ...]:
    """Those of the configuration, and what projects that left it have let go; these want nothing any more."""
    known = None if projects is None else set(projects)
    return tuple(
        its if known is None or not its.project or its.project in known else _departed(its) for its in others
    )


def _departed(other: OtherProject) -> OtherProject:
    left = {} if other.unread else {ref: record for ref, record in other.records.items() if record.left}
    return replace(other, records=left, unread="", departed=True)
