"""The service as installed: admitted by the cluster, and at work with the rights it was given."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from localcluster import ApiError
from reconciler.sync import marks
from tests.agentk import Agentk
from tests.fix_sync import of, outcomes
from tests.install.rendering import RBAC, example, moved
from tests.localcluster.waiting import eventually
from tests.objects import config_map, definition, deployment, manifest, text

COMMAND = Path(sys.executable).with_name("reconciler")
STOP_LIMIT = 20.0  # s from SIGTERM to the end
DOCUMENTED_GROUP, DOCUMENTED_PLURAL = "platform.example.com", "maintenancewindows"


def test_the_pod_is_admitted_under_the_restricted_policy_and_runs(api, installed):
    pods = f"/api/v1/namespaces/{installed}/pods?labelSelector=app.kubernetes.io/name=reconciler"
    found = api.until(
        pods, lambda body: [its["status"].get("phase") for its in body["items"]] == ["Running", "Running"]
    )
    assert {its["spec"]["serviceAccountName"] for its in found["items"]} == {"reconciler"}


def test_a_pod_with_more_rights_is_refused_in_its_namespace(api, installed):
    pod = {"metadata": {"name": "root"}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    with pytest.raises(ApiError, match="violates PodSecurity"):
        api.post(f"/api/v1/namespaces/{installed}/pods?dryRun=All", pod)


class Running:
    """`reconciler run` as a child process."""

    def __init__(self, process, log):
        self.process = process
        self.log = log

    def says(self, pattern):
        """The match of a line of the log, which it waits for."""

        def look():
            assert self.process.poll() is None, f"it has ended:\n{self.log.read_text()}"
            return re.search(pattern, self.log.read_text())

        eventually(look)
        return look()

    def ready(self):
        """Status and text of /readyz."""
        return self.get("/readyz")

    def get(self, page):
        """Status and text of a page."""
        address = self.says(r"/metrics are at (\S+:\d+)")[1]
        try:
            with urllib.request.urlopen(f"http://{address}{page}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stop(self):
        """End it as the kubelet does, and wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=STOP_LIMIT) == 0, self.log.read_text()


def running(directory, kubeconfig, *, instance, namespace):
    options = {
        "config": directory / "config.yaml",
        "instance": instance,
        "kubeconfig": kubeconfig,
        "records-namespace": namespace,
        "data-dir": directory / "data",
        "listen": "127.0.0.1:0",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return started(directory, ["run", "--allow-local-repositories", *arguments])


@contextmanager
def started(directory, arguments):
    """The service in a directory of its own; ended at the end."""
    log = directory / "log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "TMPDIR": str(directory)}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [COMMAND, *arguments],
            stderr=stderr,
            env=environment,
            cwd=directory,
        )
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(90)
def test_a_whole_project_needs_no_right_that_is_missing(
    api, applier, installed, identity, repo, namespace, tmp_path
):
    """
    First as a person meets it: installed, not configured yet, then given a configuration.

    Beside the project, another one takes over what agentk left.
    """
    project = f"install-{uuid.uuid4().hex[:10]}"
    group = f"{project}.example.com"
    granted = json.dumps(example("install.md", "reconciler-custom-kinds")).replace(DOCUMENTED_GROUP, group)
    applier.apply(json.loads(granted))
    who = identity(installed)
    agentk = Agentk(api, namespace=namespace)
    left = agentk.run(config_map("old"))
    also = {"old/old.yaml": text(config_map("old", value="1"))}
    first = repo.commit({"new/all.yaml": text(*objects(project, group)), **also})

    with running(tmp_path, who.kubeconfig, instance=project, namespace=installed) as service:
        # Not ready, and why: there is no such file yet.
        eventually(lambda: "config.yaml" in service.ready()[1])
        assert service.ready()[0] == 503
        entries = [
            {
                "id": name,
                "url": repo.url,
                "interval": "1s",
                "default_namespace": where,
                "paths": [{"glob": f"/{directory}/*.yaml"}],
            }
            for name, where, directory in (("shop", project, "new"), ("old", namespace, "old"))
        ]
        (tmp_path / "config.yaml").write_text(json.dumps({"gitops": {"manifest_projects": entries}}))
        synced(api, installed, project, first)
        synced(api, installed, project, first, name="old")
        assert service.ready()[0] == 200

        base = f"/api/v1/namespaces/{project}"
        assert api.get(f"{base}/configmaps/settings")["data"] == {"a": "1"}
        assert api.exists(f"/apis/{group}/v1/namespaces/{project}/{DOCUMENTED_PLURAL}/nightly")
        fewer = [its for its in objects(project, group, value="2") if its["metadata"]["name"] != "spare"]
        synced(api, installed, project, repo.commit({"new/all.yaml": text(*fewer)}))
        assert api.get(f"{base}/configmaps/settings")["data"] == {"a": "2"}
        assert not api.exists(f"{base}/configmaps/spare")
        old = api.get(f"/api/v1/namespaces/{namespace}/configmaps/old")
        assert (old["metadata"]["uid"], old["data"]) == (left["old"], {"value": "1"})

        service.stop()

    requests = who.requests()
    refused = [its["requestURI"] for its in requests if its["responseStatus"]["code"] in (401, 403)]
    assert not refused
    assert takes_over(requests, agentk)
    assert {"get", "list", "watch", "create", "update", "patch", "delete"} <= {
        its["verb"] for its in requests
    }
    log = service.log.read_text()
    assert "Traceback" not in log
    assert " failed at " not in log, "in sync at the second try only"


def objects(project, group, *, value="1"):
    """One project with every sort of thing: where it lives, a kind of its own, work, rights."""
    kind = definition(group, kind="MaintenanceWindow")
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "update"]},
        {"apiGroups": [group], "resources": [DOCUMENTED_PLURAL], "verbs": ["get"]},
    ]
    role = {"apiGroup": RBAC, "kind": "Role", "name": "editor"}
    subject = {"kind": "ServiceAccount", "name": "web", "namespace": project}
    return [
        manifest("v1", "Namespace", project),
        config_map("settings", a=value),
        config_map("spare"),
        manifest("v1", "ServiceAccount", "web"),
        deployment("web"),
        kind,
        manifest(f"{group}/v1", "MaintenanceWindow", "nightly", spec={"minutes": 30}),
        manifest(f"{RBAC}/v1", "Role", "editor", rules=rules),
        manifest(f"{RBAC}/v1", "RoleBinding", "web-edits", roleRef=role, subjects=[subject]),
        manifest("batch/v1", "Job", "migrate", spec=JOB),
    ]


JOB = {
    "template": {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "migrate", "image": "migrate:1"}]}
    }
}


def synced(api, namespace, instance, commit, *, name="shop"):
    """Wait until the records say that this commit is in sync."""
    name = marks.inventory_id(instance, name)

    def holds(body):
        data = (body or {}).get("data", {})
        return (data.get("state"), data.get("commit")) == ("synced", commit)

    api.until(f"/api/v1/namespaces/{namespace}/configmaps/{name}", holds, seconds=30)


def takes_over(requests, agentk):
    """Whether they looked for the Lease of agentk, and wrote on its inventory."""
    lease = quote(f"metadata.name=agent-{agentk.agent}-lock", safe="")
    looked = any(its["verb"] == "list" and lease in its["requestURI"] for its in requests)
    wrote = any(
        its["verb"] == "patch" and its.get("objectRef", {}).get("name") == agentk.name for its in requests
    )
    return looked and wrote and agentk.inventory()["metadata"]["annotations"].keys() == {marks.IMPORTED_BY}


def test_with_less_bound_only_what_is_outside_fails(applier, identity, install, make_installation, namespace):
    """docs/install.md, "Give it less": the base, and a RoleBinding in one namespace."""
    own = install("cluster", "base")
    (binding,) = moved(example("install.md", "reconciler-apply"), namespace=own)
    binding["metadata"]["namespace"] = namespace
    applier.apply([binding])
    installation = make_installation(own, kubeconfig=identity(own).kubeconfig)
    installation.configure(default_namespace=namespace)
    installation.commit({
        "inside.yaml": [config_map("inside"), deployment("web")],
        "outside.yaml": [config_map("outside", namespace="default"), manifest("v1", "Namespace", "more")],
        "secret.yaml": manifest("v1", "Secret", "password", stringData={"password": "hunter2"}),
    })  # fmt: skip

    report = installation.sync()

    assert outcomes(report) == {
        "inside": "created",
        "web": "created",
        "outside": "failed",
        "more": "failed",
        "password": "failed",
    }
    assert "may not patch configmaps in namespace default" in of(report, "outside").message
    assert "may not patch namespaces" in of(report, "more").message
    assert "may not list secrets" in of(report, "password").message
    assert {of(report, name).reason for name in ("outside", "more", "password")} == {"Forbidden"}
