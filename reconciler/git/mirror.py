"""
One bare, shallow copy of a repository on disk, and the only ways to use it.

A poll is one `git ls-remote`; a fetch happens only for a commit that is not there yet; what
is read afterwards comes from disk. A ref `refs/reconciler/commits/<id>` is made by git after
it has seen that all of the commit's objects arrived, so it is the proof that a commit can be
read. A server that stalls, lies or is gone changes nothing of what is there. process.py keeps
the deadlines, command.py the secrets, objects.py reads; which project follows what is not
known here.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.git import history, storage
from reconciler.git.command import Access, access
from reconciler.git.credentials import Credentials
from reconciler.git.errors import (
    DirectoryMissing,
    LocalFailure,
    MirrorBusy,
    MirrorDamaged,
    RefNotFound,
    SourceCorrupt,
    SourceUnreachable,
)
from reconciler.git.failures import AGAIN, disk_full, explain, refuses_ids
from reconciler.git.globs import (
    Budget,
    FileLimits,
    Glob,
    TreeFile,
    check_count,
    check_size,
    compile_glob,
    select,
)
from reconciler.git.history import Move
from reconciler.git.objects import MAX_ENTRIES, Objects
from reconciler.git.process import Finished, GitDeadlines, run
from reconciler.git.refs import RefSpec, RemoteRefs, Resolved, missing, patterns, resolve
from reconciler.git.urls import parse_url

log = logging.getLogger(__name__)

MAX_SIZE = 2 * 1024**3  # bytes that a mirror may have on disk
KEPT_SECONDS = 3600.0  # another process may still read what was fetched a moment ago
MANY_PACKS = 50  # each fetch adds one, and each read may have to look into all
WHOLE_HISTORY = "--depth=2147483647"  # git's own number for "no limit", also when the copy is shallow


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit that is on disk with all of its files; `ref` is "" where the commit itself was named."""

    commit: str
    tree: str
    ref: str


@dataclass(frozen=True, slots=True)
class BlobFile:
    """A file of a revision; `size` in bytes."""

    path: str
    blob: str
    size: int
    link: bool = False
    """A symbolic link: there, and not followed."""


class Mirror:
    """The copy of one repository. Several projects may use one object at the same time."""

    def __init__(
        self,
        url: str,
        *,
        root: Path,
        deadlines: GitDeadlines | None = None,
        allow_local: bool = False,
        max_size: int = MAX_SIZE,
    ) -> None:
        """Raise `SourceRefused` for a URL that we do not open; nothing is read or written yet."""
        self._remote = parse_url(url, allow_local=allow_local)
        self.url = url
        self.directory = root / hashlib.sha256(url.encode()).hexdigest()[:32]
        self._repository = self.directory / "repository.git"
        self._deadlines = deadlines or GitDeadlines()
        self._max_size = max_size
        self._lock = asyncio.Lock()
        self._damaged = False
        self._rewinds: dict[tuple[str, str], bool] = {}
        self._newest: dict[str, str] = {}  # ref (or the commit itself) -> commit last asked for
        self._objects = Objects(self._repository)

    async def list_refs(self, specs: Iterable[RefSpec], credentials: Credentials | None) -> RemoteRefs:
        """
        Ask the server, in one call, where `specs` point now; no call if they are all commits.

        Only when one of them is not there a second call learns the other names, for the error.
        """
        specs = tuple(specs)
        wanted = sorted({pattern for spec in specs for pattern in patterns(spec)})
        if not wanted:
            return RemoteRefs()
        with storage.own_failures(self.url):
            refs = await self._ls_remote(wanted, credentials)
            if all(resolve(refs, spec) for spec in specs):
                return refs
            known = await self._ls_remote((), credentials)
        return replace(refs, others=tuple(known.commits), empty=not known.commits)

    async def resolve(self, spec: RefSpec, credentials: Credentials | None) -> Resolved:
        """`list_refs` for one spec; raises `RefNotFound` or `RepositoryEmpty` if it is not there."""
        refs = await self.list_refs((spec,), credentials)
        found = resolve(refs, spec)
        if found is None:
            raise missing(refs, spec, where=self.url)
        return found

    async def fetch(self, resolved: Resolved, credentials: Credentials | None) -> None:
        """Bring the commit to disk, unless it is there; a damaged mirror is replaced on the way."""
        if not self._has(resolved.commit):
            async with self._alone():
                if not self._has(resolved.commit):
                    await self._fetch_or_replace(resolved, credentials)
        self._newest[resolved.ref or resolved.commit] = resolved.commit

    async def moved_back(self, before: str, now: Resolved, credentials: Credentials | None) -> bool:
        """
        Whether `now` is an ancestor of the commit `before`, where its ref pointed until now.

        One parent further costs nothing; otherwise the server is asked. GitError: it is not known.
        """
        with self._noticing_damage():
            if before in await asyncio.to_thread(self._objects.parents_of, now.commit):
                return False
        if (before, now.commit) not in self._rewinds:
            move = Move(before=before, now=now.commit, ref=now.ref)
            self._rewinds[before, now.commit] = await self._ask_history(move, credentials)
        return self._rewinds[before, now.commit]

    async def _ask_history(self, move: Move, credentials: Credentials | None) -> bool:
        async with self._alone():
            with access(self._remote, credentials) as how:

                async def git(*arguments: str) -> Finished:
                    return await run(
                        [*how.arguments, *arguments],
                        cwd=how.directory,
                        env=how.environment,
                        deadlines=history.LIMITS,
                        size=lambda: storage.size(scratch),
                        max_size=history.MAX_SIZE,
                    )

                scratch = self.directory / "history.git"
                found = await history.is_rewind(
                    move, url=self.url, scratch=scratch, git=git, check=self._check
                )
        if not found:
            # With the peeled one: an annotated tag is no commit itself.
            refs = await self._ls_remote((move.ref, f"{move.ref}^{{}}"), credentials)
            if refs.commits.get(move.ref) != move.now:
                raise history.moved_again(self.url)
        return found

    def revision(self, resolved: Resolved) -> Revision:
        """The fetched commit with its tree; raises `MirrorDamaged` if it cannot be read."""
        with self._noticing_damage():
            if not storage.has_commit(self._repository, resolved.commit):
                raise MirrorDamaged(
                    what=f"commit {resolved.commit} is not in the mirror",
                    where=self.url,
                    mend="the next run fetches it",
                )
            return Revision(resolved.commit, self._objects.tree_of(resolved.commit), resolved.ref)

    def files(
        self, revision: Revision, globs: Sequence[str], limits: FileLimits | None = None
    ) -> tuple[BlobFile, ...]:
        """
        The files that the globs take, sorted by path, each once: all of them, or an error.

        Blocks for as long as the disk needs (a second for 100,000 entries): call it in a thread.
        """
        limits = limits or FileLimits()
        check_count(globs, limits)
        compiled = tuple(compile_glob(glob) for glob in globs)
        with self._noticing_damage():
            selection = select(self._walk(revision, compiled), compiled, limits)
            return tuple(self._sized(selection.files, limits))

    def file(self, revision: Revision, path: str) -> BlobFile | None:
        """
        The plain file at exactly this path, hidden directories included; None if nothing is there.

        Raises `SourceRefused` if something else is there. Blocks shortly.
        """
        with self._noticing_damage():
            blob = self._objects.plain_file(revision.tree, path)
            return None if blob is None else BlobFile(path, blob, self._objects.blob_size(blob))

    def read(self, blob: str, *, limit: int) -> bytes:
        """The content of a blob; more than `limit` bytes are `LimitExceeded`. Blocks shortly."""
        with self._noticing_damage():
            return self._objects.blob(blob, limit=limit)

    def close(self) -> None:
        """End the helper processes that read objects; reading starts them again."""
        self._objects.close()

    async def upkeep(self, in_use: Collection[str] = ()) -> None:
        """
        Forget commits that nobody needs, and the space they take.

        Kept are `in_use`, the last commit fetched for each ref by this process, and what is
        younger than an hour. A process that has fetched nothing yet forgets nothing.
        """
        async with self._alone():
            if not storage.looks_whole(self._repository) or not (self._newest or in_use):
                return
            keep = {*in_use, *self._newest.values()}
            young = time.time() - KEPT_SECONDS
            old = [c for c, came in storage.commits(self._repository) if c not in keep and came < young]
            for commit in dict.fromkeys(old):
                await self._local("forget a commit", "update-ref", "-d", f"{storage.COMMITS}/{commit}")
            await self._repack()

    def _has(self, commit: str) -> bool:
        return not self._damaged and storage.has_commit(self._repository, commit)

    async def _fetch_or_replace(self, resolved: Resolved, credentials: Credentials | None) -> None:
        """Fetch; what may be the fault of our own copy is looked into before the server is blamed."""
        if self._damaged:
            await self._discard()
        try:
            await self._fetch(resolved, credentials)
        except (MirrorDamaged, SourceCorrupt) as error:
            # The words may come from a lying server: it must not talk us out of a good copy.
            if await self._is_sound():
                raise SourceUnreachable(what=error.what, where=self.url, mend=AGAIN) from error
            await self._discard()
            await self._fetch(resolved, credentials)

    async def _fetch(self, resolved: Resolved, credentials: Credentials | None) -> None:
        await self._set_up()
        with access(self._remote, credentials) as how:
            target = f"{storage.COMMITS}/{resolved.commit}"
            ended = await self._fetch_refs(how, "--depth=1", f"+{resolved.commit}:{target}")
            if refuses_ids(ended):
                await self._fetch_by_name(how, resolved)
            else:
                self._check(ended, "fetch")

    async def _fetch_by_name(self, how: Access, resolved: Resolved) -> None:
        """The server sends no commits by id: ask for the ref, or search all branches and tags."""
        if resolved.ref:
            wanted, depth = [f"+{resolved.ref}:refs/reconciler/search/ref"], "--depth=1"
        else:
            wanted = [f"+refs/{kind}/*:refs/reconciler/search/{kind}/*" for kind in ("heads", "tags")]
            depth = WHOLE_HISTORY
        self._check(await self._fetch_refs(how, depth, *wanted), "fetch")
        # Prints nothing, and fails unless the commit is there with every tree and file.
        whole = await self._git(how, "rev-list", "--quiet", "--objects", "--no-walk", resolved.commit)
        if whole.status == 0:
            await self._local(
                "keep the commit", "update-ref", f"{storage.COMMITS}/{resolved.commit}", resolved.commit
            )
        found = await self._local(
            "list refs", "for-each-ref", "--format=%(refname)", "refs/reconciler/search"
        )
        for name in found.output.decode("utf-8", "surrogateescape").split():
            await self._local("forget a ref", "update-ref", "-d", name)
        if whole.status == 0:
            return
        if resolved.ref:
            raise SourceUnreachable(
                what=f"{resolved.ref} moved while it was fetched",
                where=self.url,
                mend="the next poll follows it",
            )
        raise RefNotFound(
            what=f"commit {resolved.commit} is on no branch or tag",
            where=self.url,
            mend="push a branch or tag that holds it, or correct ref.commit",
        )

    async def _fetch_refs(self, how: Access, depth: str, *refspecs: str) -> Finished:
        return await self._git(
            how,
            "fetch",
            "--progress",
            depth,
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-show-forced-updates",
            self.url,
            *refspecs,
        )

    async def _ls_remote(self, wanted: Sequence[str], credentials: Credentials | None) -> RemoteRefs:
        with access(self._remote, credentials) as how:
            ended = await run(
                [*how.arguments, "ls-remote", "--symref", self.url, *wanted],
                cwd=how.directory,
                env=how.environment,
                deadlines=self._deadlines,
            )
        self._check(ended, "list refs", writes=False)
        try:
            refs = RemoteRefs.parse(ended.output.decode("utf-8", "backslashreplace"))
        except ValueError:
            refs = None
        if refs is None or not ended.talked:  # git takes an empty answer over http for an empty repository
            raise SourceUnreachable(
                what="list refs: the server's answer is not the git protocol", where=self.url, mend=AGAIN
            )
        return refs

    async def _set_up(self) -> None:
        if storage.looks_whole(self._repository):
            if storage.packs(self._repository) > MANY_PACKS or (
                storage.size(self._repository) > self._max_size / 2
            ):
                await self._repack()
            return
        await self._discard()
        await self._local(
            "set up the mirror", "init", "--bare", "--quiet", "--template=", str(self._repository)
        )

    async def _repack(self) -> None:
        age = f"{KEPT_SECONDS:.0f}.seconds.ago"
        await self._local("tidy the mirror", "gc", "--quiet", "--force", f"--prune={age}")
        self._objects.close()  # its helpers hold the packs that were replaced

    async def _is_sound(self) -> bool:
        if not storage.looks_whole(self._repository):
            return False
        with access(None, None) as how:
            ended = await self._git(how, "fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        return ended.status == 0

    async def _discard(self) -> None:
        self._objects.close()
        await asyncio.to_thread(storage.discard, self.directory)
        self._damaged = False

    async def _local(self, doing: str, *arguments: str) -> Finished:
        """A call of git that stays on this disk."""
        with access(None, None) as how:
            ended = await self._git(how, *arguments)
        self._check(ended, doing)
        return ended

    async def _git(self, how: Access, *arguments: str) -> Finished:
        # Work on the disk says nothing until it is done.
        silent = arguments[0] != "fetch"
        total = self._deadlines.total
        return await run(
            [*how.arguments, f"--git-dir={self._repository}", *arguments],
            cwd=how.directory,
            env=how.environment,
            deadlines=GitDeadlines(total, total, total) if silent else self._deadlines,
            size=lambda: storage.size(self._repository),
            max_size=self._max_size,
        )

    def _check(self, ended: Finished, doing: str, *, writes: bool = True) -> None:
        error = explain(
            ended, doing=doing, where=self.url, deadlines=self._deadlines, max_size=self._max_size
        )
        # git does not always say why it could not write, and what it says then sounds like the server.
        if writes and isinstance(error, SourceUnreachable | LocalFailure) and storage.is_full(self.directory):
            raise disk_full(doing, where=self.url) from error
        if error is not None:
            raise error

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Nobody else changes the mirror: no task of ours, and no other process."""
        try:
            async with asyncio.timeout(self._deadlines.total):
                await self._lock.acquire()
        except TimeoutError:
            raise MirrorBusy(
                what=f"other fetches kept the mirror busy for {self._deadlines.total:g} s",
                where=self.url,
                mend="it is tried again",
            ) from None
        try:
            with storage.own_failures(self.url):
                async with storage.held(self.directory, seconds=self._deadlines.total):
                    storage.sweep(self.directory)
                    try:
                        yield
                    finally:
                        storage.sweep(self.directory)  # half a pack would fill the disk until the next try
        finally:
            self._lock.release()

    @contextmanager
    def _noticing_damage(self) -> Iterator[None]:
        try:
            yield
        except MirrorDamaged as error:
            self._damaged = True
            log.warning(
                "mirror is damaged and will be replaced", extra={"url": self.url, "cause": error.what}
            )
            raise

    def _walk(self, revision: Revision, globs: Sequence[Glob]) -> Iterator[TreeFile]:
        """What the globs' directories hold; each directory must exist, and is walked once."""
        roots: dict[str, tuple[str, bool]] = {}
        for glob in globs:
            tree = self._objects.subtree(revision.tree, glob.directory)
            if tree is None:
                raise DirectoryMissing(
                    what=f"directory {glob.directory} does not exist in commit {revision.commit[:12]}",
                    where=f"glob {glob.text} in {self.url}",
                    mend="correct the glob, or add the directory",
                )
            recursive = glob.recursive or roots.get(glob.directory, ("", False))[1]
            roots[glob.directory] = (tree, recursive)
        budget = Budget(MAX_ENTRIES)
        for directory, (tree, recursive) in roots.items():
            yield from self._objects.walk(tree, directory, recursive=recursive, budget=budget)

    def _sized(self, files: Iterable[TreeFile], limits: FileLimits) -> Iterator[BlobFile]:
        total = 0
        for file in files:
            size = self._objects.blob_size(file.blob)
            total += size
            check_size(file.path, size, total, limits, where=self.url)
            yield BlobFile(file.path, file.blob, size, file.link)
