"""Values of Secrets appear nowhere but in the Secret: a canary is looked for in all that is said."""

import logging
from typing import Any

import pytest

from reconciler.cli import render
from reconciler.sync.outcome import State
from tests.fix_sync import Installation, of
from tests.objects import config_map, manifest

CANARY = "canary-4711-pass+word"  # not base64, so that the server refuses it below `data`


def secret(name: str = "s", **parts: Any) -> dict[str, Any]:
    return manifest("v1", "Secret", name, **parts)


REFUSED = {
    "data that is not base64": secret(data={"password": CANARY}),
    "a type that needs other keys": secret(type="kubernetes.io/tls", stringData={"password": CANARY}),
    "a misspelt field": secret(stringDatta={"password": CANARY}),
    "a value of the wrong type": secret(stringData={"password": {"inner": CANARY}}),
    "a key that is not allowed": secret(stringData={f"no good key {CANARY}": "x"}),
    "data that is a list": secret(data=[CANARY]),
    "a name that is not allowed": secret("NOT-a-Name", stringData={"password": CANARY}),
}


def everything_said(
    installation: Installation, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> tuple[State, str]:
    """Sync once, as loudly as possible; return the state and all that was said or recorded outside git."""
    caplog.set_level(logging.DEBUG, logger="reconciler")
    result = installation.run()
    render.print_pass(result)
    render.print_json(render.pass_document(result))
    records = installation.api.get(installation.path("configmaps"))
    shown = capsys.readouterr()
    return result.reports[0].state, "\n".join(
        [shown.out, shown.err, caplog.text, repr(result), str(records["items"])]
    )


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_refused_secret_is_reported_without_its_values(
    installation: Installation,
    refused: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    installation.commit({"s.yaml": refused})
    state, said = everything_said(installation, capsys, caplog)
    assert state is State.FAILED
    assert refused["metadata"]["name"] in said
    assert CANARY not in said


def test_applied_secret_is_reported_without_its_values(
    installation: Installation, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    installation.commit({"s.yaml": secret(stringData={"password": CANARY})})
    state, said = everything_said(installation, capsys, caplog)
    assert state is State.SYNCED
    assert CANARY not in said
    assert installation.get("secrets", "s")["data"].keys() == {"password"}


@pytest.mark.parametrize("value", [f"{CANARY}: x", f"*{CANARY}"], ids=["a colon too many", "an alias"])
def test_unreadable_file_is_reported_without_its_text(
    installation: Installation,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    value: str,
) -> None:
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData:\n  password: {value}\n"
    installation.commit({"s.yaml": text, "a.yaml": config_map("a")})
    state, said = everything_said(installation, capsys, caplog)
    assert state is State.FAILED
    assert "s.yaml" in said
    assert CANARY not in said


def test_values_are_not_kept_on_disk(installation: Installation) -> None:
    """Mirrors hold what git holds, compressed; the cache of decoded files holds no bodies at all."""
    installation.commit({"s.yaml": secret(stringData={"password": CANARY})})
    installation.sync()
    files = [path for path in installation.options.data_dir.rglob("*") if path.is_file()]
    assert any(path.name.startswith("decoded") for path in files)
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_changed_secret_is_applied_and_its_annotations_do_not_tell(installation: Installation) -> None:
    installation.commit({"s.yaml": secret(stringData={"password": CANARY})})
    installation.sync()
    installation.commit({"s.yaml": secret(stringData={"password": CANARY + "2"})})
    assert of(installation.sync(), "s").outcome.value == "updated"
    assert CANARY not in str(installation.get("secrets", "s")["metadata"])
