"""The command is killed in the middle of a sync, at any API call, and a normal run puts all right."""

import random
import signal
from functools import partial

import pytest

from tests.faults.gateway import Fault, Gateway, Moment
from tests.faults.rounds import Rounds

SEED = 20261123
KILLS = 30
LIMIT = 180  # s; 60 on an idle machine


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
def test_killed_sync_is_put_right_by_the_next_one(rounds: Rounds) -> None:
    draw = random.Random(SEED)
    killed = 0
    for _ in range(KILLS):
        at, moment = draw.randint(1, rounds.calls), draw.choice(list(Moment))
        kill = partial(rounds.command.signal, signal.SIGKILL)
        ended = rounds.broken(at, moment, kill, f"seed {SEED}")
        # A run may need a few calls fewer than the measured one, and end first.
        assert ended.code == -signal.SIGKILL or not ended.reached, ended
        killed += ended.code == -signal.SIGKILL
    assert killed > KILLS * 0.8, f"only {killed} of {KILLS} runs were killed"


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
def test_terminated_sync_finishes_what_it_sent_and_records_it(rounds: Rounds) -> None:
    draw = random.Random(SEED)
    for _ in range(8):
        at, moment = draw.randint(1, rounds.calls), draw.choice(list(Moment))
        terminate = partial(rounds.command.signal, signal.SIGTERM)
        ended = rounds.broken(at, moment, terminate, f"seed {SEED}")
        assert ended.code in (0, 1, 2, -signal.SIGTERM), ended


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
def test_one_broken_connection_is_no_harm(rounds: Rounds) -> None:
    draw = random.Random(SEED)
    for _ in range(8):
        at, moment = draw.randint(1, rounds.calls), draw.choice(list(Moment))
        ended = rounds.broken(at, moment, lambda: None, f"seed {SEED}")
        assert ended.code in (0, 1, 2), ended


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
def test_api_server_that_goes_away_ends_the_sync_in_words(rounds: Rounds, gateway: Gateway) -> None:
    draw = random.Random(SEED)

    def cut() -> None:
        gateway.fault = Fault.CUT

    for _ in range(5):
        # The last calls are the status, which is no part of the result.
        at = draw.randint(1, rounds.calls - 5)
        ended = rounds.broken(at, Moment.BEFORE, cut, f"seed {SEED}")
        assert ended.code in (1, 2), ended


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_one_lost_answer_to_a_write_is_no_harm(rounds: Rounds, method: str) -> None:
    """The first PUT is of our own records: an update that was sent twice is no second writer."""
    for at in (1, 2):
        ended = rounds.broken(at, Moment.AFTER, lambda: None, method, method=method)
        assert (ended.reached, ended.code) == (True, 0), ended.said
