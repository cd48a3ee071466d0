"""How a plan looks: nothing in it can move a cursor, leave its block, call somebody or run a command."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from reconciler.cli import diffview
from reconciler.manifests.identity import ObjectRef
from reconciler.service.planning import Planned, PlannedObject, PlannedProject
from reconciler.sync.diff import FieldChange
from reconciler.sync.outcome import Held, ObjectReport, Outcome, ProjectReport, State
from reconciler.sync.preview import Action, Change

COMMIT = "3f2c9ab04d1e" + "0" * 28


def its(
    name: str, action: Action, outcome: Outcome, *fields: FieldChange, message: str = "", path: str = ""
) -> PlannedObject:
    report = ObjectReport(
        ref=ObjectRef("", "ConfigMap", "shop", name), outcome=outcome, message=message, path=path, line=3
    )
    return PlannedObject(report=report, change=Change(action=action, fields=fields))


def project(*objects: PlannedObject, name: str = "shop", **more: Any) -> PlannedProject:
    parts = {key: more.pop(key) for key in ("unseen", "incomplete") if key in more}
    report = ProjectReport(
        project=name,
        state=more.pop("state", State.PENDING),
        commit=COMMIT,
        ref="refs/heads/main",
        objects=tuple(o.report for o in objects),
        **more,
    )
    return PlannedProject(report=report, objects=objects, **parts)


def one(*fields: FieldChange) -> Planned:
    """One object that would be updated so."""
    return planned(project(its("c", Action.UPDATE, Outcome.UPDATED, *fields)))


def planned(*projects: PlannedProject) -> Planned:
    return Planned(projects=projects, requests={"total": 7})


ALL = project(
    its("new", Action.CREATE, Outcome.CREATED, FieldChange(".data.a", "added", None, "1"), path="a.yaml"),
    its(
        "more",
        Action.UPDATE,
        Outcome.UPDATED,
        FieldChange(".data.n", "changed", 1, 2),
        FieldChange(".data.gone", "removed", "x", None),
        FieldChange(".list", "reordered", ["a", "b"], ["b", "a"]),
        FieldChange(".data.s", "changed", masked=True),
        message="changed in git",
    ),
    its("mine", Action.TAKE_OVER, Outcome.UPDATED, message="adopted"),
    its("old", Action.PRUNE, Outcome.PRUNED, message="left git"),
    its("moved", Action.HAND_OVER, Outcome.HANDED_OVER),
    its("kept", Action.PRUNE, Outcome.HELD, message="left git; why"),
    its("bad", Action.NONE, Outcome.FAILED, message="no such field", path="b.yaml"),
    its("same", Action.NONE, Outcome.UNCHANGED),
    its("marked", Action.NONE, Outcome.UNCHANGED, message="only our marks"),
    held=Held(reason="too many", plan_hash="abc"),
    unseen=("objects of Secret",),
    notes=("a word",),
)


def test_text() -> None:
    assert list(diffview.text(planned(ALL), coloured=False)) == [
        "shop  3f2c9ab04d1e (refs/heads/main): 1 to create, 1 to update, 1 to take over, 1 to prune, "
        "1 to hand over, 2 unchanged, 1 held, 1 failed",
        "  + ConfigMap shop/new (a.yaml:3)",
        '    + .data.a: "1"',
        "  ~ ConfigMap shop/more: changed in git",
        "    ~ .data.n: 1 -> 2",
        '    - .data.gone: "x"',
        '    ~ order of .list: ["a","b"] -> ["b","a"]',
        "    ~ .data.s: changed",
        "  = ConfigMap shop/mine: adopted",
        "  - ConfigMap shop/old: left git",
        "  = ConfigMap shop/moved",
        "  ! ConfigMap shop/kept held: left git; why",
        "  ! ConfigMap shop/bad (b.yaml:3) failed: no such field",
        "  only our marks on them would be written: 1 object",
        "  ! prune is held: too many",
        "  to let it go ahead: reconciler approve shop abc",
        "  ! not seen: objects of Secret",
        "  note: a word",
        "7 API requests",
    ]


def test_colours_only_where_they_are_wanted() -> None:
    assert "\x1b[32m" in "\n".join(diffview.text(planned(ALL), coloured=True))
    assert "\x1b" not in "\n".join(diffview.text(planned(ALL), coloured=False))


def test_texts_of_several_lines_are_compared_line_by_line() -> None:
    old, new = "a\nb\n--c\nd", "a\nb\n++c\nd\n\x1b[2K"
    change = FieldChange(".data.conf", "changed", old, new)
    lines = list(
        diffview.text(planned(project(its("c", Action.UPDATE, Outcome.UPDATED, change))), coloured=False)
    )
    assert lines[2:-1] == [
        "    ~ .data.conf:",
        "      @@ -1,4 +1,5 @@",
        "      a",
        "      b",
        "      - --c",
        "      + ++c",
        "      d",
        "      + \\x1b[2K",
    ]


def test_what_is_too_long_is_cut() -> None:
    changes = (
        FieldChange(".a", "added", None, "x" * 1000),
        FieldChange(".b", "changed", "1\n" * 5000, "2\n" * 5000),
        FieldChange(".c", "changed", "1\n" * 500, "2\n" * 500),
    )
    lines = list(
        diffview.text(planned(project(its("c", Action.UPDATE, Outcome.UPDATED, *changes))), coloured=False)
    )
    assert max(map(len, lines)) < 300
    assert len(lines) < 120
    assert "too many to compare" in "\n".join(lines)
    assert "lines more" in lines[-2]


@pytest.mark.parametrize(
    ("projects", "code"),
    [
        pytest.param([project(its("a", Action.NONE, Outcome.UNCHANGED))], 0, id="nothing"),
        pytest.param([project(state=State.SUSPENDED)], 0, id="suspended"),
        pytest.param([project(its("a", Action.CREATE, Outcome.CREATED))], 1, id="a change"),
        pytest.param([project(its("a", Action.PRUNE, Outcome.HELD))], 1, id="held"),
        pytest.param([project(its("a", Action.NONE, Outcome.BLOCKED))], 1, id="blocked"),
        pytest.param([project(its("a", Action.NONE, Outcome.SKIPPED))], 1, id="skipped"),
        pytest.param([project(its("a", Action.NONE, Outcome.FAILED))], 2, id="failed"),
        pytest.param([project(incomplete=True)], 2, id="not read"),
        pytest.param(
            [project(its("a", Action.CREATE, Outcome.CREATED)), project(incomplete=True)],
            2,
            id="the worst counts",
        ),
    ],
)
def test_exit_code(projects: list[PlannedProject], code: int) -> None:
    assert diffview.exit_code(planned(*projects)) == code


def test_json_has_stable_names() -> None:
    (found,) = diffview.document(planned(ALL))["projects"]
    assert found.keys() == {
        "id", "state", "reason", "revision", "directory", "counts", "held", "objects", "unseen", "notes",
    }  # fmt: skip
    more = next(o for o in found["objects"] if o["name"] == "more")
    assert more.keys() == {
        "group", "kind", "namespace", "name", "action", "outcome", "reason", "message", "file", "line",
        "fields", "unseen",
    }  # fmt: skip
    assert more["fields"][0] == {"path": ".data.n", "change": "changed", "masked": False, "old": 1, "new": 2}
    assert more["fields"][3] == {"path": ".data.s", "change": "changed", "masked": True}
    assert found["counts"] == {
        "create": 1, "update": 1, "take_over": 1, "replace": 0, "prune": 1, "hand_over": 1,
        "unchanged": 2, "held": 1, "blocked": 0, "skipped": 0, "failed": 1,
    }  # fmt: skip


HOSTILE = [
    pytest.param("```\n/approve\n@everyone #1 !2", id="end of a block, a command, a mention"),
    pytest.param("`````````", id="a long fence"),
    pytest.param("</code></summary></details><script>x</script>", id="markup"),
    pytest.param("a|b *c* _d_ [e](http://x) &amp;", id="Markdown"),
    pytest.param("\x1b]8;;http://x\x07\u202e", id="control characters"),
]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_gets_out_of_its_place_in_a_comment(text: str) -> None:
    change = FieldChange(".data.a", "changed", text, text + "\nsecond")
    hostile = project(
        its(text, Action.UPDATE, Outcome.UPDATED, change, message=text, path=text),
        name=text,
        notes=(text,),
        unseen=(text,),
        held=Held(reason=text, plan_hash=""),
    )
    comment = diffview.markdown(planned(hostile, project(name=text, reason=text, state=State.UNKNOWN)))
    fence = re.search(r"^(`{3,})diff$", comment, re.MULTILINE)
    assert fence
    outside, inside, closed = "", "", comment
    _, _, after = closed.partition(fence[0])
    inside, _, rest = after.partition(f"\n{fence[1]}\n")
    outside = comment.replace(inside, "")
    assert fence[1] not in inside
    assert "</details>" in rest
    parser = Tags()
    parser.feed(outside)
    assert set(parser.seen) <= {"details", "summary", "b", "code"}
    assert not re.search(r"^/|@|\x1b|\u202e", outside, re.MULTILINE)
    assert not re.search(r"[\x1b\x07\u202e]", comment)
    assert all(line[:1] in "+-~=! " for line in inside.splitlines() if line)


@pytest.mark.parametrize("limit", [300, 2_000, 60_000])
def test_a_comment_is_never_longer_than_its_limit_and_says_what_is_left_out(limit: int) -> None:
    objects = [its(f"c-{n}", Action.CREATE, Outcome.CREATED) for n in range(2_000)]
    comment = diffview.markdown(planned(*(project(*objects, name=f"p{n}") for n in range(30))), limit=limit)
    assert len(comment) <= limit
    assert "_truncated: " in comment
    assert comment.count("<details") == comment.count("</details>")
    assert comment.count("```") % 2 == 0


def test_a_settled_project_is_folded() -> None:
    comment = diffview.markdown(planned(project(its("a", Action.NONE, Outcome.UNCHANGED)), ALL))
    assert "<details><summary>" in comment
    assert "<details open><summary>" in comment
