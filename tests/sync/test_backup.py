"""What is a backup and what is not: every hostile or broken file is refused, and none is quoted."""

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from reconciler.sync import marks
from reconciler.sync.backup import Backup, Part, check, parse, render
from reconciler.sync.errors import BackupUnusable
from reconciler.sync.inventory import Head, format_head

INSTANCE, PROJECT = "prod", "my-group/apps"
NAME = marks.inventory_id(INSTANCE, PROJECT)
CANARY = base64.b64encode(b"canary-4711-canary-4711-canary-4711").decode()
HEAD = Part(
    name=NAME,
    kind="head",
    annotations={marks.PROJECT: PROJECT},
    data=format_head(Head(project=PROJECT, instance=INSTANCE)),
)
GOOD = Backup(instance=INSTANCE, taken="2024-01-01T00:00:00Z", parts=(HEAD,), key=CANARY)


def signed(**changes: Any) -> bytes:
    """A file with other members, whose hash fits."""
    found = {**orjson.loads(render(GOOD)), **changes}
    content = {name: its for name, its in found.items() if name != "sha256" and its is not ...}
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return orjson.dumps({**content, "sha256": digest})


def part(**changes: Any) -> bytes:
    (good,) = orjson.loads(render(GOOD))["parts"]
    return signed(parts=[{**good, **changes}])


def test_a_backup_is_read_as_it_was_written() -> None:
    assert parse(render(GOOD), where="file") == GOOD
    assert [its.project for its in check(GOOD, instance=INSTANCE, where="file")] == [PROJECT]
    assert CANARY not in repr(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\xff" * 100, id="garbage"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(render(GOOD)[:-40], id="cut"),
        pytest.param(render(GOOD).replace(b"my-group", b"my-grouq"), id="changed"),
        pytest.param(signed(schema="reconciler-backup/v2"), id="newer schema"),
        pytest.param(signed(schema=1), id="schema is a number"),
        pytest.param(signed(extra=1), id="unknown member"),
        pytest.param(signed(key=...), id="missing member"),
        pytest.param(signed(key="c2hvcnQ="), id="short key"),
        pytest.param(signed(key="%%%"), id="key is not base64"),
        pytest.param(signed(key="ä"), id="key is not ASCII"),
        pytest.param(signed(key=["a"]), id="key is a list"),
        pytest.param(signed(parts={}), id="parts are no list"),
        pytest.param(signed(parts=[1]), id="part is a number"),
        pytest.param(signed(parts=json.loads("[" * 200 + "]" * 200)), id="deeply nested parts"),
        pytest.param(part(name="../../secrets/reconciler-key"), id="a path as name"),
        pytest.param(part(name="kube-root-ca.crt"), id="another ConfigMap's name"),
        pytest.param(part(name=marks.KEY_SECRET), id="the key's name"),
        pytest.param(part(name=NAME + "\n"), id="a name with a line end"),
        pytest.param(part(kind="shard"), id="head called shard"),
        pytest.param(part(kind=None), id="no kind"),
        pytest.param(part(data={"a": 1}), id="data is a number"),
        pytest.param(part(data=[]), id="data is a list"),
        pytest.param(part(annotations={marks.APPROVED: "x"}), id="an approval"),
        pytest.param(part(labels={}), id="labels of its own"),
    ],
)
def test_what_is_no_backup_is_refused_and_not_quoted(text: bytes) -> None:
    with pytest.raises(BackupUnusable) as caught:
        parse(text, where="file")
    assert CANARY not in str(caught.value)
    assert str(caught.value).startswith("file: ")


@pytest.mark.parametrize(
    ("backup", "why"),
    [
        pytest.param(replace(GOOD, instance="test"), "instance 'test'", id="another instance"),
        pytest.param(replace(GOOD, parts=(HEAD, HEAD)), "twice", id="a part twice"),
        pytest.param(
            replace(GOOD, parts=(replace(HEAD, name="reconciler-0123456789ab"),)),
            "no inventory of",
            id="another name than the project's",
        ),
        pytest.param(
            replace(GOOD, parts=(replace(HEAD, data={**HEAD.data, "instance": "test"}),)),
            "no inventory of",
            id="head of another instance",
        ),
        pytest.param(
            replace(GOOD, parts=(replace(HEAD, data={**HEAD.data, "schema": "99"}),)),
            "schema 99",
            id="records of a later release",
        ),
    ],
)
def test_what_does_not_belong_here_is_refused(backup: Backup, why: str) -> None:
    with pytest.raises(BackupUnusable, match=why):
        check(backup, instance=INSTANCE, where="file")
