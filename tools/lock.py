"""
Write the two lists of pinned packages from what is installed beside this interpreter.

`make lock` runs it in a fresh environment, so that the newest releases which pyproject.toml
allows become the pins. It installs nothing itself, and leaves out whatever no dependency of
pyproject.toml asks for. tests/test_packaging.py compares the lists with pyproject.toml.
"""

import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# {what}; written by `make lock`, installed by {by}.\n"


def declared() -> tuple[list[str], list[str]]:
    """What pyproject.toml asks for: at run time, and to develop."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"], project["optional-dependencies"]["dev"]


def closure(wanted: Iterable[str]) -> dict[str, str]:
    """All packages that `wanted` needs, by normalized name, with their installed versions."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in wanted]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        asked = (name, ",".join(sorted(requirement.extras)))
        if asked in seen:
            continue
        seen.add(asked)
        distribution = metadata.distribution(name)
        found[name] = distribution.version
        needs = [Requirement(text) for text in distribution.requires or ()]
        waiting += [(need, extra) for need in needs for extra in ("", *requirement.extras)]
    return found


def write(path: Path, pins: dict[str, str], *head: str) -> None:
    """One `name==version` a line, sorted."""
    lines = (f"{name}=={version}\n" for name, version in sorted(pins.items()))
    path.write_text("".join((*head, *lines)), encoding="utf-8")


def main() -> None:
    """Write requirements.txt and requirements-dev.txt."""
    runtime, dev = declared()
    needed = closure(runtime)
    extra = {name: version for name, version in closure(dev).items() if name not in needed}
    write(
        ROOT / "requirements.txt",
        needed,
        HEADER.format(what="What the service needs", by="`make setup` and the Dockerfile"),
    )
    write(
        ROOT / "requirements-dev.txt",
        extra,
        HEADER.format(what="What developing needs on top", by="`make setup`"),
        "-r requirements.txt\n",
    )
    sys.stdout.write(f"{len(needed)} packages pinned, {len(extra)} more to develop\n")


if __name__ == "__main__":
    main()
