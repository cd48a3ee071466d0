import pytest

from reconciler.config import urls
from reconciler.config.models import PruneLimit

from .reading import OWN, problems, project, read


@pytest.mark.parametrize(
    ("base", "project_id", "want"),
    [
        pytest.param("https://gitlab.example.com", "g/a", "https://gitlab.example.com/g/a.git", id="plain"),
        pytest.param(
            "https://gitlab.example.com/", "g/a", "https://gitlab.example.com/g/a.git", id="final slash"
        ),
        pytest.param(
            "https://example.com/gitlab", "g/a", "https://example.com/gitlab/g/a.git", id="relative URL root"
        ),
        pytest.param(
            "https://gitlab.example.com", "g/a.git", "https://gitlab.example.com/g/a.git", id="has .git"
        ),
        pytest.param("ssh://git@git.example.com", "g/a", "ssh://git@git.example.com/g/a.git", id="ssh"),
        pytest.param("git@git.example.com:", "g/a", "git@git.example.com:g/a.git", id="scp-like"),
        pytest.param(
            "git@git.example.com:team", "g/a", "git@git.example.com:team/g/a.git", id="scp-like with path"
        ),
    ],
)
def test_an_id_without_url_lives_below_the_base_url(base, project_id, want):
    text = f"git: {{base_url: '{base}'}}\ngitops: {{manifest_projects: [{{id: {project_id}}}]}}"
    (got,) = read(text).projects
    assert got.url == want


@pytest.mark.parametrize(
    ("url", "want"),
    [
        pytest.param("https://h/a", "a", id="https"),
        pytest.param("https://h:8443/g/s/a.git", "g/s/a", id="port and .git"),
        pytest.param("ssh://git@h/g/a.git/", "g/a", id="ssh with final slash"),
        pytest.param("git@h:g/a.git", "g/a", id="scp-like"),
        pytest.param("/srv/git/a.git", "srv/git/a", id="local"),
        pytest.param("https://h", None, id="no path"),
        pytest.param("https://h/a b", None, id="no project's path"),
    ],
)
def test_the_configuration_projects_path_is_read_from_its_url(url, want):
    assert urls.project_path(url) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            "[{id: a}]",
            "[0].id: nothing says where this project's repository is; set url here, or git.base_url",
            id="neither url nor base_url",
        ),
        pytest.param("[{url: 'https://h/a'}]", "[0]: this entry has no id; add id:", id="no id"),
        pytest.param("[{id: ''}]", "[0].id: value length must be at least 1 bytes", id="empty id"),
        pytest.param("[{id: ' a'}]", "[0].id: an id has no blanks at its ends", id="blank at the end"),
        pytest.param("[{id: 1, url: 'https://h/a'}]", '[0].id: this must be text, not a whole', id="number"),
        pytest.param("[{id: a, url: ''}]", "[0].url: value length must be at least 1 bytes", id="empty url"),
        pytest.param("[{id: a, url: ./a}]", "[0].url: local repositories are closed", id="relative path"),
        pytest.param("[{id: a, url: /srv/a.git}]", "[0].url: local repositories are closed", id="local path"),
        pytest.param("[{id: a, url: 'file:///srv/a'}]", "[0].url: repositories are not read", id="file"),
        pytest.param("[{id: a, url: 'ext::sh -c x'}]", "[0].url: repositories are not read over", id="ext"),
        pytest.param("[{id: a, url: 'git://h/a'}]", "[0].url: repositories are not read over 'git'", id="git://"),
        pytest.param("[{id: a, url: '--upload-pack=x'}]", "[0].url: this repository URL is not", id="option"),
        pytest.param("[{id: a, url: 'https://h/../a'}]", "[0].url: the path or port of the", id="climbs up"),
    ],
)  # fmt: skip
def test_where_a_project_lives_is_wrong(text, want):
    (got,) = problems(f"gitops: {{manifest_projects: {text}}}")
    assert want in got


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://git.example.com/g/a.git", id="https"),
        pytest.param("http://git.example.com:8080/g/a", id="http with port"),
        pytest.param("ssh://git@git.example.com:2222/g/a.git", id="ssh"),
        pytest.param("git@git.example.com:g/a.git", id="scp-like"),
    ],
)
def test_url_is_taken_as_it_is_written(url):
    (got,) = read(f"gitops: {{manifest_projects: [{{id: any unique name, url: '{url}'}}]}}").projects
    assert got.url == url


def test_local_repositories_can_be_opened_for_demo_and_tests():
    text = "gitops: {manifest_projects: [{id: a, url: /srv/a.git}, {id: b}]}\ngit: {base_url: /srv/git}"
    a, b = read(text, allow_local=True).projects
    assert (a.url, b.url) == ("/srv/a.git", "/srv/git/b.git")


def test_a_wrong_base_url_is_one_problem_however_many_projects_need_it():
    (got,) = problems("git: {base_url: gitlab}\ngitops: {manifest_projects: [{id: a}, {id: b}]}")
    assert "git.base_url: this repository URL is not one we open" in got


def test_a_name_that_is_no_path_needs_a_url():
    (got,) = problems("git: {base_url: 'https://h'}\ngitops: {manifest_projects: [{id: 'a/../b'}]}")
    assert "[0].id: this id is not a path below git.base_url; write group/project, or set url" in got


def test_two_entries_may_name_the_same_repository():
    text = "gitops: {manifest_projects: [{id: a, url: 'https://h/x'}, {id: b, url: 'https://h/x'}]}"
    assert [p.id for p in read(text).projects] == ["a", "b"]


def test_two_entries_without_id_are_one_id_twice():
    (got,) = problems("gitops: {manifest_projects: [{}, {prune: false}]}", config_project=OWN)
    assert (
        "[1]: duplicate source id: my-group/agents is there already (gitops.manifest_projects[0], line 1"
        in got
    )


@pytest.mark.parametrize(
    ("entry", "git", "want"),
    [
        pytest.param(
            "{id: a, credentials: mine}", "{base_url: 'https://h', credentials: all}", "mine", id="its own"
        ),
        pytest.param("{id: a}", "{base_url: 'https://h', credentials: all}", "all", id="everybody's"),
        pytest.param("{id: a}", "{base_url: 'https://h'}", None, id="none"),
        pytest.param("{}", "{}", "own", id="the configuration's repository, with its credentials"),
        pytest.param("{}", "{credentials: all}", "all", id="named credentials win"),
        pytest.param(
            "{id: a}", "{base_url: 'https://git.example.com'}", None, id="same server, other repository"
        ),
    ],
)
def test_credentials(entry, git, want):
    text = f"git: {git}\ngitops: {{manifest_projects: [{entry}]}}"
    (got,) = read(text, config_project=OWN).projects
    assert got.credentials == want


@pytest.mark.parametrize(
    ("needs", "want"),
    [
        pytest.param({"a": "[b]", "b": "[c]", "c": "[]"}, [], id="a chain"),
        pytest.param({"a": "[b, b]", "b": "[]"}, [], id="said twice"),
        pytest.param({"a": "[b, c]", "b": "[d]", "c": "[d]", "d": "[]"}, [], id="a diamond"),
        pytest.param({"a": "[a]"}, ["[0].depends_on: manifest projects wait for each other: a"], id="itself"),
        pytest.param(
            {"a": "[b]", "b": "[c]", "c": "[b]"},
            ["[1].depends_on: manifest projects wait for each other: b -> c -> b"],
            id="a ring behind a chain",
        ),
        pytest.param(
            {"a": "[b]", "b": "[a]", "c": "[d]", "d": "[c]"},
            ["[0].depends_on: manifest projects wait for each other: a -> b -> a",
             "[2].depends_on: manifest projects wait for each other: c -> d -> c"],
            id="two rings",
        ),
        pytest.param(
            {"shop": "[bas]", "base": "[]"},
            ['[0].depends_on[0]: no manifest project has this id; did you mean "base"?'],
            id="near miss",
        ),
        pytest.param(
            {"a": "[zebra]"},
            ["[0].depends_on[0]: no manifest project has this id; write the id of another entry of"],
            id="unknown",
        ),
    ],
)  # fmt: skip
def test_dependencies(needs, want):
    entries = ", ".join(f"{{id: {k}, url: 'https://h/x', depends_on: {v}}}" for k, v in needs.items())
    got = problems(f"gitops: {{manifest_projects: [{entries}]}}")
    assert len(got) == len(want)
    assert all(text in line for text, line in zip(want, got, strict=True)), got


def test_an_unreadable_entry_may_be_the_one_that_others_depend_on():
    text = "gitops: {manifest_projects: [{id: a, url: 'https://h/x', depends_on: [b]}, {id: 3}]}"
    (got,) = problems(text)
    assert "[1].id: this must be text" in got


def test_too_many_globs_are_counted_with_the_files_own_limit():
    paths = "[{glob: '*.yaml'}, {glob: '*.yml'}]"
    project_text = f"{{id: a, url: 'https://h/a', paths: {paths}}}"
    (got,) = problems(f"limits: {{max_paths: 1}}\ngitops: {{manifest_projects: [{project_text}]}}")
    assert "paths: maximum number of GitOps paths per manifest project is 1, but 2 was requested; " in got


@pytest.mark.parametrize(
    ("limit", "pruning", "of", "want"),
    [
        pytest.param("null", 10, 10, False, id="default: not more than 10 objects"),
        pytest.param("null", 11, 22, False, id="default: not more than half"),
        pytest.param("null", 12, 22, True, id="default: more than half and more than 10"),
        pytest.param("5", 5, 5, False, id="as many as the number"),
        pytest.param("5", 6, 600, True, id="more than the number"),
        pytest.param("0", 1, 1000, True, id="0 asks for every prune"),
        pytest.param("30%", 3, 10, False, id="exactly the percentage"),
        pytest.param("30%", 4, 10, True, id="more than the percentage"),
        pytest.param("100%", 7, 7, False, id="100 % never asks"),
        pytest.param("0%", 1, 1000, True, id="0 % asks for every prune"),
    ],
)
def test_prune_limit(limit, pruning, of, want):
    assert project(f"prune_limit: {limit}").prune_limit.exceeded(pruning=pruning, of=of) is want


def test_prune_limit_is_shown_as_it_is_written():
    assert [str(PruneLimit(percent=30)), str(PruneLimit(objects=20))] == ["30%", "20"]
