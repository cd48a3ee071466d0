r"""
Braces and classes of a glob: where they end, and what is wrong with them.

Pure. The rules are those of the matcher that the GitLab agent used; globs.py matches with
them, and `why_never` finds globs that cannot match before anybody waits for a file.
"""

import re

_CLASS_END = re.compile(r"(?<!\\)\]")
_NEVER_A_NAME: dict[str | None, str] = {
    "": "an empty component",
    ".": "a component `.`",
    "..": "a component `..`",
}


class BadPattern(ValueError):
    """A spot of the pattern that means nothing."""


def why_never(pattern: str) -> str:
    """
    Why no path can match the pattern (without its leading slash); "" if one could.

    Only what every path would have to pass is looked at, so not what stands in braces.
    """
    name: str | None = ""  # the component so far; None where it is more than plain text
    try:
        while pattern:
            first, pattern = pattern[0], pattern[1:]
            if first != "/":
                name = None if name is None or first in "*?[{\\" else name + first
                pattern = _behind(first, pattern)
            elif name in _NEVER_A_NAME:
                break
            else:
                name = ""
    except BadPattern as error:
        return str(error)
    return f"{_NEVER_A_NAME[name]} is in no path" if name in _NEVER_A_NAME else ""


def _behind(first: str, rest: str) -> str:
    """What is left of `rest` behind the part of the pattern that `first` began."""
    if first == "{":
        return alternatives(rest)[1]
    if first == "[":
        end = class_end(rest, 0)
        class_takes(rest[:end], "x")
        return rest[end + 1 :]
    if first == "\\" and not rest:
        raise BadPattern("it ends with a lone backslash")
    return rest[1:] if first == "\\" else rest


def alternatives(inside: str) -> tuple[list[str], str]:
    """Split what follows a `{` into its options and what follows the matching `}`."""
    options: list[str] = []
    depth, start, quoted = 1, 0, False
    for at, character in enumerate(inside):
        if quoted:
            quoted = False
        elif character == "\\":
            quoted = True
        elif character == "{":
            depth += 1
        elif character == "," and depth == 1:
            options.append(inside[start:at])
            start = at + 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return [*options, inside[start:at]], inside[at + 1 :]
    raise BadPattern("a { is not closed")


def class_end(pattern: str, start: int) -> int:
    """Where the `]` is that ends a class whose inside begins at `start`."""
    # Cut, so that the bracket itself cannot be taken for a quoting backslash's neighbour.
    end = _CLASS_END.search(pattern[start:])
    if end is None:
        raise BadPattern("a [ is not closed")
    return start + end.start()


def class_takes(inside: str, character: str) -> bool:
    """Does a class take the character? `inside` is what stands between its brackets."""
    if not inside:
        raise BadPattern("[] holds nothing")
    negated = inside[0] == "^"
    at, hit = int(negated), False
    while at < len(inside):
        low, at = _class_character(inside, at)
        high = low
        if inside[at : at + 1] == "-":
            high, at = _class_character(inside, at + 1)
        hit = hit or low <= character <= high
    return hit != negated


def _class_character(inside: str, at: int) -> tuple[str, int]:
    """One character of a class, quoted or not, and where the next one is."""
    if inside[at : at + 1] == "-":
        raise BadPattern("a - in [ ] stands where a character is wanted")
    if inside[at : at + 1] == "\\":
        at += 1
    if at >= len(inside):
        raise BadPattern("a [ ] ends too early")
    return inside[at], at + 1
