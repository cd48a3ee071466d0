"""
A ref that moved back: what is said about it, and whether the project is held until a person agrees.

A push by force to an ancestor takes commits back, on purpose or by accident. It is applied, and
named in the status for as long as that commit stays; with `hold_on_rewind` nothing is
written before it is approved or a newer commit arrives. `verdict` decides, purely; git/ finds
out, and `LookingBack` brings the two together for one run.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from reconciler.config.models import ManifestProject
from reconciler.git.errors import GitError
from reconciler.git.mirror import Revision
from reconciler.sync.recording import Recording
from reconciler.sync.records import ProjectRecords
from reconciler.sync.source import MovedBack

log = logging.getLogger(__name__)

_SHOWN = 12  # digits of a commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From the commit that was applied last to the one that the ref points at now."""

    before: str
    now: str
    ref: str

    def __str__(self) -> str:
        """As the head keeps it, when it was accepted."""
        return f"{self.before} {self.now}"

    def plan_hash(self, project: str, inventory: str) -> str:
        """What a person approves: exactly this move of this project."""
        return hashlib.sha256("\n".join((project, inventory, "moved back", str(self))).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`held` is why nothing may be written; `rewound` what the head keeps; `note` a sentence for now."""

    held: str = ""
    rewound: str = ""
    note: str = ""


def told(rewound: str) -> str:
    """The sentence about a move that the head keeps; "" where it keeps none."""
    before, _, now = rewound.partition(" ")
    return f"moved back from {before[:_SHOWN]} to its ancestor {now[:_SHOWN]}" if rewound else ""


def is_known(move: Move, rewound: str) -> bool:
    """Whether the head says already that just this was a move back, which went on."""
    return rewound == str(move)


def stays(rewound: str, commit: str) -> str:
    """What the head keeps while the ref stays where it moved back to."""
    return rewound if rewound.partition(" ")[2] == commit else ""


def verdict(move: Move, *, back: bool | None, unknown: str = "", hold: bool, approved: bool) -> Verdict:
    """
    What a move means; `back` is None where nobody can say, for the reason `unknown`.

    Not to know is no "no": where moves back are held, so is what may be one.
    """
    if back is False:
        return Verdict()
    if back is None:
        what = (
            f"whether {move.ref} moved back from {move.before[:_SHOWN]} to {move.now[:_SHOWN]} is not known"
        )
        note = f"{what}: {unknown}"
        if hold and not approved:
            return Verdict(held=f"{note} (hold_on_rewind); push a newer commit, or approve it")
        return Verdict(note=note)
    if hold and not approved:
        text = f"{move.ref} {told(str(move))} (hold_on_rewind)"
        return Verdict(held=f"{text}; push a newer commit, or approve it")
    return Verdict(rewound=str(move))


class LookingBack:
    """
    One run's look at where its ref was before.

    Where moves back are not held, it is looked while the objects are applied.
    """

    def __init__(
        self,
        project: ManifestProject,
        revision: Revision,
        kept: ProjectRecords,
        *,
        recording: Recording,
        moved_back: MovedBack,
        is_approved: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._project = project
        self._revision = revision
        self._kept = kept
        self._recording = recording
        self._moved_back = moved_back
        self._is_approved = is_approved
        self._note = ""
        self._task: asyncio.Task[Verdict] | None = None

    async def begin(self) -> tuple[str, str]:
        """Why the project is held, and the hash that lets it go on; "" lets it be applied."""
        move = self._move()
        if move is None:
            return "", ""
        if not self._project.hold_on_rewind:
            self._task = asyncio.create_task(self._find_out(move, approved=False))
            return "", ""
        plan_hash = move.plan_hash(self._project.id, self._kept.owner)
        said = await self._find_out(move, approved=False)
        if said.held and await self._is_approved(plan_hash):
            self._recording.spend_approval()
            said = await self._find_out(move, approved=True)
        self._take(said)
        self._note = said.note
        return said.held, plan_hash

    async def end(self) -> str:
        """What there is to tell about this run alone; the recording holds what stays."""
        if self._task is not None:
            said = await self._task
            self._task = None
            self._take(said)
            self._note = said.note
        return self._note

    async def close(self) -> None:
        """Nobody waits for an answer any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _move(self) -> Move | None:
        head, revision = self._kept.head, self._revision
        # A commit that the configuration names moves by a person's hand alone; a dry run moves nothing.
        if head is None or not (self._recording.active and revision.ref and head.commit):
            return None
        self._recording.rewound = stays(head.rewound, revision.commit)
        move = Move(before=head.commit, now=revision.commit, ref=revision.ref)
        return None if move.before == move.now or is_known(move, head.rewound) else move

    async def _find_out(self, move: Move, *, approved: bool) -> Verdict:
        back, unknown = None, ""
        try:
            back = await self._moved_back(move.before, self._revision)
        except GitError as error:
            unknown = error.what
        hold = self._project.hold_on_rewind
        return verdict(move, back=back, unknown=unknown, hold=hold, approved=approved)

    def _take(self, said: Verdict) -> None:
        if said.held:
            return
        self._recording.rewound = said.rewound
        if said.rewound:
            log.warning("project %s: %s %s", self._project.id, self._revision.ref, told(said.rewound))
