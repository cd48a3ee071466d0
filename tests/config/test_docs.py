import re
from pathlib import Path

import pytest
import yaml

from reconciler.config import compat, keys
from reconciler.config.explain import model_in

from .reading import OWN, read

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
IGNORED = set(compat.SECTIONS) - {"observability"}  # one row each says all there is to say


def rows() -> set[str]:
    """`gitops.manifest_projects[].id` for a row `id` of the table below the heading of that mapping."""
    found, heading = set(), ""
    for line in PAGE.splitlines():
        if line.startswith("#"):
            match = re.match(r"### `([^`]+)`$", line)
            name = match[1] if match else "(text)"
            heading = "" if name == "config.yaml" else f"{name}."
        elif match := re.match(r"\| `([a-z_.\[\]]+)` \|", line):
            found.add(heading + match[1])
    return found


def documented_keys(model: type[keys.Keys], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        found.add(prefix + name)
        if prefix + name in {"observability.google_profiler", *IGNORED}:
            continue
        inner = compat.SECTIONS.get(name) if not prefix else None
        if inner := inner or model_in(field.annotation):
            list_mark = "[]" if "list[" in str(field.annotation) else ""
            found |= documented_keys(inner, f"{prefix}{name}{list_mark}.")
    return found


def test_every_key_has_a_row():
    missing = documented_keys(keys.ConfigFile) - rows()
    assert not missing, f"keys that docs/configuration.md does not explain: {sorted(missing)}"


def test_every_row_is_a_key():
    surplus = {row for row in rows() if not row.startswith("(text)")} - documented_keys(keys.ConfigFile)
    assert not surplus, f"rows of docs/configuration.md without a key: {sorted(surplus)}"


EXAMPLES = [e for e in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "kind: Secret" not in e]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_valid(example):
    read(example, config_project=OWN)


def test_the_secret_of_the_page_can_be_used():
    (example,) = [e for e in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "kind: Secret" in e]
    secret = yaml.safe_load(example)
    from reconciler.git.credentials import check_url, from_secret  # noqa: PLC0415

    credentials = from_secret(
        "gitlab",
        labels=secret["metadata"]["labels"],
        annotations=secret["metadata"]["annotations"],
        data={key: value.encode() for key, value in secret["stringData"].items()},
    )
    check_url(credentials, "https://gitlab.example.com/platform/base.git")
