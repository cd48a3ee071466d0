"""
The inventory as text: what is written is read again, a crash heals, a foreign hand is damage.

`Parts` plays the cluster: it takes the writes of one `Rewrite` in their order and may stop
after any of them, as a killed process does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from reconciler.manifests.identity import ObjectRef
from reconciler.sync import inventory
from reconciler.sync.errors import RecordsTooNew
from reconciler.sync.inventory import (
    SHARD_BYTES,
    Head,
    Inventory,
    Record,
    ShardText,
    format_head,
    hash_of,
    parse_head,
    parse_line,
    read,
    rewrite,
)
from tests.fuzzing import examples
from tests.sync.pieces import record, ref

HEAD = Head(project="team/shop", instance="default")
EVERYTHING = 1_000
UID = "0b7f4a52-6c1d-4a53-9c55-2f0e6f1d9a77"
TIME = "2026-11-23T18:00:00Z"


@dataclass
class Parts:
    """What lies in the cluster."""

    head: Head | None = None
    shards: dict[int, ShardText] = field(default_factory=dict)

    def read(self) -> Inventory:
        head = self.head and parse_head(format_head(self.head), where="test")
        return read(head, self.shards)

    def write(
        self, had: Inventory, wanted: dict[ObjectRef, Record], *, writes: int = EVERYTHING, damage: str = ""
    ) -> Inventory:
        """The first `writes` writes that bring `wanted` there: a first head, shards, head, deletes."""
        change = rewrite(had, wanted.values())
        head = replace(self.head or HEAD, shards=change.head_shards(), recent=change.recent, damage=damage)
        todo: list[tuple[str, int]] = [("begin", 0)] if self.head is None and change.shards else []
        todo += [("shard", n) for n in change.shards]
        todo += [("head", 0)] if head != self.head else []
        todo += [("drop", n) for n in change.drop]
        for what, n in todo[:writes]:
            match what:
                case "shard":
                    self.shards[n] = change.shards[n]
                case "begin":
                    self.head = replace(head, shards={}, recent=())
                case "head":
                    self.head = head
                case "drop":
                    self.shards.pop(n, None)
        return replace(change.inventory, damage=damage)


def records(*those: Record) -> dict[ObjectRef, Record]:
    return {one.ref: one for one in those}


@pytest.fixture(scope="module")
def small_shards() -> Iterator[None]:
    """Three objects fill a shard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inventory, "_FILL_BYTES", 3 * (inventory._FULL_LINE + 42))
        yield


@pytest.fixture
def plain_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head holds no newer lines: all is in the shards."""
    monkeypatch.setattr(inventory, "_RECENT", 0)


@pytest.fixture(params=[0, 2], ids=["no newer lines in the head", "two newer lines in the head"])
def recent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many newer lines the head may hold."""
    monkeypatch.setattr(inventory, "_RECENT", request.param)


MANY = examples(300, suppress_health_check=[HealthCheck.function_scoped_fixture])


# -- lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "line"),
    [
        pytest.param(
            Record(ObjectRef("apps", "Deployment", "shop", "web"), "apps/v1", UID, "0123456789abcdef", TIME),
            f"apps/v1 Deployment shop/web uid={UID} fields=0123456789abcdef at={TIME}",
            id="full",
        ),
        pytest.param(
            Record(ObjectRef("", "Secret", "shop", "s"), "v1"),
            "v1 Secret shop/s uid= fields= at=",
            id="not created yet",
        ),
        pytest.param(
            Record(ObjectRef("", "Secret", "shop", "s"), "v1", "u1", left=TIME),
            f"v1 Secret shop/s uid=u1 fields= at= left={TIME}",
            id="left git",
        ),
        pytest.param(
            Record(ObjectRef("", "Namespace", "", "shop"), "v1"),
            "v1 Namespace shop uid= fields= at=",
            id="cluster scope",
        ),
        pytest.param(
            Record(
                ObjectRef("rbac.authorization.k8s.io", "Role", "n", "system::x:"),
                "rbac.authorization.k8s.io/v1",
            ),
            "rbac.authorization.k8s.io/v1 Role n/system::x: uid= fields= at=",
            id="colons stay readable",
        ),
        pytest.param(
            Record(ObjectRef("", "Role", "n", "a b"), "v1"),
            "v1 Role n/a%20b uid= fields= at=",
            id="blank in a name",
        ),
        pytest.param(
            Record(ObjectRef("", "Role", "n", "a\u2028b\u00a0c"), "v1"),
            "v1 Role n/a%E2%80%A8b%C2%A0c uid= fields= at=",
            id="separators of other alphabets",
        ),
        pytest.param(
            Record(ObjectRef("", "Role", "", "x uid=1\nv1 Secret kube-system/token"), "v1"),
            "v1 Role x%20uid=1%0Av1%20Secret%20kube-system%2Ftoken uid= fields= at=",
            id="a name that plays a line",
        ),
        pytest.param(
            Record(ObjectRef("", "Role", "n", "müller"), "v1"),
            "v1 Role n/müller uid= fields= at=",
            id="umlauts stay readable",
        ),
    ],
)
def test_a_line_is_readable_and_read_back(record, line):
    assert record.line() == line
    assert parse_line(line) == record


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@examples(100)
@given(group=words, kind=words, namespace=st.just("") | words, name=words, uid=words, time=words)
def test_no_text_breaks_a_line(group, kind, namespace, name, uid, time):
    group = group.replace("/", "")
    api_version = f"{group}/v1" if group else "v1"
    one = Record(ObjectRef(group, kind, namespace, name), api_version, uid=uid, time=time)
    assert parse_line(one.line()) == one
    assert len(one.line().splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="nothing"),
        pytest.param("v1 Secret shop/s", id="no fields"),
        pytest.param("v1 Secret shop/s uid= fields= at= more=", id="a word too many"),
        pytest.param("v1 Secret shop/s uid= fields= at= left=", id="left at no time"),
        pytest.param("v1 Secret shop/s uid= fields= at= left=2026-13-01T00:00:00Z", id="no time at all"),
        pytest.param(f"v1 Secret shop/s uid= fields= at= left={TIME} x=", id="a word after that"),
        pytest.param("v1 Secret shop/s uid= fields=  at=", id="two blanks"),
        pytest.param(" v1 Secret shop/s uid= fields= at=", id="blank at the start"),
        pytest.param("v1 Secret shop/s fields= uid= at=", id="another sequence"),
        pytest.param("v1 Secret shop/s id=1 fields= at=", id="another word"),
        pytest.param("v1 Secret  uid= fields= at=", id="no name"),
        pytest.param("v1 Secret shop/ uid= fields= at=", id="namespace only"),
        pytest.param("v1 Secret /s uid= fields= at=", id="slash without a namespace"),
        pytest.param("v1 Secret a/b/c uid= fields= at=", id="two slashes"),
        pytest.param("v1  shop/s uid= fields= at=", id="no kind"),
        pytest.param(" Secret shop/s uid= fields= at=", id="no version"),
        pytest.param("apps/ Deployment shop/s uid= fields= at=", id="group without version"),
        pytest.param("v1 Secret shop/s\tuid= fields= at=", id="tab"),
        pytest.param("v1 Secret shop/a%41 uid= fields= at=", id="needless escape"),
        pytest.param("v1 Secret shop/a%zz uid= fields= at=", id="broken escape"),
        pytest.param("v1 Secret shop/a%ff uid= fields= at=", id="escape that is no text"),
    ],
)
def test_a_foreign_line_is_refused(line):
    with pytest.raises(ValueError, match=r"line|unpack"):
        parse_line(line)


# -- head ------------------------------------------------------------------------------------

hashes = st.text("0123456789abcdef", min_size=32, max_size=32)


@examples(100)
@given(
    st.builds(
        Head,
        project=words,
        instance=words,
        owner=words,
        imported=words,
        importing=words,
        commit=words,
        ref=words,
        epoch=st.integers(1),
        shards=st.dictionaries(st.integers(0, 999), st.tuples(st.integers(0, 10**6), hashes)),
        damage=words,
    )
)
def test_a_head_is_read_back(head):
    assert parse_head(format_head(head), where="test") == head


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"schema": None}, id="no schema"),
        pytest.param({"schema": "one"}, id="schema is no number"),
        pytest.param({"schema": "0"}, id="schema that never was"),
        pytest.param({"epoch": None}, id="no epoch"),
        pytest.param({"epoch": "x"}, id="epoch is no number"),
        pytest.param({"shards": None}, id="no list of shards"),
        pytest.param({"shards": "0 1\n"}, id="shard without hash"),
        pytest.param({"shards": f"0 1 {'a' * 31}\n"}, id="hash too short"),
        pytest.param({"shards": "0 1 -\n"}, id="hash of what is written over damage"),
        pytest.param({"shards": f"-1 1 {'a' * 32}\n"}, id="negative shard"),
        pytest.param({"shards": f"0 1 {'a' * 32}\n0 1 {'b' * 32}\n"}, id="one shard twice"),
        pytest.param({"shards": f"\n0 1 {'a' * 32}\n"}, id="empty line"),
        pytest.param({"damage": "somebody was here"}, id="damage from before"),
    ],
)
def test_a_head_that_is_not_ours_is_damage(change):
    data = {**format_head(HEAD), **change}
    head = parse_head({key: value for key, value in data.items() if value is not None}, where="test")
    assert head.damage
    assert read(head, {}).damage


def test_a_head_of_a_later_release_stops_the_run():
    with pytest.raises(RecordsTooNew, match="schema 3"):
        parse_head({**format_head(HEAD), "schema": "3"}, where="ConfigMap x/y")


def test_a_head_of_the_first_release_is_read_as_it_is_and_written_as_the_newest():
    data = {**format_head(HEAD), "schema": "1"}
    head = parse_head(data, where="ConfigMap x/y")
    assert head == HEAD
    assert format_head(head)["schema"] == "2"


def test_damage_is_said_once_however_often_it_is_read():
    head = replace(HEAD, shards={n: (1, hash_of(str(n))) for n in range(12)})
    for _ in range(3):
        found = read(head, {}).damage
        head = parse_head(format_head(replace(head, damage=found)), where="test")
    assert found.count("inventory shard 1 (") == 1
    assert found.count("inventory shard 11 (") == 1


def test_damage_of_a_garbage_head_stays_short():
    head = replace(HEAD, shards={n: (1, hash_of(str(n))) for n in range(9_000)})
    found = read(head, {}).damage
    again = read(replace(head, damage=found), {}).damage
    assert len(found) <= 1_000
    assert again == found


# -- layout ----------------------------------------------------------------------------------


def longest(number: int) -> Record:
    name = f"{number:05}".ljust(253, "n")
    group = "g" * 253
    return Record(ObjectRef(group, "K" * 63, "s" * 63, name), f"{group}/v1", UID, "f" * 16, TIME)


def widest(number: int) -> Record:
    """RBAC allows any character in a name, of four bytes each."""
    return record(f"{number:05}".ljust(253, "\U0001f980"))


@pytest.mark.parametrize("make", [longest, widest])
def test_shards_of_ten_thousand_of_the_longest_names_stay_within_their_limit(make):
    full = records(*(make(n) for n in range(10_000)))
    new = {one: replace(its, uid="", entry="", time="") for one, its in full.items()}
    parts = Parts()
    parts.write(parts.write(Inventory(), new), full)
    sizes = [len(shard.objects.encode()) for shard in parts.shards.values()]
    assert max(sizes) <= SHARD_BYTES - 4 * 1024
    assert min(sizes[:-1]) > SHARD_BYTES / 2, "shards are filled before others begin"
    assert parts.read().records == full


@pytest.mark.parametrize(
    ("had", "wanted", "written", "dropped"),
    [
        pytest.param("", "", [], [], id="nothing"),
        pytest.param("", "a", [0], [], id="first"),
        pytest.param("", "abcd", [0, 1], [], id="first, more than one shard holds"),
        pytest.param("abcdefg", "abcdefg", [], [], id="unchanged"),
        pytest.param("abcdefg", "abcdEfg", [1], [], id="one object has changed"),
        pytest.param("abcdefg", "abcdfg", [1], [], id="one is gone"),
        pytest.param("abcdefg", "abcdefgh", [2], [], id="one is new: the last shard is filled up"),
        pytest.param("abcdef", "abcdefg", [2], [], id="one is new: another shard begins"),
        pytest.param("abcdefg", "abcdef", [2], [2], id="the last of a shard is gone"),
        pytest.param("abcdefg", "defg", [0], [0], id="the first shard is empty"),
        pytest.param("abcdefg", "abcdefh", [2], [], id="one replaces the last of the last shard"),
        pytest.param("abcdefg", "", [0, 1, 2], [0, 1, 2], id="all are gone"),
    ],
)
@pytest.mark.usefixtures("small_shards", "plain_head")
def test_a_rewrite_touches_only_what_changes(had, wanted, written, dropped):
    parts = Parts()
    before = parts.write(Inventory(), letters(had))
    change = rewrite(before, letters(wanted).values())
    assert (sorted(change.shards), list(change.drop)) == (written, dropped)
    assert change.head_shards().keys() == (before.committed.keys() | change.shards.keys()) - set(dropped)


def letters(text: str) -> dict[ObjectRef, Record]:
    """A capital is the same object after another apply."""
    return records(*(record(c.lower(), uid="u2" if c.isupper() else "u1") for c in text))


@pytest.mark.parametrize(
    ("had", "then", "newer", "written"),
    [
        pytest.param("abcdefg", "abcDefg", "d", [], id="one has changed"),
        pytest.param("abcDefg", "abcDeFg", "df", [], id="one more has changed: the head has both"),
        pytest.param("abcDefg", "abcdefg", "", [], id="it is again as its shard has it"),
        pytest.param("abcDefg", "abCDeFg", "", [0, 1], id="more have changed than the head may hold"),
        pytest.param("abcDefg", "abcDeg", "", [1], id="another of its shard is gone: both are written there"),
        pytest.param("abcDefg", "bcDefg", "d", [0], id="one of another shard is gone"),
        pytest.param("abcDefg", "abcefg", "", [1], id="it is gone itself"),
        pytest.param("abcDefg", "abc4efg", "", [1], id="it was made anew"),
    ],
)
@pytest.mark.usefixtures("small_shards")
def test_the_head_has_newer_lines_while_they_are_few(monkeypatch, had, then, newer, written):
    """A capital is the same object applied once more, `4` is another in the place of `d`."""

    def them(text: str) -> dict[ObjectRef, Record]:
        return records(
            *(record(c.lower(), time="t2" if c.isupper() else "t1") for c in text if c != "4"),
            *(record("d", uid="u4") for c in text if c == "4"),
        )

    monkeypatch.setattr(inventory, "_RECENT", 2)
    parts = Parts()
    before = parts.write(parts.write(Inventory(), them(had.lower())), them(had))
    change = rewrite(before, them(then).values())
    assert ("".join(its.ref.name for its in change.recent), sorted(change.shards)) == (newer, written)
    parts.write(before, them(then))
    assert parts.read().records == them(then)


def test_a_newer_line_that_cannot_be_read_is_damage():
    data = format_head(replace(HEAD, recent=(record("a"),)))
    assert parse_head(data, where="test").recent == (record("a"),)
    broken = parse_head({**data, "recent": data["recent"].replace("uid", "id")}, where="test")
    assert broken.damage == "the head cannot be read"


def test_an_unchanged_inventory_writes_no_head():
    parts = Parts()
    had = parts.write(Inventory(), letters("ab"))
    head = parts.head
    parts.write(had, letters("ab"))
    assert parts.head is head


# -- a crash of our own ----------------------------------------------------------------------

states = st.sampled_from([("", "t1"), ("u1", "t1"), ("u1", "t2"), ("u2", "t1")])
contents = st.dictionaries(st.sampled_from("abcdefghij"), states).map(
    lambda them: records(*(record(name, uid=uid, time=time) for name, (uid, time) in them.items()))
)
runs = st.lists(st.tuples(contents, st.integers(0, 9) | st.just(EVERYTHING)), min_size=1, max_size=6)


@pytest.mark.usefixtures("small_shards", "recent")
@MANY
@given(runs)
def test_a_crash_between_any_two_writes_loses_nothing_and_heals(runs):
    parts = Parts()
    known: dict[ObjectRef, Record] = {}
    for wanted, writes in runs:
        parts.write(parts.read(), wanted, writes=writes)
        found = parts.read()
        assert found.damage == ""
        assert known.keys() & wanted.keys() <= found.records.keys(), "an entry got lost"
        for one, its in found.records.items():
            assert its in (known.get(one), wanted.get(one)), "an entry came from nowhere"
        if writes == EVERYTHING:
            assert found.records == wanted
            assert not found.healed
        known = dict(found.records)
    parts.write(parts.read(), known)
    settled = parts.read()
    assert (settled.records, settled.damage, settled.healed) == (known, "", False)


@pytest.mark.usefixtures("small_shards", "recent")
@MANY
@given(st.lists(contents, min_size=1, max_size=6))
def test_a_process_knows_what_it_wrote(runs):
    parts = Parts()
    had = Inventory()
    for wanted in runs:
        had = parts.write(had, wanted)
        assert had == parts.read()


@pytest.mark.usefixtures("small_shards", "recent")
def test_every_crash_point_of_a_shrinking_and_growing_inventory():
    """Written out for one case with all kinds of writes: two shards change, one begins, one is dropped."""
    before, after = letters("abcdefg"), letters("DeFhijkl")
    begun = Parts()
    had = begun.write(Inventory(), before)
    change = rewrite(had, after.values())
    count = len(change.shards) + 1 + len(change.drop)
    assert count >= 5
    for writes in range(count + 1):
        parts = Parts(begun.head, dict(begun.shards))
        parts.write(had, after, writes=writes)
        found = parts.read()
        assert found.damage == "", f"after {writes} writes"
        assert {ref("d"), ref("e"), ref("f")} <= found.records.keys(), f"after {writes} writes"
        parts.write(found, after)
        assert parts.read().records == after, f"after {writes} writes"
        assert parts.shards.keys() == change.head_shards().keys(), f"after {writes} writes"


# -- a foreign hand --------------------------------------------------------------------------


def settled() -> Parts:
    """Two full shards and a third, each written before and after its objects were created."""
    parts = Parts()
    parts.write(parts.write(Inventory(), letters("ABCDEFG")), letters("abcdefg"))
    return parts


def with_objects(parts: Parts, number: int, change) -> None:
    shard = parts.shards[number]
    parts.shards[number] = replace(shard, objects=change(shard.objects))


def with_shards(parts: Parts, change) -> None:
    parts.head = replace(parts.head, shards=change(dict(parts.head.shards)))


def copied(parts: Parts, number: int, to: int) -> None:
    parts.shards[to] = parts.shards[number]


def rolled_back(parts: Parts) -> None:
    before = parts.shards[0]
    for uid in ("u3", "u4"):
        had = parts.read()
        parts.write(had, {**had.records, ref("a"): record("a", uid=uid)})
    parts.shards[0] = before


FOREIGN = [
    pytest.param(lambda p: setattr(p, "head", None), "no head", id="head removed"),
    pytest.param(lambda p: p.shards.pop(1), "shard 1 .* missing", id="shard removed"),
    pytest.param(lambda p: p.shards.clear(), "shard 0 .* missing", id="all shards removed"),
    pytest.param(lambda p: with_objects(p, 0, lambda t: ""), "shard 0", id="shard emptied"),
    pytest.param(
        lambda p: with_objects(p, 0, lambda t: t[t.index("\n") + 1 :]), "shard 0", id="line removed"
    ),
    pytest.param(
        lambda p: with_objects(p, 2, lambda t: t + t.replace("/g", "/x")), "shard 2", id="line added"
    ),
    pytest.param(lambda p: with_objects(p, 2, lambda t: t + t), "shard 2", id="line twice"),
    pytest.param(lambda p: with_objects(p, 1, lambda t: t.replace("u1", "u2")), "shard 1", id="uid edited"),
    pytest.param(lambda p: with_objects(p, 1, lambda t: t[:-1]), "shard 1", id="last line end removed"),
    pytest.param(lambda p: with_objects(p, 1, lambda t: "\n" + t), "shard 1", id="empty line added"),
    pytest.param(lambda p: with_objects(p, 1, lambda t: "&%$\x00"), "shard 1", id="garbage"),
    pytest.param(lambda p: with_objects(p, 1, lambda t: t.replace("\n", "\r\n")), "shard 1", id="DOS lines"),
    pytest.param(lambda p: copied(p, 0, 7), "shard 7", id="shard copied"),
    pytest.param(lambda p: copied(p, 0, 1), "shard 1", id="shard put over another"),
    pytest.param(rolled_back, "shard 0", id="shard put back to an older state"),
    pytest.param(lambda p: with_shards(p, lambda s: {}), "shard 0", id="head names no shard"),
    pytest.param(lambda p: with_shards(p, lambda s: {0: s[0], 2: s[2]}), "shard 1", id="head forgot a shard"),
    pytest.param(
        lambda p: with_shards(p, lambda s: {**s, 3: (1, hash_of("x"))}),
        "shard 3 .* missing",
        id="head invents",
    ),
    pytest.param(lambda p: with_shards(p, lambda s: {**s, 0: (2, s[0][1])}), "holds 3", id="count edited"),
    pytest.param(lambda p: with_shards(p, lambda s: {**s, 0: s[1]}), "shard 0", id="hash edited"),
    pytest.param(lambda p: setattr(p, "head", HEAD), "shard 0", id="head made new"),
]


@pytest.mark.parametrize(("change", "said"), FOREIGN)
@pytest.mark.usefixtures("small_shards", "plain_head")
def test_a_foreign_hand_is_damage(change, said):
    parts = settled()
    assert parts.read().damage == ""
    change(parts)
    assert re.search(said, parts.read().damage)


@pytest.mark.parametrize(("change", "said"), FOREIGN)
@pytest.mark.usefixtures("small_shards", "plain_head")
def test_damage_does_not_heal_by_a_crash(change, said):
    parts = settled()
    change(parts)
    found = parts.read()
    wanted = {**found.records, ref("a"): record("a", uid="u9"), ref("n"): record("n", uid="")}
    count = len(rewrite(found, wanted.values()).shards)
    for writes in range(count + 2):
        crashed = Parts(parts.head, dict(parts.shards))
        crashed.write(found, wanted, writes=writes, damage=found.damage)
        again = crashed.read()
        assert again.damage, f"after {writes} writes"
        assert found.records.keys() <= again.records.keys(), f"after {writes} writes"


@pytest.mark.parametrize(("change", "said"), FOREIGN)
@pytest.mark.usefixtures("small_shards", "recent")
def test_settled_damage_is_gone_for_good(change, said):
    """After an approval one full write makes the records whole again, also of shards without a change."""
    parts = settled()
    change(parts)
    found = parts.read()
    parts.write(found, dict(found.records), damage="")
    whole = parts.read()
    assert (whole.damage, whole.healed, whole.records) == ("", False, found.records)
    assert parts.shards.keys() == parts.head.shards.keys()


def test_a_first_write_on_top_of_damage_does_not_heal_by_a_crash():
    """Records were lost as a whole, and found again by the marks on the objects."""
    parts = Parts()
    lost = Inventory(damage="the inventory is missing while objects with our mark exist")
    parts.write(lost, letters("ab"), writes=1, damage=lost.damage)
    assert parts.read().damage


def test_lines_that_can_be_read_are_known_whatever_else_is_wrong():
    good = record("a")
    text = f"garbage\n{good.line()}\nmore garbage\n"
    found = read(
        replace(HEAD, shards={0: (1, hash_of(text))}), {0: ShardText(objects=text, hash="", previous="")}
    )
    assert list(found.records) == [good.ref]
    assert found.damage == "inventory shard 0: line 1 cannot be read"


def test_one_object_in_two_sound_shards_is_damage_and_is_written_down_once():
    text = record("a").line() + "\n"
    shard = ShardText(objects=text, hash=hash_of(text), previous="")
    parts = Parts(replace(HEAD, shards={n: (1, hash_of(text)) for n in (0, 1)}), {0: shard, 1: shard})
    found = parts.read()
    assert found.damage == "ConfigMap shop/a is in two inventory shards, 0 and 1"
    parts.write(found, dict(found.records))
    assert parts.read().damage == ""


@st.composite
def foreign_changes(draw):
    """Settled parts and one foreign change to them, of any kind."""
    parts = Parts()
    for wanted in draw(st.lists(contents, min_size=1, max_size=4)):
        parts.write(parts.read(), wanted)
    before = parts.read()
    number = draw(st.sampled_from(sorted(parts.shards) or [0]))
    match draw(st.sampled_from(["head", "shard", "text", "list", "copy"])):
        case "head":
            parts.head = None
        case "shard":
            parts.shards.pop(number, None)
        case "text" if number in parts.shards:
            text = parts.shards[number].objects
            start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
            put = draw(st.sampled_from(["", "x", "\n", " ", record("z").line() + "\n"]))
            parts.shards[number] = replace(parts.shards[number], objects=text[:start] + put + text[end:])
        case "list":
            with_shards(parts, lambda shards: {n: its for n, its in shards.items() if n != number})
        case _ if number in parts.shards:
            copied(parts, number, draw(st.integers(0, 5)))
    return before, parts.read()


@pytest.mark.usefixtures("small_shards")
@examples(400)
@given(foreign_changes())
def test_a_foreign_change_is_damage_or_changes_no_entry(change):
    before, after = change
    assert after.damage or after.records == before.records
