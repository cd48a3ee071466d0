"""
The image without a container engine: the Dockerfile is read, and its first stage carried out.

What a file says is compared with the manifests that run the image; every RUN of the build
stage is run as it stands, with its directories moved below a temporary one.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from reconciler import __version__
from tests.install.rendering import MANIFESTS, ROOT, of_kind, render

STEP_LIMIT = 280.0  # s; packages that are not in pip's cache come over the network
MOVED = re.compile(r"(?<![\w.])/(build|opt/reconciler|src)\b")


@dataclass(frozen=True)
class Stage:
    """One FROM and its instructions, in order; continued lines are joined."""

    base: str
    steps: tuple[tuple[str, str], ...]

    def of(self, word):
        return [rest for its, rest in self.steps if its == word]


def stages():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    steps = [line.partition(" ")[::2] for line in re.sub(r"\\\n\s*", "", lines).splitlines() if line]
    starts = [number for number, (word, _) in enumerate(steps) if word == "FROM"]
    bounds = zip(starts, [*starts[1:], len(steps)], strict=True)
    return [Stage(steps[first][1], tuple(steps[first + 1 : last])) for first, last in bounds]


@pytest.fixture(scope="module")
def build():
    return stages()[0]


@pytest.fixture(scope="module")
def final():
    return stages()[-1]


@pytest.fixture(scope="module")
def pod():
    return of_kind(render(MANIFESTS), "Deployment")["reconciler"]["spec"]["template"]["spec"]


def copied(stage):
    """Sources of every COPY from the build context."""
    return [word for rest in stage.of("COPY") if "--from" not in rest for word in rest.split()[:-1]]


def test_both_stages_have_the_same_pinned_base(build, final):
    assert build.base == f"{final.base} AS build"
    name, _, tag = final.base.partition(":")
    assert (name, bool(re.fullmatch(r"3\.\d+-slim-[a-z]+", tag))) == ("python", True), final.base
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert SpecifierSet(project["requires-python"]).contains(tag.partition("-")[0])


def test_what_is_copied_exists_and_is_sent_to_the_builder(build, final):
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    sources = copied(build) + copied(final)
    assert set(sources) == allowed, ".dockerignore lets through what is copied, and nothing else"
    assert not [name for name in sources if not (ROOT / name).exists()]


def test_the_user_exists_in_the_image_and_is_the_one_of_the_pod(final, pod):
    context = pod["securityContext"]
    user, group = context["runAsUser"], context["runAsGroup"]
    assert final.of("USER") == [f"{user}:{group}"]
    (setup,) = final.of("RUN")
    assert f"--uid {user} --gid {group} " in setup, "ssh refuses to run as a user without an entry"
    assert f"groupadd --gid {group} " in setup


def test_the_image_holds_the_programs_that_are_called(final):
    (setup,) = final.of("RUN")
    installed = set(re.search(r"--no-install-recommends ([a-z -]+?) &&", setup)[1].split())
    assert installed == {"ca-certificates", "git", "openssh-client", "tini"}
    (entry,) = final.of("ENTRYPOINT")
    assert entry == '["/usr/bin/tini", "--", "reconciler"]'
    assert "PATH=/opt/reconciler/bin:" in final.of("ENV")[0]


def test_the_image_holds_neither_pip_nor_a_compiler(final):
    (setup,) = final.of("RUN")
    assert "pip uninstall --yes --no-cache-dir setuptools wheel pip" in setup
    assert not re.search(r"\b(gcc|build-essential|make|curl|wget)\b", setup)
    assert "rm -rf /var/lib/apt/lists/*" in setup


@pytest.fixture(scope="module")
def built(build, tmp_path_factory):
    """What the build stage leaves, below a temporary directory."""
    root = tmp_path_factory.mktemp("image")
    move = lambda text: MOVED.sub(lambda found: f"{root}{found[0]}", text)  # noqa: E731 - used twice
    where = root
    (root / "opt").mkdir()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for word, rest in build.steps:
        match word:
            case "WORKDIR":
                where = Path(move(rest))
                where.mkdir(parents=True)
            case "COPY":
                *sources, target = rest.split()
                for name in sources:
                    _copy(ROOT / name, where / target / name if target == "./" else where / target)
            case "RUN":
                _run(move(rest), where, environment)
    return root


def _copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copy(source, target)


def _run(script, where, environment):
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        timeout=STEP_LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def installed(built, *arguments):
    """Run a command of the image with nothing of this environment."""
    done = subprocess.run(
        [built / "opt/reconciler/bin" / arguments[0], *arguments[1:]],
        cwd=built,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestBuilt:
    """Needs the packages of requirements.txt, from pip's cache or the network."""

    def test_the_wheel_holds_the_service_and_nothing_else(self, built):
        (wheel,) = (built / "build/wheels").glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        ours = {name for name in names if not name.startswith(f"reconciler-{__version__}.dist-info/")}
        sources = {str(path.relative_to(ROOT)) for path in (ROOT / "reconciler").rglob("*.py")}
        assert ours == sources
        assert f"reconciler-{__version__}.dist-info/licenses/LICENSE" in names

    def test_everything_installed_is_pinned_and_fits_together(self, built):
        pins = dict(
            line.split("==")
            for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
            if "==" in line
        )
        pip = shlex.join([str(built / "build/bin/pip"), "--python", str(built / "opt/reconciler/bin/python")])
        _run(f"{pip} check", built, os.environ)
        code, listed, _ = installed(built, "python", "-c", LIST)
        assert code == 0
        found = dict(line.split("==") for line in listed.splitlines())
        assert found.pop("reconciler") == __version__
        assert found.items() <= pins.items()

    def test_the_entry_point_tells_its_version(self, built):
        assert installed(built, "reconciler", "--version") == (0, f"reconciler {__version__}\n", "")

    @pytest.mark.parametrize("command", ["run", "sync", "status", "approve", "validate"])
    def test_every_command_has_help(self, built, command):
        code, said, _ = installed(built, "reconciler", command, "--help")
        assert code == 0
        assert "Usage: reconciler" in said

    def test_the_example_is_valid(self, built):
        code, said, errors = installed(built, "reconciler", "validate", str(ROOT / "examples/config"))
        assert (code, errors) == (0, ""), said

    @pytest.mark.parametrize("module", ["localcluster", "tests", "pip", "pytest"])
    def test_what_only_development_needs_is_not_there(self, built, module):
        code, _, errors = installed(built, "python", "-c", f"import {module}")
        assert (code, f"No module named '{module}'" in errors) == (1, True)


LIST = """
from importlib.metadata import distributions
for its in distributions():
    print(its.name.lower().replace("_", "-") + "==" + its.version)
"""
