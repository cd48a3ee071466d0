"""What the documents promise exists, and what exists is documented."""

import inspect
import re
from pathlib import Path

import pytest

from reconciler.cluster import errors
from reconciler.sync.outcome import Outcome, Reason

DOCS = Path(__file__).parent.parent / "docs"


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
