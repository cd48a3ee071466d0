"""What the command line gave, as values: defaults, and names that cannot be used."""

import pytest

from reconciler.service.options import Options, OptionsInvalid, make_options


@pytest.mark.parametrize(
    ("instance", "agent_name", "want"),
    [
        pytest.param("prod-eu", "prod", "prod-eu", id="given"),
        pytest.param(None, "prod", "prod", id="else the agent's"),
        pytest.param(None, None, "default", id="else default"),
    ],
)
def test_name_of_the_installation(instance: str | None, agent_name: str | None, want: str) -> None:
    assert Options(instance=instance, agent_name=agent_name).instance_name == want


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        pytest.param("config_ref", "a..b", "no branch can be named 'a..b'", id="no branch name"),
        pytest.param("config_ref", "", "no branch can be named ''", id="empty branch"),
        pytest.param("config_ref", "https://me:hunter2@h", "(not shown)", id="a password"),
        pytest.param("config_credentials", "../x", "not a name of credentials", id="path upwards"),
        pytest.param("config_credentials", "/etc", "not a name of credentials", id="absolute path"),
        pytest.param("config_credentials", "a/b", "not a name of credentials", id="path"),
        pytest.param("config_credentials", "", "not a name of credentials", id="empty credentials"),
        pytest.param("config_credentials", "a" * 254, "not a name of credentials", id="too long"),
        pytest.param("instance", "a/b", "'a/b' cannot be the name of an installation", id="instance"),
        pytest.param("agent_name", "a/b", "'a/b' cannot be the name of an agent", id="agent"),
        pytest.param("records_namespace", "A", "'A' cannot be the name of a namespace", id="namespace"),
    ],
)
def test_name_that_cannot_be_used_is_told_with_its_option(option: str, value: str, said: str) -> None:
    with pytest.raises(OptionsInvalid) as error:
        make_options({option: value})
    assert error.value.where == f"--{option.replace('_', '-')}"
    assert said in error.value.what
    assert "hunter2" not in str(error.value)


def test_usual_names_pass() -> None:
    given = {"config_ref": "release/1.2", "config_credentials": "gitlab.prod", "instance": "a.b_c"}
    assert make_options(given) == Options(**given)
