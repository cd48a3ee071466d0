"""Whatever the bytes are: a configuration or ConfigInvalid, soon, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.config import compat, keys
from reconciler.config.errors import ConfigInvalid
from reconciler.config.parse import MAX_SIZE, parse
from tests.fuzzing import examples

from .reading import problems

NAMES = sorted(
    {
        *keys.ConfigFile.model_fields,
        *keys.GitOps.model_fields,
        *keys.ManifestProjectEntry.model_fields,
        *keys.Ref.model_fields,
        *compat.CiAccessEntry.model_fields,
        *compat.CiAccessAs.model_fields,
        "projects",
        "glob",
    }
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1s", "a"])
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)

PROJECT = st.dictionaries(st.sampled_from([*keys.ManifestProjectEntry.model_fields]), DATA, max_size=6)


def parses_or_is_invalid(data: bytes) -> None:
    try:
        parse(data, where="config.yaml")
    except ConfigInvalid as invalid:
        lines = invalid.lines()
        assert lines
        assert all(line.startswith("config.yaml:") and "\n" not in line for line in lines)


@examples(150)
@given(DATA)
def test_any_data(data):
    parses_or_is_invalid(json.dumps(data).encode())


@examples(150)
@given(st.lists(PROJECT, max_size=4))
def test_any_projects(projects):
    parses_or_is_invalid(json.dumps({"gitops": {"manifest_projects": projects}}).encode())


@examples(150)
@given(st.binary(max_size=200))
def test_any_bytes(data):
    parses_or_is_invalid(data)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1: a", id="key is a number"),
        pytest.param("true: a", id="key is a bool"),
        pytest.param("null: a", id="key is null"),
        pytest.param("? [a]\n: b", id="key is a list"),
        pytest.param("a: 1\na: 2", id="key twice"),
        pytest.param("limits: {1: 2}", id="key inside is a number"),
        pytest.param(
            "gitops: {manifest_projects: [{id: a, url: 'https://h/a', interval: .inf}]}", id="infinite"
        ),
        pytest.param(
            "gitops: {manifest_projects: [{id: a, url: 'https://h/a', interval: .nan}]}", id="not a number"
        ),
        pytest.param("gitops: !!python/object/apply:os.system [id]", id="a tag that runs something"),
        pytest.param("a: &a [b]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]", id="aliases of aliases"),
        pytest.param("a: &a {<<: *a}", id="an alias of itself"),
        pytest.param("[" * 60_000, id="deep"),
        pytest.param("gitops:\n\tmanifest_projects: []", id="a tab"),
        pytest.param("\x00", id="a control character"),
    ],
)
def test_refused(text):
    assert problems(text)


def test_a_full_size_file_of_mistakes_is_read_to_its_end():
    entry = "  - {id: a, url: x, prune: 1, depends_on: [b], zzz: 1}\n"
    text = "gitops:\n  manifest_projects:\n" + entry * ((MAX_SIZE - 100) // len(entry))
    assert len(problems(text)) > 10_000


def test_a_full_size_file_of_good_projects_is_read():
    head = "git: {base_url: 'https://h'}\ngitops:\n  manifest_projects:\n"
    lines, size = [], len(head)
    while size < MAX_SIZE - 60:
        lines.append(f"  - {{id: p{len(lines)}, depends_on: [p{len(lines) + 1}]}}\n")
        size += len(lines[-1])
    text = f"{head}{''.join(lines)}  - {{id: p{len(lines)}}}\n"
    assert len(parse(text.encode(), where="config.yaml").projects) == len(lines) + 1
