from pathlib import Path

import pytest

from reconciler.config.validate import validate

GOOD = "gitops: {manifest_projects: [{id: a, url: 'https://h/a'}]}"
BAD = "gitopz: {}\npaused: 1\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A configuration repository with two agents, one of them wrong."""
    for agent, text in (("good", "gitops: {manifest_projects: [{}]}"), ("bad", BAD)):
        path = tmp_path / ".gitlab" / "agents" / agent / "config.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def test_a_good_file_has_a_configuration_and_no_problems(tmp_path):
    (tmp_path / "config.yaml").write_text(GOOD)
    (got,) = validate(tmp_path / "config.yaml")
    assert got.problems == ()
    assert got.configuration is not None
    assert got.configuration.projects[0].id == "a"


def test_every_mistake_is_a_line_that_begins_with_the_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(BAD)
    (got,) = validate(path)
    assert [line.partition(";")[0] for line in got.problems] == [
        f"{path}:1:1: gitopz: unknown key",
        f"{path}:2:1: paused: this must be true or false, not a whole number",
    ]


def test_a_clone_is_checked_for_every_agent_and_an_entry_may_have_no_id(clone):
    bad, good = validate(clone)
    assert (bad.configuration, len(bad.problems)) == (None, 2)
    assert good.problems == ()
    assert ".gitlab/agents/good/config.yaml" in good.file


def test_a_directory_with_a_plain_file(tmp_path):
    (tmp_path / "config.yaml").write_text(GOOD)
    (got,) = validate(tmp_path)
    assert (got.file, got.problems) == (str(tmp_path / "config.yaml"), ())


@pytest.mark.parametrize(
    ("file", "said"),
    [
        pytest.param(
            "prod/config.yml",
            "there is no config.yaml, the only file that is read; rename config.yml",
            id="yml",
        ),
        pytest.param(
            "prod/README.md", "there is no config.yaml, the only file that is read; add it", id="missing"
        ),
        pytest.param(
            "Prod/config.yaml", "this is not the name of an agent, --agent-name cannot give it", id="name"
        ),
        pytest.param(
            "a_b/config.yaml", "use at most 63 lower-case letters, digits and hyphens", id="another name"
        ),
    ],
)
def test_configuration_that_is_never_read_is_a_problem(clone, file, said):
    path = clone / ".gitlab" / "agents" / file
    path.parent.mkdir()
    path.write_text(GOOD)
    others = {".gitlab/agents/bad/config.yaml", ".gitlab/agents/good/config.yaml"}
    (got,) = (each for each in validate(clone) if not each.file.endswith(tuple(others)))
    assert got.configuration is None
    (problem,) = got.problems
    assert problem.startswith(f"{path.parent}: ")
    assert said in problem


def test_files_beside_the_agents_are_none(clone):
    (clone / ".gitlab" / "agents" / ".gitkeep").touch()
    assert len(validate(clone)) == 2


@pytest.mark.parametrize(
    "name", [pytest.param("", id="empty directory"), pytest.param("x.yaml", id="no such file")]
)
def test_nothing_to_check_is_a_problem(tmp_path, name):
    (got,) = validate(tmp_path / name)
    assert (
        "there is no such file; name a config.yaml, or a directory that has .gitlab/agents/"
        in got.problems[0]
    )


def test_local_repositories_only_on_request(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("gitops: {manifest_projects: [{id: a, url: /srv/a.git}]}")
    assert validate(path)[0].problems != ()
    assert validate(path, allow_local=True)[0].problems == ()
