"""docs/upgrade.md says what this release really does with records."""

import re

import pytest

from reconciler.sync import marks
from reconciler.sync.errors import RecordsTooNew
from reconciler.sync.inventory import SCHEMA, parse_head
from tests.install.rendering import ROOT

PAGE = (ROOT / "docs/upgrade.md").read_text(encoding="utf-8")


def test_the_refusal_is_quoted_as_it_is():
    with pytest.raises(RecordsTooNew) as refused:
        parse_head({"schema": str(SCHEMA + 1)}, where="ConfigMap x/y")
    assert f"{refused.value.what}; {refused.value.mend}" in PAGE


def test_every_schema_that_this_release_takes_is_named():
    rows = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert rows == [str(number) for number in range(SCHEMA, 0, -1)]


def test_the_label_of_the_records_is_the_real_one():
    assert f"`{marks.RECORDS_LABEL}=INSTANCE`" in PAGE
