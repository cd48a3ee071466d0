"""What a visitor is told to try works in any other terminal."""

from pathlib import Path

import pytest

from demo import suggestions
from demo.service import command
from demo.target import Target

HERE = Path.cwd()
OWN = Target(Path("/tmp/demo/kubeconfig"), None, ended=lambda: None)
VISITORS = Target(None, "arn:aws:eks/my cluster", ended=lambda: None)


def lines(target: Target, *, shop: str = "/tmp/demo/shop", **environment: str) -> dict[str, str]:
    """The suggestions by their names; the head is "To"."""
    text = suggestions.text(target, Path(shop), environment=environment)
    return {line.split()[0]: line for line in text.splitlines()}


def test_they_are_five_lines():
    assert list(lines(OWN)) == ["To", "first", "change", "break", "remove"]


@pytest.mark.parametrize(
    ("target", "environment", "wanted"),
    [
        pytest.param(OWN, {}, "export KUBECONFIG=/tmp/demo/kubeconfig PATH=", id="the demo's own cluster"),
        pytest.param(OWN, {"KUBECONFIG": "/k"}, "KUBECONFIG=/tmp/demo/kubeconfig ", id="whatever is set"),
        pytest.param(VISITORS, {}, "export PATH=", id="kubectl's default"),
        pytest.param(VISITORS, {"KUBECONFIG": ""}, "export PATH=", id="set to nothing"),
        pytest.param(VISITORS, {"KUBECONFIG": "/k"}, "export KUBECONFIG=/k PATH=", id="set for make alone"),
        pytest.param(
            VISITORS, {"KUBECONFIG": "/a:k/b"}, f"export KUBECONFIG=/a:{HERE}/k/b PATH=", id="a relative one"
        ),
        pytest.param(VISITORS, {"KUBECONFIG": "/a b"}, "export KUBECONFIG='/a b' PATH=", id="a blank in it"),
    ],
)
def test_another_terminal_gets_the_kubeconfig(target, environment, wanted):
    assert wanted in lines(target, **environment)["first"]


def test_paths_and_contexts_are_quoted():
    found = lines(VISITORS, shop="/tmp/a demo/shop")
    assert "cd '/tmp/a demo/shop' && " in found["first"]
    assert "reconciler status --agent-name demo --context 'arn:aws:eks/my cluster'" in found["break"]
    assert "kubectl --context 'arn:aws:eks/my cluster' get" in found["remove"]
    assert f'PATH={command().parent}:"$PATH"' in found["first"]
