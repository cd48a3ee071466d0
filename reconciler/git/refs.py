"""
Which ref a project follows, and which commit that is on the server now.

Pure: `patterns` says what `git ls-remote` is asked for, `RemoteRefs.parse` reads its
answer, `resolve` picks the commit. mirror.py does the asking. Source of the rules:
the GitLab agent's ref resolution (HEAD, then main, then master; tags peeled).
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.errors import shown_name
from reconciler.git.errors import GitError, RefInvalid, RefNotFound, RepositoryEmpty

OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
HEAD_FALLBACKS = ("refs/heads/main", "refs/heads/master")  # in this order, when a server shows no HEAD
COMPARED_NAMES = 5_000  # likeness costs about 0.1 ms a name
NEAR_NAMES = 3  # enough to spot a typing mistake, short enough for one line

# git check-ref-format(1); a name that breaks it could be read as an option or a pattern.
_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/]|[/.]$|\.lock$|\.lock/|(^|/)\.")


@dataclass(frozen=True, slots=True)
class RefSpec:
    """What a project follows; `name` is "" for `head`, a full id for `commit`."""

    kind: Literal["head", "branch", "tag", "commit"] = "head"
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind == "head":
            return
        if self.kind == "commit":
            if not OBJECT_ID.fullmatch(self.name.lower()):
                raise RefInvalid(
                    what=f"commit {shown_name(self.name)!r} is not a full commit id",
                    where="ref.commit",
                    mend="give all 40 (or 64) hexadecimal digits; `git rev-parse` shows them",
                )
        elif not self.name or self.name == "@" or _BAD_NAME.search(self.name):
            raise RefInvalid(
                what=f"no {self.kind} can be named {shown_name(self.name)!r}",
                where=f"ref.{self.kind}",
                mend="give the plain name, without refs/heads/ and without wildcards",
            )

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else "HEAD"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A commit to read; `ref` is the full ref name, "" for a commit that was named itself."""

    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class RemoteRefs:
    """What a server showed: ref name -> commit (tags peeled), and where HEAD points ("" unknown)."""

    commits: Mapping[str, str] = field(default_factory=dict)
    head: str = ""
    others: tuple[str, ...] = ()  # all branches and tags, asked for only when something was missing
    empty: bool = False  # the repository has no ref at all

    @classmethod
    def parse(cls, text: str) -> "RemoteRefs":
        """
        Read the output of `git ls-remote --symref`. A line that is not `<id> TAB <name>` is
        a `ValueError`: half an answer must not look like one.
        """
        plain: dict[str, str] = {}
        peeled: dict[str, str] = {}
        head = ""
        for line in text.splitlines():
            left, tab, name = line.partition("\t")
            if tab and left.startswith("ref: "):
                head = left.removeprefix("ref: ") if name == "HEAD" else head
            elif not tab or not OBJECT_ID.fullmatch(left):
                raise ValueError("not a line of git ls-remote")
            elif name.endswith("^{}"):
                peeled[name.removesuffix("^{}")] = left
            else:
                plain[name] = left
        return cls({**plain, **peeled}, head)


def patterns(spec: RefSpec) -> tuple[str, ...]:
    """What `git ls-remote` is asked for; nothing for a commit, which needs no asking."""
    match spec.kind:
        case "head":
            return ("HEAD", *HEAD_FALLBACKS)
        case "branch":
            return (f"refs/heads/{spec.name}",)
        case "tag":
            return (f"refs/tags/{spec.name}", f"refs/tags/{spec.name}^{{}}")
        case "commit":
            return ()


def resolve(refs: RemoteRefs, spec: RefSpec) -> Resolved | None:
    """The commit that `spec` means now, or None when the server does not have it."""
    if spec.kind == "commit":
        return Resolved("", spec.name.lower())
    wanted = [name for name in patterns(spec) if not name.endswith("^{}")]
    for name in wanted:
        if commit := refs.commits.get(name):
            return Resolved((refs.head or name) if name == "HEAD" else name, commit)
    return None


def missing(refs: RemoteRefs, spec: RefSpec, *, where: str) -> GitError:
    """The error for a `spec` that `resolve` did not find; `refs` should know the other names."""
    if refs.empty:
        return RepositoryEmpty(
            what="the repository has no commit yet",
            where=where,
            mend="push the first commit; we keep looking",
        )
    if spec.kind == "head":
        return RefNotFound(
            what="the server shows no HEAD, no branch main and no branch master",
            where=where,
            mend=f"set ref.branch{_near_text(_names(refs.others, 'refs/heads/'))}",
        )
    prefix = "refs/heads/" if spec.kind == "branch" else "refs/tags/"
    names = _names(refs.others, prefix)
    near = difflib.get_close_matches(spec.name, names[:COMPARED_NAMES], NEAR_NAMES, cutoff=0.5)
    return RefNotFound(
        what=f"the repository has no {spec.kind} {spec.name}",
        where=where,
        mend=f"push it or correct ref.{spec.kind}{_near_text(near)}",
    )


def _names(refs: Iterable[str], prefix: str) -> list[str]:
    return sorted(name.removeprefix(prefix) for name in refs if name.startswith(prefix))


def _near_text(names: list[str]) -> str:
    # Names come from the server: printable ones only, and not endlessly long.
    shown = [name[:80] for name in names if name.isprintable()][:NEAR_NAMES]
    return f" (there is: {', '.join(shown)})" if shown else ""
