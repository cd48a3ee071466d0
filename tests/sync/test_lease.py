"""Who may write, as a state machine: what a process does with a Lease it sees, at which moment."""

from dataclasses import replace

import pytest

from reconciler.sync import lease
from reconciler.sync.lease import Action, Claim, Phase, State

ME = State(me="me")
OTHER = Claim(holder="other", role="service", renewed="12:00:00", transitions=3)
RENEWED = replace(OTHER, renewed="12:00:03")
RELEASED = Claim(holder="", duration=1.0, renewed="12:00:05", transitions=3)
MINE = Claim(holder="me", renewed="12:00:06", transitions=4)


def waiting(claim, *, since=100.0):
    return replace(ME, phase=Phase.WAITING, claim=claim, since=since)


def promised(who):
    return replace(RELEASED, promised=who)


def leading(*, since=100.0):
    return replace(ME, phase=Phase.LEADING, claim=MINE, since=since)


@pytest.mark.parametrize(
    ("state", "now", "action", "until"),
    [
        pytest.param(ME, 100.0, Action.READ, 100.0, id="first it reads"),
        pytest.param(waiting(None), 100.0, Action.CREATE, 100.0, id="no Lease: it makes one"),
        pytest.param(waiting(RELEASED), 100.0, Action.TAKE, 100.0, id="released: taken at once"),
        pytest.param(
            waiting(promised("x")), 104.0, Action.REST, 105.0, id="released for another: left to it"
        ),
        pytest.param(waiting(promised("x")), 105.0, Action.TAKE, 105.0, id="which did not come"),
        pytest.param(waiting(promised("me")), 100.0, Action.TAKE, 100.0, id="released for us"),
        pytest.param(waiting(OTHER), 100.0, Action.REST, 110.0, id="held: waits for its end"),
        pytest.param(waiting(OTHER), 109.99, Action.REST, 110.0, id="not a moment early"),
        pytest.param(waiting(OTHER), 110.0, Action.TAKE, 110.0, id="its time is over"),
        pytest.param(
            waiting(replace(OTHER, duration=60.0)), 150.0, Action.REST, 160.0, id="the time that it states"
        ),
        pytest.param(
            waiting(MINE), 100.0, Action.TAKE, 100.0, id="our own write, whose answer was lost: no waiting"
        ),
        pytest.param(
            replace(waiting(None), next_try=101.0), 100.5, Action.REST, 101.0, id="not again at once"
        ),
        pytest.param(leading(), 102.9, Action.REST, 103.0, id="a fresh lease rests"),
        pytest.param(leading(), 103.0, Action.RENEW, 103.0, id="renewed every 3 s"),
        pytest.param(
            replace(leading(), next_try=104.5), 104.0, Action.REST, 104.5, id="no hurry after a failure"
        ),
        pytest.param(
            replace(leading(), next_try=108.5), 107.5, Action.REST, 108.0, id="but never beyond its end"
        ),
        pytest.param(leading(), 107.99, Action.RENEW, 107.99, id="tried while there are 2 s left"),
        pytest.param(leading(), 108.0, Action.LOSE, 108.0, id="2 s before its end it is lost"),
        pytest.param(leading(), 500.0, Action.LOSE, 500.0, id="woken up long after"),
    ],
)
def test_what_to_do(state, now, action, until):
    assert lease.decide(state, now=now) == (action, until)


@pytest.mark.parametrize(
    ("state", "claim", "want"),
    [
        pytest.param(ME, OTHER, waiting(OTHER, since=105.0), id="first look: its time begins now"),
        pytest.param(ME, None, waiting(None, since=105.0), id="first look: nothing there"),
        pytest.param(waiting(OTHER), OTHER, waiting(OTHER), id="unchanged: its time goes on"),
        pytest.param(waiting(OTHER), RENEWED, waiting(RENEWED, since=105.0), id="renewed: begins anew"),
        pytest.param(waiting(OTHER), RELEASED, waiting(RELEASED, since=105.0), id="released"),
        pytest.param(waiting(OTHER), None, waiting(None, since=105.0), id="deleted by hand"),
        pytest.param(leading(), MINE, leading(), id="our own, read again: no renewal"),
        pytest.param(leading(), OTHER, waiting(OTHER, since=105.0), id="taken by another: lost"),
        pytest.param(leading(), RELEASED, waiting(RELEASED, since=105.0), id="released by hand: lost"),
        pytest.param(leading(), None, waiting(None, since=105.0), id="deleted under us: lost"),
    ],
)
def test_what_is_seen(state, claim, want):
    assert lease.seen(state, claim, now=105.0) == want


def test_wall_clocks_are_never_compared():
    """A holder whose clock is a year behind, or ahead, is as alive as any other."""
    for renewed in ("1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", "yesterday", ""):
        state = lease.seen(ME, replace(OTHER, renewed=renewed), now=100.0)
        assert lease.decide(state, now=109.0)[0] is Action.REST
        assert lease.decide(state, now=110.0)[0] is Action.TAKE


def test_the_holder_stops_before_anybody_can_take_over():
    """It counts from when it sent, the other from when it saw; the slowest network makes the gap larger."""
    for delay in (0.0, 0.5, 5.0):
        holder = lease.written(waiting(RELEASED), MINE, sent=100.0)
        other = lease.seen(State(me="other"), MINE, now=100.0 + delay)
        _, taken = lease.decide(other, now=100.0 + delay)
        assert holder.writes_until + lease.MARGIN <= taken


def test_a_note_beside_a_claim_renews_nothing():
    state = waiting(OTHER, since=100.0)
    assert lease.seen(state, replace(OTHER, promised="x"), now=105.0).since == 100.0


def test_only_the_holder_may_write():
    assert leading().writes_until == 108.0
    assert waiting(MINE).writes_until == float("-inf")
    assert lease.lost(leading()).writes_until == float("-inf")


@pytest.mark.parametrize(
    ("before", "clean"),
    [
        pytest.param(RELEASED, True, id="the last holder has said that it is done"),
        pytest.param(OTHER, False, id="it has fallen silent"),
        pytest.param(None, False, id="nobody knows who wrote last"),
    ],
)
def test_whether_writes_of_the_last_holder_may_be_on_their_way(before, clean):
    assert lease.is_clean(before) is clean


@pytest.mark.parametrize("claim", [OTHER, RELEASED])
def test_a_claim_survives_the_api(claim):
    spec = lease.spec_of(claim, acquired="12:00:00")
    annotations = {"reconciler.dev/role": claim.role}
    assert lease.claim_of({"metadata": {"annotations": annotations}, "spec": spec}) == claim


@pytest.mark.parametrize("duration", [None, 0, -1, "10", 1.5])
def test_what_another_hand_made_of_a_lease_counts_as_held_for_the_usual_time(duration):
    found = {"metadata": {}, "spec": {"holderIdentity": "x", "leaseDurationSeconds": duration}}
    assert lease.claim_of(found) == Claim(holder="x", duration=lease.DURATION)
    assert lease.claim_of({"metadata": {}}) == Claim()
