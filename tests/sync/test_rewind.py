"""What a move of the ref means: what is not known is no "no"."""

import pytest

from reconciler.sync.rewind import Move, Verdict, is_known, stays, told, verdict

X, Y = "a" * 40, "b" * 40
MOVE = Move(before=X, now=Y, ref="refs/heads/main")
BACK = Verdict(rewound=f"{X} {Y}")


@pytest.mark.parametrize(
    ("back", "hold", "approved", "want"),
    [
        pytest.param(False, False, False, Verdict(), id="forward"),
        pytest.param(False, True, False, Verdict(), id="forward where moves back are held"),
        pytest.param(True, False, False, BACK, id="back: applied, and named"),
        pytest.param(True, True, True, BACK, id="back, approved"),
    ],
)
def test_verdict(back: bool | None, hold: bool, approved: bool, want: Verdict) -> None:
    assert verdict(MOVE, back=back, hold=hold, approved=approved) == want


@pytest.mark.parametrize(
    ("back", "approved", "held", "words"),
    [
        pytest.param(True, False, True, "from aaaaaaaaaaaa to its ancestor bbbbbbbbbbbb", id="back"),
        pytest.param(None, False, True, "is not known: the server is away", id="not known is held"),
        pytest.param(None, True, False, "is not known: the server is away", id="not known, approved"),
    ],
)
def test_verdict_where_moves_back_are_held(back: bool | None, approved: bool, held: bool, words: str) -> None:
    got = verdict(MOVE, back=back, unknown="the server is away", hold=True, approved=approved)
    assert bool(got.held) == held
    assert words in got.held + got.note


def test_not_known_is_told_where_moves_back_are_applied() -> None:
    got = verdict(MOVE, back=None, unknown="the server is away", hold=False, approved=False)
    assert got == Verdict(note=got.note)
    assert "is not known: the server is away" in got.note


@pytest.mark.parametrize(
    ("head", "commit", "want"), [("", Y, ""), (f"{X} {Y}", Y, f"{X} {Y}"), (f"{X} {Y}", X, "")]
)
def test_it_is_told_while_the_commit_stays(head: str, commit: str, want: str) -> None:
    assert stays(head, commit) == want
    assert bool(told(want)) == bool(want)


def test_only_the_very_move_was_accepted() -> None:
    assert is_known(MOVE, f"{X} {Y}")
    assert not is_known(MOVE, f"{Y} {X}")
    assert not is_known(MOVE, "")


def test_hash_is_of_this_move_of_this_project() -> None:
    hashes = {
        MOVE.plan_hash("p", "i"),
        MOVE.plan_hash("q", "i"),
        MOVE.plan_hash("p", "j"),
        Move(before=Y, now=X, ref=MOVE.ref).plan_hash("p", "i"),
    }
    assert len(hashes) == 4
