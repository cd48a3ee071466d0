"""The folders, the map in docs/architecture.md and the contracts of import-linter show one house."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def folders() -> set[str]:
    """Every package and module directly in reconciler/."""
    return {
        path.stem
        for path in (ROOT / "reconciler").iterdir()
        if (path.is_dir() and (path / "__init__.py").exists())
        or (path.suffix == ".py" and path.stem != "__init__")
    }


def contracts(kind: str) -> list[dict[str, Any]]:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return [contract for contract in linter["contracts"] if contract["type"] == kind]


def layers() -> list[list[str]]:
    """From top to bottom, neighbours sorted."""
    return [sorted(re.split(r"\s*\|\s*", line)) for line in contracts("layers")[0]["layers"]]


def map_lines() -> list[str]:
    """The map's lines below `reconciler/`."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    found = re.search(r"^```\nreconciler/\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None, "docs/architecture.md has lost its map"
    return found[1].splitlines()


def drawn() -> list[list[str]]:
    """From top to bottom, as drawn."""
    names = [re.match(r"  ((?:\w+(?:/|\.py) ?)+)", line) for line in map_lines()]
    return [sorted(re.findall(r"\w+(?=/|\.py)", name[1])) for name in names if name]


def doors() -> dict[str, set[str]]:
    """For each foreign library the parts that may import it."""
    found: dict[str, set[str]] = {}
    for contract in contracts("forbidden"):
        for ignored in contract.get("ignore_imports", ()):
            importer, library = ignored.split(" -> ")
            found.setdefault(library, set()).add(importer.split(".")[1])
    return found


def test_every_folder_is_in_the_map_and_in_a_layer():
    assert {name for line in drawn() for name in line} == folders()
    assert {name for line in layers() for name in line} == folders()


def test_the_map_has_the_layers_in_their_order():
    assert drawn() == layers()


def test_every_runtime_dependency_has_one_door():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = {re.split(r"[>=<]", text)[0].lower().replace("-", "_") for text in project["dependencies"]}
    modules = {"gitpython": "git", "pyyaml": "yaml", "python_jsonpath": "jsonpath"}
    # orjson reads and writes text and nothing else: any part may use it.
    assert {modules.get(name, name) for name in packages} - {"orjson"} == doors().keys()


def test_the_map_names_each_library_beside_its_door():
    names = {"git": "GitPython", "yaml": "PyYAML"}
    for library, parts in doors().items():
        for part in parts - ({"cluster"} if library == "yaml" else set()):  # the text explains that one
            line = next(line for line in map_lines() if re.search(rf"\b{part}(/|\.py)", line))
            assert names.get(library, library) in line, (
                f"{part} may import {library}, but its line is: {line}"
            )
