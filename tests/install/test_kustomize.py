"""Where a kubectl is at hand: it makes of the manifests and of the documented examples what we test."""

import json
import re
import shutil

import pytest

from reconciler import __version__
from tests import kubectl
from tests.install.rendering import MANIFESTS, ROOT, of_kind, render
from tests.kubectl import kustomize

pytestmark = kubectl.needed

DIRECTORIES = [
    ".", "base", "bind", "cluster", "cluster-wide", "escalate", "guard", "impersonate", "monitoring",
    "namespaced", "secrets",
]  # fmt: skip


def by_name(objects):
    return {(its["kind"], its["metadata"]["name"]): its for its in objects}


def example(first_line, *, page="docs/install.md"):
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for block in found if block.startswith(first_line)]


@pytest.fixture
def clone(tmp_path):
    shutil.copytree(MANIFESTS, tmp_path / "reconciler/manifests")
    return tmp_path


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_kubectl_renders_what_the_tests_apply(directory):
    assert by_name(kustomize(MANIFESTS / directory)) == by_name(render(MANIFESTS / directory))


def test_no_directory_is_left_out():
    found = {str(path.parent.relative_to(MANIFESTS)) for path in MANIFESTS.rglob("kustomization.yaml")}
    assert found == set(DIRECTORIES)


def test_the_documented_image_and_configuration_repository_are_set(clone):
    whole = example("# kustomization.yaml")[0]
    (patches,) = example("patches:")
    (clone / "kustomization.yaml").write_text(whole + patches)
    pod = of_kind(kustomize(clone), "Deployment")["reconciler"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example.com/platform/reconciler:0.1.0"
    assert "--agent-name=production" in pod["containers"][0]["args"]


def test_the_image_that_the_readme_pushes_is_the_one_that_runs(clone):
    (whole,) = example("# kustomization.yaml", page="README.md")
    (clone / "kustomization.yaml").write_text(whole)
    pod = of_kind(kustomize(clone), "Deployment")["reconciler"]["spec"]["template"]["spec"]
    image = pod["containers"][0]["image"]
    assert f"docker push {image}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert image == f"registry.example.com/reconciler:{__version__}"


def test_the_documented_smaller_installation_binds_one_namespace(clone):
    smaller = example("# kustomization.yaml")[2]
    (binding,) = example("# shop.yaml")
    (clone / "kustomization.yaml").write_text(smaller)
    (clone / "shop.yaml").write_text(binding)
    objects = kustomize(clone)
    assert set(of_kind(objects, "ClusterRoleBinding")) == {"reconciler-read"}
    assert of_kind(objects, "RoleBinding")["reconciler-apply"]["metadata"]["namespace"] == "shop"


def test_the_documented_second_installation_has_names_and_subjects_of_its_own(clone):
    second, guard = example("# kustomization.yaml")[1], "- reconciler/manifests/guard\n"
    assert guard in second
    (clone / "kustomization.yaml").write_text(
        second.replace(guard, f"{guard}- reconciler/manifests/secrets\n")
    )
    objects = kustomize(clone)
    account = {"kind": "ServiceAccount", "name": "reconciler-second", "namespace": "reconciler-second"}
    bindings = [its for its in objects if its["kind"].endswith("RoleBinding")]
    assert len(bindings) == 6
    assert [its["subjects"] for its in bindings] == [[account]] * 6
    assert (
        not of_kind(objects, "ClusterRoleBinding").keys()
        & of_kind(render(MANIFESTS), "ClusterRoleBinding").keys()
    )
    (service,) = of_kind(objects, "Deployment").values()
    assert "--instance=second" in service["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize(
    ("moves", "namespace"),
    [
        pytest.param("", "reconciler-system", id="nothing"),
        pytest.param("namespace: other\n", "other", id="another namespace"),
        pytest.param("namespace: other\nnameSuffix: -two\n", "other", id="another namespace and other names"),
        pytest.param("namePrefix: two-\n", "reconciler-system", id="other names"),
    ],
)
@pytest.mark.parametrize("resources", ["guard", "guard and the service"])
def test_the_guard_goes_where_the_service_goes(clone, moves, namespace, resources):
    """By the namespace in its binding, and by a label; no name of the service stands in it."""
    parts = ["manifests/guard", "manifests"][: resources.count(" and ") + 1]
    (clone / "overlay").mkdir()
    (clone / "overlay/kustomization.yaml").write_text(
        f"resources: {json.dumps([f'../reconciler/{part}' for part in parts])}\n{moves}"
    )
    # One more above it changes nothing.
    (clone / "kustomization.yaml").write_text("resources: [overlay]\n")
    objects = kustomize(clone)
    (policy,) = of_kind(objects, "ValidatingAdmissionPolicy").values()
    (binding,) = of_kind(objects, "ValidatingAdmissionPolicyBinding").values()
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    assert binding["spec"]["paramRef"]["namespace"] == namespace
    assert "reconciler-system" not in json.dumps(policy["spec"])
    wanted = binding["spec"]["paramRef"]["selector"]["matchLabels"].items()
    for account in of_kind(objects, "ServiceAccount").values():
        assert wanted <= account["metadata"]["labels"].items()
        assert account["metadata"]["namespace"] == namespace


def test_the_documented_installation_of_one_namespace_lies_in_it(clone):
    (clone / "kustomization.yaml").write_text(example("# kustomization.yaml")[3])
    objects = kustomize(clone)
    assert {its["metadata"].get("namespace") for its in objects} == {"shop"}
    bindings = [its for its in objects if its["kind"].endswith("Binding")]
    assert {subject["namespace"] for its in bindings for subject in its["subjects"]} == {"shop"}
