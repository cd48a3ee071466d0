"""
Text for a terminal: on one line, harmless, and in the right number.

Pure, and light: whoever prints nothing but an error needs no more than this.
"""

import sys
import unicodedata


def plain(text: str) -> str:
    """Text on one line that cannot move the cursor: names and messages come from git and from servers."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def aside(line: str) -> None:
    """Say on standard error what is waited for: standard output is for results."""
    sys.stderr.write(plain(line) + "\n")


def number_of(count: int, one: str, many: str = "") -> str:
    """`1 object`, `2 objects`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def width(text: str) -> int:
    """Columns that printable text takes on a terminal: letters of the Far East take two, accents none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
