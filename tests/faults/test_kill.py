"""The command is killed in the middle of a sync, at any API call, and a normal run puts all right."""

import random
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from reconciler.sync.outcome import State
from tests.faults.gateway import Fault, Gateway, Moment
from tests.faults.rounds import (
    FOREIGN,
    GROUP,
    Command,
    Rounds,
    check_deletes,
    check_equal,
    check_known,
    commit,
    everything,
)
from tests.faults.sizes import KILLS, SEED, limit
from tests.fix_git import Repository
from tests.fix_sync import Installation
from tests.objects import text
from tests.service.process import service, until

FIRST_KILLS = 30  # each in a namespace of its own
SERVICE_KILLS = 12
SERVICE_CALLS = 9 * GROUP // 2  # of a generation; it may need fewer where a kill has left less to do
TOLD = 10  # kills between two lines that say how far it is
PATIENCE = 180.0  # s for one generation
LIMIT = limit(180)  # 60 on an idle machine


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.timeout(LIMIT)
def test_killed_sync_is_put_right_by_the_next_one(rounds: Rounds, say: Callable[[str], None]) -> None:
    draw = random.Random(SEED)
    killed = 0
    for done in range(KILLS):
        if done % TOLD == 0:
            say(f"{done} of {KILLS} runs, {killed} killed in the middle of about {rounds.calls} API calls")
        at, moment = draw.randint(1, rounds.calls), draw.choice(list(Moment))
        kill = partial(rounds.command.signal, signal.SIGKILL)
        ended = rounds.broken(at, moment, kill, f"seed {SEED}")
        # A run may need a few calls fewer than the measured one, and end first.
        assert ended.code == -signal.SIGKILL or not ended.reached, ended
        killed += ended.code == -signal.SIGKILL
    say(f"{KILLS} of {KILLS} runs, {killed} killed: the same end state each time")
    assert killed > KILLS * 0.8, f"only {killed} of {KILLS} runs were killed"


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.timeout(LIMIT)
def test_killed_first_sync_is_put_right_by_the_next_one(
    make_installation: Callable[..., Installation],
    make_namespace: Callable[[], str],
    repo: Repository,
    gateway: Gateway,
    gateway_kubeconfig: Path,
    say: Callable[[str], None],
) -> None:
    """Nothing is there yet: no key, no head, no shard, no object."""
    draw = random.Random(SEED)
    objects = everything()
    repo.commit({"all.yaml": text(*objects.values())})
    whole = make_installation(make_namespace())
    code, said = Command(whole, gateway_kubeconfig).run()
    assert code == 0, said
    calls = gateway.count
    assert calls > len(objects)
    for done, at in enumerate(sorted(draw.sample(range(1, calls + 1), FIRST_KILLS))):
        if done % TOLD == 0:
            say(f"{done} of {FIRST_KILLS} first runs, of about {calls} API calls")
        moment = draw.choice(list(Moment))
        where = f"seed {SEED}, call {at} of {calls}, {moment.value}"
        shutil.rmtree(whole.options.data_dir)
        fresh = make_installation(make_namespace())
        command = Command(fresh, gateway_kubeconfig)
        gateway.arm(at, moment, partial(command.signal, signal.SIGKILL))
        code, said = command.run()
        reached = gateway.count >= at
        gateway.settle()
        gateway.disarm()
        assert code == -signal.SIGKILL or not reached, f"{where}: {said}"
        check_known(fresh, where)
        with fresh.recorded() as requests:
            report = fresh.sync()
        assert report.state is State.SYNCED, f"{where}: {report}"
        check_equal(fresh, objects, where)
        check_deletes(requests, set(), where)


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.timeout(LIMIT)
def test_killed_service_goes_on_where_it_was(
    installation: Installation, gateway: Gateway, gateway_kubeconfig: Path, say: Callable[[str], None]
) -> None:
    draw = random.Random(SEED)
    installation.configure(prune_limit="100%", interval="1s")
    kubeconfig = f"--kubeconfig={gateway_kubeconfig}"
    reached = 0
    for number in range(SERVICE_KILLS):
        if number % TOLD == 0:
            say(f"{number} of {SERVICE_KILLS} services, {reached} killed in the middle")
        wanted = commit(installation, number)
        synced = f"synced at {installation.repo.git('rev-parse', 'main')[:12]}"
        at, moment = draw.randint(1, SERVICE_CALLS), draw.choice(list(Moment))
        where = f"seed {SEED}, generation {number}, call {at}, {moment.value}"
        with installation.recorded() as requests, service(installation, kubeconfig) as process:
            gateway.arm(at, moment, partial(process.signal, signal.SIGKILL))
            until(lambda: process.ended or synced in process.text, where, seconds=PATIENCE)  # noqa: B023
            reached += process.ended
            process.signal(signal.SIGKILL)  # where it needed fewer calls
            assert process.wait() == -signal.SIGKILL, f"{where}: {process.text}"
            gateway.settle()
            gateway.disarm()
        check_known(installation, where)
        check_deletes(requests, everything().keys() - wanted.keys(), where)
        installation.drop_lease()
    assert reached > SERVICE_KILLS / 2, f"only {reached} of {SERVICE_KILLS} were killed in the middle"
    wanted = commit(installation, SERVICE_KILLS)
    where = f"seed {SEED}, after all kills"
    with installation.recorded() as requests, service(installation, kubeconfig) as process:
        process.said(f"synced at {installation.repo.git('rev-parse', 'main')[:12]}", seconds=PATIENCE)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    check_equal(installation, wanted, where)
    check_deletes(requests, everything().keys() - wanted.keys(), where)


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

    # Of the reads the first, of the others any: each is one without which the sync is not done.
    needed = {"GET": 3, "PATCH": 2 * GROUP, "DELETE": GROUP - FOREIGN}
    for method in ("GET", "PATCH", "PATCH", "DELETE", "DELETE"):
        at = draw.randint(1, needed[method])
        ended = rounds.broken(at, Moment.BEFORE, cut, f"seed {SEED}, {method}", method=method)
        assert ended.reached, ended
        assert ended.code in (1, 2), ended


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_one_lost_answer_to_a_write_is_no_harm(rounds: Rounds, method: str) -> None:
    """The first PUT is of our own records: an update that was sent twice is no second writer."""
    for at in (1, 2):
        ended = rounds.broken(at, Moment.AFTER, lambda: None, method, method=method)
        assert (ended.reached, ended.code) == (True, 0), ended.said
