"""Where manifests and configuration come from: credentials in the cluster, a configuration repository."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from reconciler.manifests.decode import decode_with_texts
from reconciler.sync import source
from reconciler.sync.outcome import State
from tests.fix_git import Authority, HttpServer
from tests.fix_sync import Installation, outcomes
from tests.objects import config_map

PASSWORD = "canary-4711-password"


def credentials(installation: Installation, server: HttpServer, authority: Authority, **changes: Any) -> None:
    """Put credentials for `server` into the records namespace; `changes` replace parts of the metadata."""
    values = {"username": b"deploy", "password": PASSWORD.encode(), "ca.crt": authority.pem}
    metadata = {
        "name": "git",
        "labels": {"reconciler.dev/credentials": "git"},
        "annotations": {"reconciler.dev/url-prefix": server.url},
        **changes,
    }
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    installation.api.post(installation.path("secrets"), {"metadata": metadata, "data": data})


@pytest.fixture
def server(installation: Installation, https_server: HttpServer) -> HttpServer:
    """A repository behind TLS, user and password; the project follows it with credentials `git`."""
    https_server.login = ("deploy", PASSWORD)
    installation.configure(url=f"{https_server.url}/repo.git", credentials="git")
    installation.commit({"a.yaml": config_map("a")})
    return https_server


def test_credentials_are_a_secret_in_the_records_namespace(
    installation: Installation, server: HttpServer, authority: Authority
) -> None:
    credentials(installation, server, authority)
    assert installation.sync().state is State.SYNCED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"labels": {}}, "reconciler.dev/credentials", id="no label"),
        pytest.param({"annotations": {}}, "reconciler.dev/url-prefix", id="no prefix"),
        pytest.param(
            {"annotations": {"reconciler.dev/url-prefix": "https://git.example.com"}},
            "git.example.com",
            id="another server's",
        ),
        pytest.param({"name": "another"}, "git", id="not there"),
    ],
)
def test_secret_that_was_not_meant_for_the_server_is_not_sent(
    installation: Installation, server: HttpServer, authority: Authority, changes: dict[str, Any], said: str
) -> None:
    credentials(installation, server, authority, **changes)
    result = installation.run()
    assert (result.reports[0].state, result.unusable) == (State.UNKNOWN, True)
    assert said in result.reports[0].reason
    assert PASSWORD not in repr(result)
    assert sum(server.counts.values()) == 0, "the server was asked"


def test_refused_password_is_not_repeated(
    installation: Installation, server: HttpServer, authority: Authority
) -> None:
    credentials(installation, server, authority)
    server.login = ("deploy", "another")
    result = installation.run()
    assert (result.reports[0].state, result.unusable) == (State.UNKNOWN, True)
    assert PASSWORD not in repr(result)


def test_configuration_repository_with_its_agent(installation: Installation) -> None:
    config = json.loads(installation.config_file.read_text())
    installation.commit({"m/a.yaml": config_map("a"), ".gitlab/agents/prod/config.yaml": json.dumps(config)})
    installation.options = replace(
        installation.options, config=None, config_repo=installation.repo.url, agent_name="prod"
    )
    assert installation.sync().state is State.SYNCED
    assert installation.recorded_names() == {"a"}


def test_configuration_repository_behind_a_login_is_read_at_a_ref(
    installation: Installation, https_server: HttpServer, authority: Authority
) -> None:
    """The default branch holds another one; an entry of the same repository needs no credentials."""
    https_server.login = ("deploy", PASSWORD)
    credentials(installation, https_server, authority)
    url = f"{https_server.url}/repo.git"
    file = ".gitlab/agents/prod/config.yaml"
    project = {
        "id": "shop",
        "url": url,
        "default_namespace": installation.namespace,
        "ref": {"branch": "live"},
    }
    config = json.dumps({"gitops": {"manifest_projects": [project]}})
    installation.repo.commit({file: "gitops: {manifest_projects: []}"})
    installation.repo.commit({file: config, "a.yaml": json.dumps(config_map("a"))}, branch="live")
    installation.options = replace(
        installation.options,
        config=None,
        config_repo=url,
        config_ref="live",
        config_credentials="git",
        agent_name="prod",
    )
    assert installation.sync().state is State.SYNCED
    assert installation.recorded_names() == {"a"}


def test_second_process_with_nothing_to_do_decodes_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken file is as well known as a good one."""
    installation.commit({"a.yaml": config_map("a"), "b.yaml": "kind: [", "c.yaml": [config_map("c")]})
    decoded = 0

    def counting(data: bytes) -> Any:
        nonlocal decoded
        decoded += 1
        return decode_with_texts(data)

    monkeypatch.setattr(source, "decode_with_texts", counting)
    assert installation.sync().state is State.FAILED
    assert decoded == 3
    report = installation.sync()
    assert (report.state, outcomes(report)) == (State.FAILED, {"a": "unchanged", "c": "unchanged"})
    assert decoded == 3
