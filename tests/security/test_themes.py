"""
What went wrong in other GitOps tools, one test a theme (gitops-engine.md, part 5), with canaries.

    (a) files of one tenant visible to the build of another
    (b) secrets in errors, diffs, annotations, logs
    (c) entrances without or with too few checks
    (d) exhaustion by input
    (e) identity and scope that fail open

docs/security.md names the single tests of each part; here each theme is met as a whole, with the
command that a person types, and everything that it prints or leaves behind is searched.
"""

import base64
import json
import os
import resource
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcluster import Api
from reconciler.sync import marks
from tests.cli import running
from tests.fix_git import Repository, Submodule, Symlink
from tests.fix_install import Identity
from tests.fix_sync import Installation
from tests.install.rendering import RBAC, Applier
from tests.localcluster.waiting import eventually
from tests.objects import Manifest, config_map, manifest

CANARY = "canary-7f3a"
NEVER_MADE = "never/made"
"""Stands for the account that is not there."""
ENCODED = base64.b64encode(CANARY.encode()).decode()


def said(installation: Installation, *commands: tuple[object, ...]) -> str:
    """All that commands print and that lies in the records and on objects afterwards, but Secrets."""
    texts = []
    for name, *arguments in commands:
        of_source = name in ("sync", "plan", "explain")
        options = running.options(installation, source=of_source)
        done = running.run(installation.directory, name, *options, *arguments)
        texts += [done.out, done.err]
    texts.append(json.dumps(installation.api.get(installation.path("configmaps"))))
    texts.append(json.dumps(installation.api.get(installation.path("events"))))
    return "\n".join(texts)


def secret(name: str = "s", **fields: Any) -> dict[str, Any]:
    return manifest("v1", "Secret", name, **fields)


def test_a_repository_reads_nothing_but_itself(
    installation: Installation, make_repo: Callable[..., Repository], tmp_path: Path
) -> None:
    """(a) Links, submodules, globs and borrowed blobs of a hostile repository, beside another tenant's."""
    theirs = make_repo("theirs")
    theirs.commit({"s.yaml": json.dumps(config_map("theirs", value=CANARY))})
    (tmp_path / "outside.yaml").write_text(json.dumps(config_map("outside", value=CANARY)))
    installation.configure_projects(
        [
            {"id": "theirs", "url": theirs.url},
            {"id": "mine", "paths": [{"glob": "**/*"}]},
        ]
    )
    installation.repo.commit(
        {
            "good.yaml": json.dumps(config_map("good")),
            "link.yaml": Symlink(str(tmp_path / "outside.yaml")),
            "up.yaml": Symlink("../theirs.git/HEAD"),
            "loop": Symlink("loop"),
            "sub": Submodule(theirs.git("rev-parse", "HEAD")),
            ".gitmodules": f'[submodule "sub"]\n\tpath = sub\n\turl = file://{theirs.path}\n',
        }
    )
    output = said(installation, ("sync", "mine"), ("status", "mine"))
    assert "link.yaml" in output
    assert CANARY not in output
    assert not installation.exists("configmaps", "outside")
    assert not installation.exists("configmaps", "theirs")


def test_a_tree_that_names_a_blob_of_another_repository_gives_nothing(
    installation: Installation, make_repo: Callable[..., Repository]
) -> None:
    """(a) Decoded files are cached by blob id for all projects: the id alone must not open them."""
    theirs = make_repo("theirs")
    theirs.commit({"s.yaml": json.dumps(config_map("theirs", value=CANARY))})
    blob = theirs.git("rev-parse", "HEAD:s.yaml")
    installation.configure_projects([{"id": "theirs", "url": theirs.url}, {"id": "mine"}])
    running.run(installation.directory, "sync", *running.options(installation, source=True), "theirs")
    uid = installation.get("configmaps", "theirs")["metadata"]["uid"]
    tree = installation.repo.git("mktree", "--missing", stdin=f"100644 blob {blob}\tstolen.yaml\n".encode())
    commit = installation.repo.git("commit-tree", tree, "-m", "stolen")
    installation.repo.git("update-ref", "refs/heads/main", commit)
    output = said(installation, ("sync", "mine"), ("status", "mine"))
    assert "unknown" in output
    owner = installation.get("configmaps", "theirs")["metadata"]
    assert (owner["uid"], owner["annotations"][marks.PROJECT]) == (uid, "theirs")
    assert not installation.api.exists(
        installation.path("configmaps", marks.inventory_id(installation.namespace, "mine") + "-0")
    )


def test_no_secret_leaves_its_secret(installation: Installation) -> None:
    """(b) Through refusals, changes, drift, diffs, explanations, and another tool's annotation."""
    installation.commit({"s.yaml": [secret(stringData={"password": CANARY}), config_map("a")]})
    first = said(installation, ("sync",), ("sync", "-o", "json"), ("status", "-o", "json"))
    path = installation.path("secrets", "s")
    last_applied = json.dumps(secret(stringData={"password": CANARY}))
    annotation = {"kubectl.kubernetes.io/last-applied-configuration": last_applied}
    installation.api.patch(path, {"metadata": {"annotations": annotation}, "stringData": {"more": CANARY}})
    changed = [
        secret(stringData={"password": f"{CANARY}-2", "other": CANARY}, annotations={"x": CANARY}),
        secret("broken", data={"password": f"no base64: {CANARY}"}),
        secret("misspelt", stringDatta={"password": CANARY}),
        config_map("a"),
    ]
    installation.commit({"s.yaml": changed})
    explain = ("explain", "secret/s", "-n", installation.namespace)
    then = said(
        installation,
        ("plan",),
        ("plan", "-o", "json"),
        ("plan", "-o", "markdown"),
        explain,
        (*explain, "-o", "json"),
        ("sync", "--log-level", "debug"),
        ("status",),
    )
    for output in (first, then):
        assert CANARY not in output
        assert ENCODED not in output
        assert ENCODED.rstrip("=")[:-1] not in output


def test_entrances_answer_nobody_more_than_three_questions(installation: Installation) -> None:
    """(c) The service listens for health and metrics alone; nothing that is sent to it starts anything."""
    installation.commit({"a.yaml": config_map("a")})
    options = running.options(installation, source=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = subprocess.Popen(
        [str(running.COMMAND), "run", *options, f"--listen=127.0.0.1:{port}"],
        env=running.environment(installation.directory),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        installation.api.until(installation.path("configmaps", "a"), bool)
        answers = {}
        for method, path in [
            ("GET", "/healthz"),
            ("GET", "/readyz"),
            ("GET", "/metrics"),
            ("POST", "/metrics"),
            ("POST", "/api/webhook"),
            ("PUT", "/sync"),
            ("GET", "/../../etc/passwd"),
            ("GET", "/%2e%2e/%2e%2e/etc/passwd"),
            ("GET", "/debug/pprof"),
            ("TRACE", "/healthz"),
        ]:
            answers[method, path] = _status(port, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answers["huge header"] = _status(
            port, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n"
        )
        answers["garbage"] = _status(port, os.urandom(4096) + b"\r\n\r\n")
        answers["after all"] = _status(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    finally:
        service.terminate()
        service.wait(10)
    good = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), "after all"}
    assert {asked for asked, status in answers.items() if status == 200} == good, answers


def _status(port: int, request: bytes) -> int:
    """The status of the answer, 0 where the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(request)
            answer = connection.recv(64)
        except ConnectionError:
            return 0
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0


HOSTILE = {
    "laughs.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
    "deep.yaml": "{a: " * 100_000,
    "deep.json": "[" * 1_000_000,
    "long.yaml": "a: " + "x" * 4_000_000,
    "many.yaml": "---\n" * 300_000,
    "keys.yaml": "".join(f"k{n}: 1\n" for n in range(200_000)),
    "nul.yaml": "\0" * 1_000_000,
    "tags.yaml": "a: !!python/object/apply:os.system ['touch /tmp/pwned']\n",
}
MEMORY = 256 * 2**20
"""
Bytes of writable memory for the whole process, reserved or used.

On two cores a sync of the good file alone takes 74 MiB and one of all of these 93 MiB; the rest is for
more threads on more cores, 8 MiB of stack each.
"""


def test_hostile_files_cost_little_and_spare_their_neighbours(installation: Installation) -> None:
    """(d) In a process whose memory is limited; the limit of the command's time is the harness's."""
    installation.commit({"good.yaml": config_map("good"), **HOSTILE})
    done = subprocess.run(
        [str(running.COMMAND), "sync", *running.options(installation, source=True), "-o", "json"],
        env=running.environment(installation.directory),
        capture_output=True,
        timeout=running.LIMIT,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
    )
    assert done.returncode == 1, done.stderr
    (project,) = json.loads(done.stdout)["projects"]
    assert {its["name"]: its["outcome"] for its in project["objects"]}["good"] == "created"
    notes = "\n".join(project["notes"])
    assert not [name for name in HOSTILE if name != "many.yaml" and name not in notes], notes
    assert not Path("/tmp/pwned").exists()


@pytest.fixture
def confined(
    make_installation: Callable[..., Installation],
    installed: str,
    identity: Callable[[str], Identity],
    namespace: str,
) -> Installation:
    """With the rights of the installed service, which could write the object as itself."""
    installation = make_installation(namespace, kubeconfig=identity(installed).kubeconfig)
    installation.options = replace(installation.options, records_namespace=installed)
    installation.commit({"a.yaml": config_map("a")})
    return installation


@pytest.fixture
def never_made(api: Api, applier: Applier, installed: str, namespace: str) -> Iterator[str]:
    """A ServiceAccount that is not there; yet the service may act as it, and all rights are bound to it."""
    name = f"{namespace}-never-made"
    acting = {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": [name]}

    def bound(kind: str, role: str, account: str, where: str) -> Manifest:
        reference = {"apiGroup": RBAC, "kind": kind.removesuffix("Binding"), "name": role}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": where}
        return manifest(f"{RBAC}/v1", kind, name, namespace=namespace, roleRef=reference, subjects=[subject])

    everything = bound("ClusterRoleBinding", "cluster-admin", name, namespace)
    applier.apply([
        manifest(
            f"{RBAC}/v1", "Role", name, namespace=namespace, rules=[{**acting, "verbs": ["impersonate"]}]
        ),
        bound("RoleBinding", name, "reconciler", installed),
        everything,
    ])  # fmt: skip

    def may(namespaced: str, account: str, **what: str) -> bool:
        user = f"system:serviceaccount:{namespaced}:{account}"
        asked = {"user": user, "resourceAttributes": {"namespace": namespace, **what}}
        answer = api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": asked})
        return bool(answer["status"]["allowed"])

    # The API server takes rights up a moment later.
    acts = {"verb": "impersonate", "resource": "serviceaccounts", "name": name}
    eventually(lambda: may(installed, "reconciler", **acts))
    eventually(lambda: may(namespace, name, verb="patch", resource="configmaps"))
    yield name
    api.delete(applier.path(everything))


@pytest.mark.parametrize(
    ("keys", "because"),
    [
        pytest.param({"service_account": "default/default"}, "may not impersonate", id="may not impersonate"),
        pytest.param({"service_account": NEVER_MADE}, "does not exist", id="account does not exist"),
        pytest.param(
            {"allowed_namespaces": ["elsewhere"]}, "allowed_namespaces", id="another namespace is allowed"
        ),
        pytest.param({"allowed_kinds": ["Secret"]}, "allowed_kinds", id="another kind is allowed"),
    ],
)
def test_identity_and_scope_fail_closed(
    confined: Installation, never_made: str, keys: dict[str, Any], because: str
) -> None:
    """(e) Each for its own reason; what could be written otherwise is not."""
    keys = json.loads(json.dumps(keys).replace(NEVER_MADE, f"{confined.namespace}/{never_made}"))
    confined.configure(**keys)
    with confined.recorded() as requests:
        report = confined.sync()
    assert report.state.value == "failed", report
    assert because in " ".join([report.reason, *(its.message for its in report.objects)])
    assert not confined.exists("configmaps", "a")
    assert [str(asked) for asked in requests.all if asked.name == "a" and asked.code == 200] == []


def test_nothing_but_its_existence_is_missing_to_the_account(confined: Installation, never_made: str) -> None:
    """(e) So the table above says what it says."""
    confined.configure(service_account=f"{confined.namespace}/{never_made}")
    confined.api.post(confined.path("serviceaccounts"), {"metadata": {"name": never_made}})
    assert confined.sync().state.value == "synced"
    assert confined.exists("configmaps", "a")
