"""docs/migrate-from-gitlab-agent.md, followed word for word on a cluster that agentk has left."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import Api, ControlPlane
from reconciler.sync import marks
from tests import kubectl
from tests.agentk import Agentk, key_of
from tests.cli.running import COMMAND, environment
from tests.fix_git import HttpServer, Repository
from tests.fix_sync import AuditLog
from tests.install.rendering import MANIFESTS, arguments, patched, render
from tests.install.test_run import Running, started
from tests.localcluster.waiting import eventually
from tests.objects import config_map, deployment, text

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "migrate-from-gitlab-agent.md"
INSTALL = DOCS / "install.md"
NAMESPACE = "my-ns"
AGENTS = "gitlab-agent"
RECORDS = "/api/v1/namespaces/reconciler-system"

CONFIG = """\
gitops:
  manifest_projects:
  - id: my-group/apps
    url: {url}
    default_namespace: my-ns
    paths:
    - glob: '/apps/*.yaml'
    reconcile_timeout: 10s
"""


def steps() -> list[str]:
    """The commands of the page, a script for each step."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Step by step\n")[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def left_by_agentk(api: Api) -> Iterator[Agentk]:
    """Namespaces, objects and inventory, under the names that the page uses."""
    for name in (NAMESPACE, AGENTS):
        api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        api.until(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool)
    yield Agentk(api, namespace=NAMESPACE, agent=1)
    selector = f"?labelSelector={marks.RECORDS_LABEL}"
    for item in api.get(f"{RECORDS}/configmaps{selector}")["items"]:
        api.delete(f"{RECORDS}/configmaps/{item['metadata']['name']}")
    for name in (NAMESPACE, AGENTS):
        api.delete(f"/api/v1/namespaces/{name}")


@kubectl.needed
@pytest.mark.slow
@pytest.mark.timeout(90)
def test_page_is_followed_word_for_word(
    left_by_agentk: Agentk,
    api: Api,
    audit: AuditLog,
    control_plane: ControlPlane,
    repo: Repository,
    make_repo: Callable[[str], Repository],
    http_server: HttpServer,
    tmp_path: Path,
) -> None:
    agentk = left_by_agentk
    deployments = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    web, settings = deployment("web"), config_map("settings")
    before = {
        "web": agentk.apply(web, deployments)["metadata"]["uid"],
        "settings": agentk.apply(settings, f"/api/v1/namespaces/{NAMESPACE}/configmaps")["metadata"]["uid"],
    }
    agentk.record(key_of(its, namespace=NAMESPACE) for its in (web, settings))
    agentk.hold_lease(AGENTS, ago=90, stamped=False)
    api.post(f"/apis/apps/v1/namespaces/{AGENTS}/deployments", deployment("gitlab-agent"))
    api.until(f"{deployments}/web", lambda it: it["status"].get("readyReplicas") == 1)
    pods = [its["metadata"]["uid"] for its in api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]]
    repo.commit({"apps/web.yaml": text(web), "apps/settings.yaml": text(settings)})
    config = CONFIG.format(url=f"{http_server.url}/repo.git")
    (tmp_path / "config.yaml").write_text(config)
    make_repo("agents").commit({".gitlab/agents/production/config.yaml": config})

    said = [follow(script, tmp_path, control_plane.kubeconfig) for script in steps()]

    _, seen, planned, _, synced, cleaned = said
    assert "inventory-1-278964" in seen
    assert "agent-1-lock" in seen
    assert "would take over inventory 1-278964" in planned
    assert re.search(": 2 to take over", planned), planned
    assert api.get(f"/apis/apps/v1/namespaces/{AGENTS}/deployments/gitlab-agent")["spec"]["replicas"] == 0
    assert "took over inventory 1-278964" in synced
    assert re.search(r"^my-group/apps +\w{12} +synced ", synced, flags=re.MULTILINE), synced
    after = {
        "web": api.get(f"{deployments}/web")["metadata"]["uid"],
        "settings": api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/settings")["metadata"]["uid"],
    }
    assert after == before
    assert pods == [
        its["metadata"]["uid"] for its in api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    ]
    assert "production/my-group/apps" in cleaned
    assert not api.exists(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{agentk.name}")

    # Step 6, once for each place that the configuration can be at.
    pod = {"data_dir": str(tmp_path / "data"), "listen": "127.0.0.1:0"}
    from_file = arguments(as_installed(PAGE), config=str(tmp_path / "config.yaml"), **pod)
    from_git = arguments(
        as_installed(INSTALL), config_repo=f"{http_server.url}/agents.git", config_credentials=None, **pod
    )
    for given in (from_file, from_git):
        given.append(f"--kubeconfig={control_plane.kubeconfig}")  # the pod has a ServiceAccount
        with audit.recorded() as requests, started(tmp_path, given) as service:
            eventually(lambda service=service: has_succeeded(service), seconds=20)
            service.stop()
        assert requests.all, "nobody has asked"
        assert requests.of_objects == [], given


def as_installed(page: Path) -> list[dict[str, Any]]:
    """The base with the patch that the page has for everybody's kustomization."""
    found = page.read_text(encoding="utf-8")
    (patch,) = re.findall(r"^```yaml\n(patches:\n.*?)^```", found, flags=re.DOTALL | re.MULTILINE)
    return patched(render(MANIFESTS / "base"), yaml.safe_load(patch))


def has_succeeded(service: Running) -> bool:
    """Whether this process has found or made the project in sync."""
    name = "reconciler_project_last_success_timestamp_seconds"
    return f'{name}{{project="my-group/apps"}}' in service.get("/metrics")[1]


def follow(script: str, home: Path, kubeconfig: Path) -> str:
    """Run a step in a shell as a person does, and return what it printed."""
    variables = environment(home) | {"KUBECONFIG": str(kubeconfig)}
    variables["PATH"] = f"{COMMAND.parent}:{variables['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=home,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    wanted = 1 if "reconciler plan" in script else 0
    assert done.returncode == wanted, f"{script}\n{done.stdout}"
    return done.stdout
