"""What the documents promise exists, and what exists is documented."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from reconciler.cluster import errors
from reconciler.sync.outcome import Outcome, Reason

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
PROOFS = sorted(
    {
        (document, file, name)
        for document in ("reliability.md", "security.md")
        for file, name in re.findall(
            r"`([\w/]+\.py)::([\w:]+)`", (DOCS / document).read_text(encoding="utf-8")
        )
    }
)


def rows(document: str) -> set[str]:
    """The words in code quotes in the first column of all tables."""
    text = (DOCS / document).read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]*) \|", text, flags=re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def api_reasons() -> set[str]:
    """Every reason that an error of the cluster layer can carry."""
    classes = [
        c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.ClusterError)
    ]
    return {c.reason for c in classes if c is not errors.ClusterError}


@pytest.mark.parametrize(
    "words",
    [
        pytest.param({o.value for o in Outcome}, id="outcomes"),
        pytest.param({r.value for r in Reason}, id="our reasons"),
        pytest.param(api_reasons(), id="reasons of the API server"),
    ],
)
def test_every_word_of_a_report_is_explained(words: set[str]) -> None:
    missing = words - rows("applying-and-pruning.md")
    assert not missing, f"docs/applying-and-pruning.md does not explain {sorted(missing)}"


@pytest.mark.parametrize("document", sorted(p.name for p in DOCS.glob("*.md")))
def test_links_between_documents_lead_somewhere(document: str) -> None:
    text = (DOCS / document).read_text(encoding="utf-8")
    targets = [t.partition("#")[0] for t in re.findall(r"\]\(([^)]+)\)", text) if "://" not in t]
    dead = [t for t in targets if t and not (DOCS / t).exists()]
    assert not dead, f"docs/{document} links to {dead}"


def test_every_command_and_option_is_documented() -> None:
    import typer  # noqa: PLC0415

    from reconciler.cli.app import app  # noqa: PLC0415

    text = (DOCS / "command-line.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    words = {f"reconciler {name}" for name in group.commands}  # type: ignore[attr-defined]
    for command in group.commands.values():  # type: ignore[attr-defined]
        words |= {
            option for parameter in command.params for option in parameter.opts if option.startswith("--")
        }
    missing = {word for word in words if f"`{word}" not in text}
    assert not missing, f"docs/command-line.md does not name {sorted(missing)}"


@pytest.mark.parametrize(("document", "file", "name"), PROOFS, ids=["::".join(proof) for proof in PROOFS])
def test_the_proof_exists(document: str, file: str, name: str) -> None:
    body = ast.parse((TESTS / file).read_text(encoding="utf-8")).body
    for part in name.split("::"):
        found = [its for its in body if getattr(its, "name", "") == part]
        assert found, f"docs/{document}: tests/{file} has no {name}"
        body = getattr(found[0], "body", [])


def test_every_fault_has_a_proof() -> None:
    text = (DOCS / "reliability.md").read_text(encoding="utf-8")
    tables = re.findall(
        r"^\| Fault \| What happens \| Proof \|\n\|(?:---\|)+\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    faults = [row for table in tables for row in table.splitlines()]
    assert len(faults) > 40
    assert not [row for row in faults if "::test_" not in row]
