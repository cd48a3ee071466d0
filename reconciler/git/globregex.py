r"""
The globs that people write, as regular expressions: for many files and many globs at once.

Pure. globs.py is the rule, this is only faster: what is translated matches exactly the same
paths, and is never a bad pattern. Translated are literals, `*`, `?`, `**` components, simple
classes and flat braces without "/"; `translate` gives None for all else, and where the
matcher's odd rules show (a `*` before what may be empty).

No expression goes back on a decision: what a component takes is settled before the next one
is looked at; the text between two stars is looked for from the left, and its first place
kept; the text behind the last star is looked for at the end. So `cost` bounds the work,
whatever the names.
"""

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_ALTERNATIVES = 64  # of one component, all its braces multiplied
MAX_LENGTH = 2_000  # characters of one glob's expression; to compile each takes some microseconds

_NOT_SPECIAL = r"[^\]\[\\^{},*?/-]"
_SET = rf"\[\^?(?:{_NOT_SPECIAL}(?:-{_NOT_SPECIAL})?)+\]"
_TOKEN = re.compile(rf"\*+|[?/]|{_SET}|\{{[^{{}}\[\]/\\]*\}}|[^*?\[{{\\/]")
_RANGE = re.compile(rf"({_NOT_SPECIAL})-({_NOT_SPECIAL})")
_DIRECTORIES = "(?:[^/]++/)*?"
_END = r"\Z"

Tokens = tuple[str, ...]
"""A component in parts: runs of stars, `?`, classes, braces, and characters that mean themselves."""


@dataclass(frozen=True, slots=True)
class Expression:
    """`text` takes whole paths; the numbers are those of `cost`."""

    text: str
    each_component: int
    each_character: int

    def cost(self, path: str) -> int:
        """How often a character is looked at, at most."""
        return (path.count("/") + 1) * self.each_component + len(path) * self.each_character


def join(expressions: Iterable[Expression]) -> Expression:
    """One expression that takes what any of them takes."""
    its = tuple(expressions)
    return Expression(
        "|".join(each.text for each in its),
        sum(each.each_component for each in its),
        sum(each.each_character for each in its),
    )


def translate(pattern: str) -> Expression | None:
    """The expression of a glob (without its leading slash), or None for what only the matcher knows."""
    components = _components(pattern)
    if components is None:
        return None
    segments: list[list[Expression]] = [[]]
    for tokens in components:
        if tokens == ("**",):
            segments.append([])
        elif (component := _component(tokens)) is not None:
            segments[-1].append(component)
        else:
            return None
    text = _path([[component.text for component in segment] for segment in segments])
    if len(text) > MAX_LENGTH:
        return None
    # Each component of the pattern meets each of the path at most once.
    every = [component for segment in segments for component in segment]
    return Expression(
        text,
        sum(component.each_component for component in every) + len(components),
        sum(component.each_character for component in every) + 1,
    )


def _components(pattern: str) -> list[Tokens] | None:
    components: list[list[str]] = [[]]
    at = 0
    while at < len(pattern):
        found = _TOKEN.match(pattern, at)
        if found is None:
            return None
        at = found.end()
        if found[0] == "/":
            components.append([])
        elif found[0][0] == "[" and any(low > high for low, high in _RANGE.findall(found[0])):
            return None
        else:
            components[-1].append(found[0])
    return [tuple(tokens) for tokens in components] if all(components) else None


def _path(segments: Sequence[Sequence[str]]) -> str:
    """The expression for components in segments, between which any directories may be."""
    first, *others = segments
    if not others:
        return _names(first[:-1]) + first[-1] + _END
    *middle, last = others
    text = _names(first)
    text += "".join(f"(?>{_DIRECTORIES}{_names(segment)})" for segment in middle if segment)
    return text + (f"{_DIRECTORIES}{_names(last[:-1])}{last[-1]}" if last else "(?s:.+)") + _END


def _names(components: Iterable[str]) -> str:
    """Whole components: whichever way one matches, it takes all of its name, so none is tried again."""
    return "".join(f"(?>{component}/)" for component in components)


def _component(tokens: Tokens) -> Expression | None:
    choices = [_alternatives(token) for token in tokens]
    if not _stars_are_plain(choices) or math.prod(map(len, choices)) > MAX_ALTERNATIVES:
        return None
    sequences = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*choices)]
    built = [_sequence(sequence) for sequence in sequences]
    return Expression(
        built[0].text if len(built) == 1 else f"(?:{'|'.join(each.text for each in built)})",
        sum(each.each_component for each in built),
        sum(each.each_character for each in built),
    )


def _alternatives(token: str) -> list[Tokens]:
    if token[0] != "{":
        return [(token,)]
    return [tuple(_TOKEN.findall(option)) for option in token[1:-1].split(",")]


def _stars_are_plain(choices: Sequence[Sequence[Tokens]]) -> bool:
    """Is each `*` followed by nothing at all, or by what takes at least one character?"""
    nullable_after = [True] * (len(choices) + 1)
    for at in reversed(range(len(choices))):
        empty = any(all(token[0] == "*" for token in option) for option in choices[at])
        nullable_after[at] = empty and nullable_after[at + 1]
    for at, options in enumerate(choices):
        for option in options:
            for place, token in enumerate(option):
                if token[0] != "*" or any(later[0] != "*" for later in option[place + 1 :]):
                    continue
                is_last = place == len(option) - 1 and at == len(choices) - 1
                if not (len(token) <= len("**") if is_last else not nullable_after[at + 1]):
                    return False
    return True


def _sequence(tokens: Tokens) -> Expression:
    """A component without braces."""
    pieces: list[list[str]] = [[]]
    for token in tokens:
        if token[0] == "*":
            pieces.append([])
        else:
            pieces[-1].append(_one(token))
    head, *rest = pieces
    text = "".join(head)
    if rest:
        *between, tail = rest
        text += "".join(f"(?>[^/]*?{''.join(piece)})" for piece in between if piece)
        text += f"[^/]{{{len(tail)},}}+(?<={''.join(tail)})" if tail else "[^/]*+"
        return Expression(text, len(head) + len(tail) + 1, sum(map(len, between)) + 1)
    return Expression(text, len(head) + 1, 0)


def _one(part: str) -> str:
    """The expression of what takes one character."""
    if part == "?":
        return "[^/]"
    if part[0] != "[":
        return re.escape(part)
    inside = part[1:-1]
    negated = "^" if inside[0] == "^" else ""
    return f"(?!/)[{negated}{_escaped(inside.removeprefix('^'))}]"


def _escaped(inside: str) -> str:
    return "".join(character if character == "-" else re.escape(character) for character in inside)
