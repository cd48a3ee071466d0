"""No key does nothing: what the configuration says of a project is read by those who act on it."""

import ast
from dataclasses import fields
from pathlib import Path

from reconciler.config.models import Configuration, ManifestProject

PACKAGE = Path(__file__).parents[2] / "reconciler"


def read_outside_of_config(*owners: str) -> set[str]:
    """Attributes that are read of variables or attributes of these names: `owner.x`, `self.owner.x`."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if "config" in path.relative_to(PACKAGE).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = node.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                found |= {node.attr} if name in owners else set()
    return found


def test_every_key_of_a_project_is_read_by_whoever_acts():
    keys = {field.name for field in fields(ManifestProject)}
    assert keys - read_outside_of_config("project", "_project", "p") == set()


def test_every_key_of_the_file_is_read_by_whoever_acts():
    keys = {field.name for field in fields(Configuration)}
    assert keys - read_outside_of_config("configuration", "_configuration") == set()
