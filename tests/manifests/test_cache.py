"""The cache on disk: finds what was kept, and never gets in the way."""

import logging
import multiprocessing
import sqlite3
import subprocess
import sys

import pytest

from reconciler.manifests import cache
from reconciler.manifests.cache import DecodeCache
from reconciler.manifests.decode import Decoded, decode

TEXT = b"""apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: a, annotations: {config.kubernetes.io/depends-on: /Namespace/x}}
spec: {group: g, names: {kind: K}, scope: Cluster, versions: [{name: v1}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {n: 1}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: a}
roleRef: {kind: Role, name: r}
---
kind: x
"""


def named(*names: str) -> dict[str, Decoded]:
    return {
        name: decode(b"apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\n" % name.encode()) for name in names
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "decoded.db"


def test_another_process_finds_what_was_kept(path):
    kept = {"b1": decode(TEXT), **named("b2")}
    assert kept["b1"].problems
    with DecodeCache(path) as first:
        first.put_many(kept)
    with DecodeCache(path) as second:
        assert second.get_many(["b1", "b2", "b3"]) == kept


def test_nothing_asked_and_nothing_kept_is_nothing(path):
    with DecodeCache(path) as one:
        one.put_many({})
        assert one.get_many([]) == {}
        assert one.get_many(["b1"]) == {}


def test_ten_thousand_blobs_are_one_question(path):
    kept = dict.fromkeys((f"{n:040x}" for n in range(10_000)), decode(b""))
    with DecodeCache(path) as one:
        one.put_many(kept)
        assert one.get_many(kept) == kept


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            lambda path: path.write_bytes(b"no database at all, but long enough to be read" * 50), id="noise"
        ),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 20_000), id="pages overwritten"
        ),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
    ],
)
def test_corrupt_file_is_made_anew(path, damage):
    with DecodeCache(path) as one:
        one.put_many(named(*(f"b{n}" for n in range(200))))
    damage(path)
    with DecodeCache(path) as one:
        one.get_many([f"b{n}" for n in range(200)])
        one.put_many(named("new"))
        assert one.get_many(["new"]) == named("new")


def test_file_that_is_damaged_while_open_is_made_anew(path, caplog):
    with DecodeCache(path) as one:
        one.put_many(named("a"))
        with sqlite3.connect(path) as other:
            other.execute("DROP TABLE decoded")
        other.close()
        assert one.get_many(["a"]) == {}
        one.put_many(named("b"))
        assert one.get_many(["b"]) == named("b")
    assert "made anew" in caplog.text


def test_damaged_row_is_not_believed(path):
    with DecodeCache(path) as one:
        one.put_many(named("a", "b"))
        with sqlite3.connect(path) as other:
            other.execute(
                "UPDATE decoded SET text = (SELECT text FROM decoded WHERE blob = 'b') WHERE blob = 'a'"
            )
        other.close()
        assert one.get_many(["a", "b"]) == named("b")


def test_file_of_other_rules_is_made_anew(path, monkeypatch):
    with DecodeCache(path) as one:
        one.put_many(named("a"))
    monkeypatch.setattr(cache, "_VERSION", cache._VERSION + 1)
    with DecodeCache(path) as one:
        assert one.get_many(["a"]) == {}
        one.put_many(named("a"))
        assert one.get_many(["a"]) == named("a")


@pytest.mark.parametrize("where", ["file/decoded.db", "directory"])
def test_place_that_cannot_be_written_only_warns(tmp_path, where, caplog):
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    with caplog.at_level(logging.WARNING), DecodeCache(tmp_path / where) as one:
        one.put_many(named("a"))
        assert one.get_many(["a"]) == {}
    assert "decode cache" in caplog.text


def test_read_only_file_is_still_read(path, caplog):
    with DecodeCache(path) as one:
        one.put_many(named("a"))
        assert one._db is not None
        one._db.execute("PRAGMA query_only = ON")
        one.put_many(named("b"))
        assert one.get_many(["a", "b"]) == named("a")
    assert "is not used now" in caplog.text


def test_busy_file_is_left_alone(path, monkeypatch, caplog):
    monkeypatch.setattr(cache, "_BUSY", 0.01)
    with DecodeCache(path) as one:
        one.put_many(named("a"))
        other = sqlite3.connect(path)
        other.execute("BEGIN EXCLUSIVE")
        one.put_many(named("b"))
        other.rollback()
        other.close()
        assert one.get_many(["a", "b"]) == named("a")
    assert "is not used now" in caplog.text


def test_beyond_the_limit_those_go_that_were_not_used_for_longest(path, monkeypatch):
    with DecodeCache(path, max_rows=10) as one:
        for day in range(10):
            monkeypatch.setattr(cache.time, "time", lambda day=day: day * 86_400.0)
            one.put_many(named(f"b{day}"))
        one.get_many(["b0"])
        one.put_many(named("new"))
        left = one.get_many([*(f"b{day}" for day in range(10)), "new"])
    assert set(left) == {"b0", "new", *(f"b{day}" for day in range(3, 10))}


def test_finding_everything_writes_nothing(path):
    with DecodeCache(path) as one:
        one.put_many(named("a"))
        assert one._db is not None
        before = one._db.total_changes
        one.get_many(["a"])
        assert one._db.total_changes == before


def write_some(path, number):
    with DecodeCache(path) as one:
        for step in range(20):
            one.put_many(named(f"p{number}-{step}"))
            one.get_many([f"p{number}-{step}"])


def test_two_processes_share_a_file(path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_some, args=(path, number)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(15)
        assert process.exitcode == 0
    with DecodeCache(path) as one:
        written = [f"p{number}-{step}" for number in range(2) for step in range(20)]
        assert one.get_many(written) == named(*written)


def test_closed_cache_finds_nothing(path):
    one = DecodeCache(path)
    one.put_many(named("a"))
    one.close()
    one.close()
    one.put_many(named("b"))
    assert one.get_many(["a", "b"]) == {}


def test_cache_does_not_load_a_yaml_parser():
    modules = "reconciler.manifests.cache, reconciler.manifests.manifest"
    code = f"import sys, {modules}; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
