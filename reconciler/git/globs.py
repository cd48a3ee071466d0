r"""
Which files of a revision a project takes: the glob language of the GitLab agent.

Pure. The agent matched with doublestar v2.0.4, and a successor has to take the same files.
No library does: `fnmatch` lets `*` cross "/", `glob` and `pathlib` know no braces,
`wcmatch` and `pathspec` read `[!x]`, `**.yaml`, `a/**` and broken patterns differently,
and none raises a bad pattern only where matching reaches it. So the matcher is our own;
its rules, odd ones included, are those of that version:

- `*` and `?` stay inside one path component, `**` is special only as a whole component;
- `[a-z]`, `[^a-z]`, `\` quotes, `{x,y{z,}}` may hold "/" (alternatives are tried as text:
  each is put before the rest of the pattern, and the first part is matched anew);
- the first place where a `*` lets its component match decides, later ones are not tried;
- an alternative that ends the path here loses to one that wants more components;
- a bad spot is an error when matching arrives there, but only "no match" behind a `**`.

Every question is answered once per pattern rest and text rest, so that no pattern takes
exponential time, and a budget bounds the polynomial. That is too slow for many globs on many
files, so `select` has what globregex.py can translate matched by regular expressions, to the
same result. globparts.py reads braces and classes, objects.py lists the files, mirror.py brings
all together.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from reconciler.git.errors import BadGlob, LimitExceeded
from reconciler.git.globparts import BadPattern, alternatives, class_end, class_takes, why_never
from reconciler.git.globregex import Expression, join, translate

DEFAULT_GLOB = "**/*.{yaml,yml,json}"
ROOT = "."  # the directory of globs that start at the top

MAX_GLOB_LENGTH = 1024  # characters
MAX_WILDCARDS = 100  # stars and braces; each nests up to four calls, and Python stops at 1,000
MAX_STEPS = 15_000_000  # in one listing, a few seconds
COST_OF_A_NEW_QUESTION = 8  # steps; a step is a look at one character
LOOKS_IN_A_STEP = 100  # that a regular expression makes at characters, in the time of a step here
MAX_REMEMBERED = 50_000  # answers kept in one glob; about 10 MB

_SPECIAL = "*?[{\\"
_META = re.compile(r"[*?\[\]{}\\]")
_NESTING = re.compile(r"\*+|\{")
# A slash behind a backslash is quoted; which backslashes quote each other is not looked at, as there.
_SLASH = re.compile(r"(?<!\\)/")


@dataclass(frozen=True, slots=True)
class FileLimits:
    """The most that one project may have; files count where a glob takes them, sizes are bytes."""

    max_paths: int = 100
    max_files: int = 10_000
    max_file_size: int = 5 * 1024**2
    max_total_size: int = 100 * 1024**2


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A plain file in a tree: path from the root, and the id of its blob."""

    path: str
    blob: str
    link: bool = False
    """A symbolic link: its blob is the text of the link, which nobody follows."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The files that at least one glob took, sorted by path, each once."""

    files: tuple[TreeFile, ...]


@dataclass(slots=True)
class Budget:
    """Steps left for one listing."""

    left: int = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Raise `LimitExceeded` when nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise LimitExceeded(
                what="matching the globs takes too long",
                where="paths",
                mend="use fewer wildcards, or start the globs in a smaller directory",
            )


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob taken apart: `directory` is listed ("." the root), `recursive` with all below it."""

    text: str
    pattern: str
    directory: str
    recursive: bool
    expression: Expression | None = None
    """The same as a regular expression, where that can be had."""
    remembered: dict[tuple[str, str], tuple[str, ...] | None] = field(
        default_factory=dict, repr=False, compare=False
    )


def compile_glob(glob: str) -> Glob:
    """Take a glob apart; whether its pattern makes sense shows only when it is matched."""
    if len(glob) > MAX_GLOB_LENGTH:
        raise BadGlob(
            what=f"a glob has {len(glob)} characters, the limit is {MAX_GLOB_LENGTH}",
            where=f"glob {glob[:40]}...",
            mend="split it into several globs",
        )
    if (wildcards := len(_NESTING.findall(glob))) > MAX_WILDCARDS:
        raise BadGlob(
            what=f"a glob has {wildcards} stars and braces, the limit is {MAX_WILDCARDS}",
            where=f"glob {glob[:40]}...",
            mend="split it into several globs",
        )
    pattern = glob.removeprefix("/")
    meta = _META.search(pattern)
    slash = pattern.rfind("/", 0, meta.start() if meta else len(pattern))
    rest = pattern[slash + 1 :]
    return Glob(
        text=glob,
        pattern=pattern,
        directory=pattern[:slash] if slash > 0 else ROOT,
        recursive="/" in rest or "[" in rest or "**" in rest,
        expression=translate(pattern),
    )


def check_glob(glob: str) -> None:
    """Raise `BadGlob` for a glob that is too long, too wild, or can match no path at all."""
    why = why_never(compile_glob(glob).pattern)
    if why:
        raise BadGlob(
            what=f"no file can match this glob: {why}",
            where=f"glob {glob}",
            mend="write the path from the root of the repository; a backslash quotes what means itself",
        )


def matches(glob: Glob, path: str, budget: Budget | None = None) -> bool:
    """Does the pattern match the whole path? Raises `BadGlob` when it is bad at a spot that counts."""
    try:
        return _Matching(glob, path.split("/"), budget or Budget()).match(glob.pattern, 0)
    except BadPattern as error:
        raise BadGlob(
            what=f"{error} (seen when it met {path[:200]})",
            where=f"glob {glob.text}",
            mend="quote a character that is meant as such with a backslash",
        ) from error


def is_hidden(path: str) -> bool:
    """Does a directory on the way have a name that starts with a dot? The file itself may."""
    return any(part.startswith(".") for part in path.split("/")[:-1])


def check_count(globs: Sequence[str], limits: FileLimits) -> None:
    """Raise `LimitExceeded` for more globs than a project may have."""
    if len(globs) > limits.max_paths:
        raise LimitExceeded(
            what=f"{len(globs)} globs, the limit is {limits.max_paths}",
            where="paths",
            mend="join globs with {a,b}, or raise limits.max_paths",
        )


def check_size(path: str, size: int, total: int, limits: FileLimits, *, where: str) -> None:
    """Raise `LimitExceeded` for a file of `size` bytes with which all have `total`, if either is too much."""
    each = size > limits.max_file_size
    if each or total > limits.max_total_size:
        raise LimitExceeded(
            what=f"{size} bytes, the limit is {limits.max_file_size}"
            if each
            else f"with this file the globs take {total} bytes, the limit is {limits.max_total_size}",
            where=f"{path} in {where}",
            mend=f"narrow the globs, or raise limits.{'max_file_size' if each else 'max_total_size'}",
        )


def select(tree: Iterable[TreeFile], globs: Sequence[Glob], limits: FileLimits) -> Selection:
    """Take every file that a glob matches and that lies in no hidden directory."""
    budget = Budget()
    tests = tuple(_tests(globs))
    taken: dict[str, TreeFile] = {}
    for file in tree:
        if file.path in taken or is_hidden(file.path):
            continue
        if any(test(file.path, budget) for test in tests):
            taken[file.path] = file
            if len(taken) > limits.max_files:
                raise LimitExceeded(
                    what=f"more than {limits.max_files} files match",
                    where="paths",
                    mend="narrow the globs, or raise limits.max_files",
                )
    return Selection(tuple(taken[path] for path in sorted(taken)))


def _tests(globs: Iterable[Glob]) -> Iterator[Callable[[str, Budget], bool]]:
    """What to ask of a path, in the order of the globs; neighbours with an expression are asked at once."""
    for translated, group in itertools.groupby(globs, key=lambda glob: glob.expression is not None):
        if translated:
            joined = join(glob.expression for glob in group if glob.expression)
            yield partial(_is_taken_by_expression, joined, re.compile(joined.text))
        else:
            yield from (partial(_is_taken, glob) for glob in group)


def _is_taken_by_expression(joined: Expression, compiled: re.Pattern[str], path: str, budget: Budget) -> bool:
    budget.spend(1 + joined.cost(path) // LOOKS_IN_A_STEP)
    return compiled.fullmatch(path) is not None


def _is_taken(glob: Glob, path: str, budget: Budget) -> bool:
    return _lists(glob, path) and matches(glob, path, budget)


def _lists(glob: Glob, path: str) -> bool:
    """Is the file in the part of the tree that this glob lists? Others never meet its pattern."""
    directory = "" if glob.directory == ROOT else f"{glob.directory}/"
    return path.startswith(directory) and (glob.recursive or "/" not in path[len(directory) :])


class _Matching:
    """One path against one pattern. Pattern rests are text, since alternatives make new text."""

    def __init__(self, glob: Glob, components: Sequence[str], budget: Budget) -> None:
        self._names = components
        self._budget = budget
        self._parts = glob.remembered
        self._answers: dict[tuple[str, int], bool] = {}
        if len(self._parts) > MAX_REMEMBERED:
            self._parts.clear()

    def match(self, pattern: str, index: int) -> bool:
        """Does `pattern` match the components from `index` on?"""
        known = self._answers.get((pattern, index))
        if known is None:
            self._budget.spend(1)
            known = self._answers[pattern, index] = self._match(pattern, index)
        return known

    def _match(self, pattern: str, index: int) -> bool:
        last = len(self._names) - 1
        while True:
            slash = _SLASH.search(pattern)
            if (pattern[: slash.start()] if slash else pattern) == "**":
                return slash is None or self._behind_doublestar(pattern[slash.end() :], index)
            rests = self.component(pattern, self._names[index])
            if rests is None or index == last:
                return rests == ()
            index += 1
            if len(rests) != 1:
                return any(self.match(rest, index) for rest in rests)
            pattern = rests[0]

    def _behind_doublestar(self, pattern: str, index: int) -> bool:
        for start in range(index, len(self._names)):
            self._budget.spend(1)
            try:
                if self.match(pattern, start):
                    return True
            except BadPattern:
                continue  # behind a ** a bad spot is no match
        return False

    def component(self, pattern: str, name: str) -> tuple[str, ...] | None:
        """
        What of the pattern is left for the following components when it takes all of `name`:
        None for no match, () when the pattern ends here.
        """
        key = (pattern, name)
        if key not in self._parts:
            self._budget.spend(COST_OF_A_NEW_QUESTION)
            self._parts[key] = self._component(pattern, name)
        return self._parts[key]

    def _component(self, pattern: str, name: str) -> tuple[str, ...] | None:
        at = 0
        for position, character in enumerate(name):
            self._budget.spend(1)
            head = pattern[at : at + 1]
            if head == "*":
                return self._star(pattern[at + 1 :], name[position:])
            if head == "{":
                return self._braces(pattern[at + 1 :], name[position:])
            if head == "[":
                end = class_end(pattern, at + 1)
                if not class_takes(pattern[at + 1 : end], character):
                    return None
                at = end + 1
                continue
            if head == "\\":
                at += 1
                if pattern[at : at + 1] == "":
                    raise BadPattern("it ends with a lone backslash")
                head = pattern[at]
                if head != character:
                    return None
            elif head in ("", "/") or head not in ("?", character):
                return None
            at += 1
        return _at_end_of_name(pattern[at:])

    def _star(self, rest: str, name: str) -> tuple[str, ...] | None:
        rest = rest.lstrip("*")  # with a character left to match, many stars are one
        if not rest:
            return ()
        if rest[0] == "/":
            return (rest[1:],)
        wanted = "" if rest[0] in _SPECIAL else rest[0]
        start = name.find(wanted)
        while 0 <= start < len(name):
            self._budget.spend(1)
            found = self.component(rest, name[start:])
            if found is not None:
                return found
            start = name.find(wanted, start + 1)
        return None

    def _braces(self, inside: str, name: str) -> tuple[str, ...] | None:
        options, rest = alternatives(inside)
        found = [self.component(option + rest, name) for option in options]
        hits = [rests for rests in found if rests is not None]
        return tuple(dict.fromkeys(rest for rests in hits for rest in rests)) if hits else None


def _at_end_of_name(pattern: str) -> tuple[str, ...] | None:
    if not pattern:
        return ()
    slash = _SLASH.search(pattern)
    if not _may_be_empty(pattern[: slash.start()] if slash else pattern):
        return None
    return (pattern[slash.end() :],) if slash else ()


def _may_be_empty(pattern: str) -> bool:
    """Only these count as "matches nothing at all": nothing, a star, and braces around such."""
    if pattern in ("", "*", "**"):
        return True
    if pattern[0] != "{":
        return False
    options, rest = alternatives(pattern[1:])
    return _may_be_empty(rest) and any(_may_be_empty(option) for option in options)
