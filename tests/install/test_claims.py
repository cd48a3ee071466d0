"""docs/security.md names a test for each claim; they exist."""

import ast
import re

import pytest

from tests.install.rendering import ROOT

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::([\w:]+)`", PAGE)))


def test_every_claim_of_a_table_has_a_proof():
    rows = re.findall(r"^\| Claim \| Proof \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    claims = [row for table in rows for row in table.splitlines()]
    assert len(claims) > 20
    assert not [row for row in claims if "::test_" not in row and "::Test" not in row]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[f"{file}::{name}" for file, name in NAMED])
def test_the_proof_exists(file, name):
    body = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")).body
    for part in name.split("::"):
        found = [its for its in body if getattr(its, "name", "") == part]
        assert found, f"tests/{file} has no {name}"
        body = getattr(found[0], "body", [])
