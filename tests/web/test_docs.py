from pathlib import Path

from reconciler.cluster.health import Health
from reconciler.sync.outcome import Outcome, State
from reconciler.web.catalog import CATALOG

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def row(described):
    labels = ", ".join(f"`{label}`" for label in described.labels) or "–"
    return f"| `{described.name}` | {described.kind} | {labels} | {described.text} |"


def test_the_table_of_metrics_is_that_of_the_code():
    table = [line for line in PAGE.splitlines() if line.startswith("| `reconciler_")]
    assert table == [row(described) for described in CATALOG]


def test_every_word_of_a_label_is_in_the_docs():
    missing = [word for word in (*State, *Outcome, *Health) if f"`{word}`" not in PAGE]
    assert not missing, f"docs/metrics.md does not name {missing}"
