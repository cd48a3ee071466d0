"""Which commit a ref spec means, read from what a server shows."""

import pytest

from reconciler.git.errors import RefInvalid, RefNotFound, RepositoryEmpty
from reconciler.git.refs import RefSpec, RemoteRefs, Resolved, missing, patterns, resolve

A, B, C = "a" * 40, "b" * 40, "c" * 40


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param(RefSpec(), ("HEAD", "refs/heads/main", "refs/heads/master"), id="no ref polls HEAD"),
        pytest.param(RefSpec("branch", "any-branch-name"), ("refs/heads/any-branch-name",), id="branch"),
        pytest.param(
            RefSpec("tag", "any-tag-name"), ("refs/tags/any-tag-name", "refs/tags/any-tag-name^{}"), id="tag"
        ),
        pytest.param(RefSpec("commit", A), (), id="commit is never polled"),
    ],
)
def test_what_is_asked_for(spec: RefSpec, want: tuple[str, ...]) -> None:
    assert patterns(spec) == want


@pytest.mark.parametrize(
    ("shown", "spec", "want"),
    [
        pytest.param(
            f"ref: refs/heads/dev\tHEAD\n{A}\tHEAD\n{B}\trefs/heads/main\n",
            RefSpec(),
            Resolved("refs/heads/dev", A),
            id="HEAD wins and names its branch",
        ),
        pytest.param(f"{A}\tHEAD\n", RefSpec(), Resolved("HEAD", A), id="HEAD without a symref line"),
        pytest.param(
            f"{A}\trefs/heads/main\n{B}\trefs/heads/master\n",
            RefSpec(),
            Resolved("refs/heads/main", A),
            id="no HEAD: main wins",
        ),
        pytest.param(
            f"{B}\trefs/heads/master\n",
            RefSpec(),
            Resolved("refs/heads/master", B),
            id="no HEAD, no main: master",
        ),
        pytest.param(f"{B}\trefs/heads/dev\n", RefSpec(), None, id="none of the three"),
        pytest.param(
            f"{B}\trefs/heads/dev\n", RefSpec("branch", "dev"), Resolved("refs/heads/dev", B), id="branch"
        ),
        pytest.param(f"{B}\trefs/tags/dev\n", RefSpec("branch", "dev"), None, id="a tag is no branch"),
        pytest.param(
            f"{B}\trefs/tags/v1\n", RefSpec("tag", "v1"), Resolved("refs/tags/v1", B), id="plain tag"
        ),
        pytest.param(
            f"{B}\trefs/tags/v1\n{C}\trefs/tags/v1^{{}}\n",
            RefSpec("tag", "v1"),
            Resolved("refs/tags/v1", C),
            id="annotated tag is peeled",
        ),
        pytest.param("", RefSpec("commit", A.upper()), Resolved("", A), id="commit as it is"),
    ],
)
def test_resolve(shown: str, spec: RefSpec, want: Resolved | None) -> None:
    assert resolve(RemoteRefs.parse(shown), spec) == want


@pytest.mark.parametrize("line", ["hello", f"{A} refs/heads/main", f"{A[:-1]}\trefs/heads/main", "\tHEAD"])
def test_garbage_is_not_a_list_of_refs(line: str) -> None:
    with pytest.raises(ValueError, match="not a line"):
        RemoteRefs.parse(f"{A}\tHEAD\n{line}\n")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *[
            ("branch", name)
            for name in ("", "-x", "a b", "a..b", "a~1", "a*", "a:b", "/a", "a/", "a.lock", "@", ".a")
        ],
        ("tag", "v1^{}"),
        ("commit", "abc123"),
        ("commit", "main"),
    ],
)
def test_impossible_name_is_refused(kind: str, name: str) -> None:
    with pytest.raises(RefInvalid):
        RefSpec(kind, name)  # type: ignore[arg-type]


def test_missing_branch_lists_near_names() -> None:
    refs = RemoteRefs(others=("refs/heads/production", "refs/heads/dev", "refs/tags/prodution"))
    error = missing(refs, RefSpec("branch", "prodution"), where="https://host/repo")
    assert isinstance(error, RefNotFound)
    assert str(error) == (
        "https://host/repo: the repository has no branch prodution; "
        "push it or correct ref.branch (there is: production)"
    )


def test_missing_head_lists_branches() -> None:
    error = missing(RemoteRefs(others=("refs/heads/dev",)), RefSpec(), where="https://host/repo")
    assert "set ref.branch (there is: dev)" in str(error)


def test_empty_repository_is_waited_for() -> None:
    error = missing(RemoteRefs(empty=True), RefSpec("branch", "x"), where="https://host/repo")
    assert isinstance(error, RepositoryEmpty)
    assert error.transient
