"""The audit log's chain: whatever is changed, dropped, swapped or added is found."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.wallet.domain.audit import (
    GENESIS,
    Act,
    Action,
    Findings,
    Head,
    Record,
    Verifier,
    chained,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
acts = st.lists(
    st.builds(
        Act,
        actor=st.text(max_size=5),
        action=st.sampled_from(Action),
        subject=st.text(max_size=5),
        details=st.text(max_size=5),
    ),
    min_size=2,
    max_size=8,
)


def verdict(
    records: list[Record], *, expected: Head | None = None, begins_there: bool = False
) -> Verifier:
    verifier = Verifier(expected=expected, begins_there=begins_there)
    verifier.take(records[verifier.after :])
    verifier.finish()
    return verifier


@given(acts)
def test_what_was_written_is_sound(made: list[Act]) -> None:
    half = len(made) // 2
    records = chained(made[:half], Head(), AT)
    head = Head(number=half, hash=records[-1].hash if records else GENESIS)
    records += chained(made[half:], head, AT)
    found = verdict(records)
    assert (found.broken, found.head.number) == ("", len(made))


@given(acts, st.data())
def test_a_changed_field_is_found(made: list[Act], data: st.DataObject) -> None:
    records = chained(made, Head(), AT)
    place = data.draw(st.integers(0, len(records) - 1))
    change = data.draw(
        st.sampled_from(
            [
                {"actor": "somebody else"},
                {"action": "nothing"},
                {"subject": "something else"},
                {"details": "something else"},
                {"at": AT.replace(microsecond=1)},
                {"hash": bytes(31) + b"\1"},
                {"previous": bytes(31) + b"\1"},
            ]
        )
    )
    records[place] = replace(records[place], **change)  # type: ignore[arg-type]
    found = verdict(records)
    assert found.broken
    assert found.head.number in {place, place + 1}


@given(acts, st.data())
def test_a_dropped_or_swapped_record_is_found(made: list[Act], data: st.DataObject) -> None:
    records = chained(made, Head(), AT)
    place = data.draw(st.integers(0, len(records) - 2))
    dropped = records[:place] + records[place + 1 :]
    assert verdict(dropped).broken == f"record {place + 1} is missing"
    records[place], records[place + 1] = records[place + 1], records[place]
    assert verdict(records).broken


@given(acts, st.data())
def test_texts_do_not_run_into_each_other(made: list[Act], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(made) - 1))
    moved = replace(made[place], actor=made[place].actor + made[place].subject, subject="")
    other = [*made[:place], moved, *made[place + 1 :]]
    same = made[place].subject == ""
    assert (chained(made, Head(), AT)[-1].hash == chained(other, Head(), AT)[-1].hash) is same


def test_a_tail_that_was_cut_off_is_found_by_who_noted_the_head() -> None:
    made = [Act(actor="a", action=Action.SIGN, subject=str(number)) for number in range(5)]
    records = chained(made, Head(), AT)
    noted = Head(number=5, hash=records[-1].hash)
    assert verdict(records, expected=noted).broken == ""
    assert verdict(records[:3]).broken == ""
    assert verdict(records[:3], expected=noted).broken == "the records after 3 are missing"


def test_a_log_that_was_written_anew_is_found_by_who_noted_the_head() -> None:
    made = [Act(actor="a", action=Action.SIGN, subject=str(number)) for number in range(5)]
    noted = Head(number=3, hash=chained(made, Head(), AT)[2].hash)
    forged = chained([replace(made[0], actor="b"), *made[1:]], Head(), AT)
    assert verdict(forged).broken == ""
    assert "anew" in verdict(forged, expected=noted).broken


@given(acts, st.data())
def test_what_follows_a_noted_record_is_as_good_as_all(
    made: list[Act], data: st.DataObject
) -> None:
    records = chained(made, Head(), AT)
    number = data.draw(st.integers(1, len(records)))
    noted = Head(number=number, hash=records[number - 1].hash)
    assert verdict(records, expected=noted, begins_there=True) == replace(
        verdict(records, expected=noted), begins_there=True
    )
    place = data.draw(st.integers(number - 1, len(records) - 1))
    changed = list(records)
    changed[place] = replace(records[place], actor="somebody else")
    assert verdict(changed, expected=noted, begins_there=True).broken
    dropped = records[:place] + records[place + 1 :]
    found = verdict(dropped, expected=noted, begins_there=True)
    # The end may always be missing behind what was noted; nothing else may.
    assert bool(found.broken) == (place < len(records) - 1 or number == len(records))
    rewritten = chained(
        [Act(actor="", action=Action.SIGN, subject="rewritten"), *made[1:]], Head(), AT
    )
    assert "anew" in verdict(rewritten, expected=noted, begins_there=True).broken


@pytest.mark.parametrize("text", ["", "a", "ü"])
def test_the_hash_stays_the_same_over_versions(text: str) -> None:
    """A log that was written by an older version must still be sound."""
    act = Act(actor="wallet", action=Action.SIGN, subject="abc", details=text)
    (record,) = chained([act], Head(), AT)
    assert record.hash.hex() == FIXED[text]


#: Computed by hand, from the encoding as documented.
FIXED = {
    "": "6070bf62d77812d065a768eebc313bf46e96d14c39e3c481e80659e18d386080",
    "a": "048bc293f34be2d261e50a64431abc83f92a7a567821d88b980f388c9ebd2053",
    "ü": "184aba789a1f48798fc3ac35904356cc5ea213d4e38d225743ca3eeed8284c23",
}


def test_findings_of_each_kind_are_told_and_counted() -> None:
    found = Findings()
    assert found.words() == []
    found.add("many", (f"many {number}" for number in range(7)))
    found.add("few", ["one"])
    assert found.words() == [*(f"many {n}" for n in range(5)), "and 2 more of these", "one"]


def test_a_record_with_no_moment_or_of_another_kind_is_told() -> None:
    records = chained([Act(actor="a", action=Action.SIGN, subject="s")] * 3, Head(), AT)
    timeless = [records[0], replace(records[1], at=None), records[2]]
    assert verdict(timeless).broken == "record 2 has no moment that can be one"
    newer = [records[0], replace(records[1], version=2), records[2]]
    assert verdict(newer).broken == "record 2 has a hash of an unknown kind"


def test_a_log_has_to_reach_the_end_that_the_database_names() -> None:
    records = chained([Act(actor="a", action=Action.SIGN, subject="s")] * 3, Head(), AT)
    for end, broken in (
        (Head(number=3, hash=records[2].hash), ""),
        (Head(number=2, hash=records[1].hash), ""),
        (Head(number=4, hash=bytes(32)), "the records after 3 are missing"),
    ):
        verifier = Verifier(end=end)
        verifier.take(records)
        verifier.finish()
        assert verifier.broken == broken
    verifier = Verifier(end=Head(number=2, hash=bytes(32)))
    assert not verifier.take(records)
    assert "anew" in verifier.broken


def signed(count: int, actor: str = "a") -> list[Record]:
    """Return a chain of so many records."""
    return chained(
        [Act(actor=actor, action=Action.SIGN, subject=str(number)) for number in range(count)],
        Head(),
        AT,
    )


def test_a_long_text_is_kept_up_to_its_last_whole_character() -> None:
    texts = ["a" * 4096, "a" * 4097, "a" * 4095 + "ü"]
    kept = [
        chained([Act(actor="a", action=Action.SIGN, subject=text)], Head(), AT)[0].subject
        for text in texts
    ]
    assert kept == ["a" * 4096, "a" * 4096, "a" * 4095]


def test_a_moment_before_1970_can_be_recorded() -> None:
    act = Act(actor="a", action=Action.SIGN, subject="s")
    records = chained([act], Head(), datetime(1969, 12, 31, tzinfo=UTC))
    assert verdict(records).broken == ""


def test_a_record_that_tells_no_version_is_of_the_first() -> None:
    (record,) = signed(1)
    fields = {name: value for name, value in vars(record).items() if name != "version"}
    assert Record(**fields) == record


def test_versions_of_hashes_never_go_back() -> None:
    verifier = Verifier(version=2)
    assert not verifier.take(signed(1))
    assert verifier.broken == "record 1 has a hash of an unknown kind"


def test_each_step_tells_whether_the_log_is_sound() -> None:
    whole, broken = Verifier(), Verifier(end=Head(number=3, hash=bytes(32)))
    assert whole.take(signed(2)) is True
    assert whole.finish() is True
    assert broken.take(signed(2)) is True
    assert broken.finish() is False


def test_an_empty_log_is_whole() -> None:
    verifier = Verifier()
    assert verifier.take([]) is True
    assert verifier.finish() is True


def test_the_first_flaw_is_the_one_that_is_told() -> None:
    records = signed(3)
    verifier = Verifier(end=Head(number=3, hash=records[-1].hash))
    assert not verifier.take([records[0], records[2]])
    assert not verifier.finish()
    assert verifier.broken == "record 2 is missing"


def test_a_noted_record_with_another_hash_is_told_though_the_database_agrees() -> None:
    records = signed(2)
    known = Head(number=2, hash=records[1].hash)
    noted = replace(known, hash=bytes(32))
    for verifier in (Verifier(expected=noted, end=known), Verifier(expected=known, end=noted)):
        assert not verifier.take(records)
        assert "anew" in verifier.broken


def test_a_log_is_read_from_below_every_number_or_from_the_noted_record_on() -> None:
    noted = Head(number=5, hash=bytes(32))
    for verifier in (Verifier(), Verifier(expected=noted), Verifier(begins_there=True)):
        assert (verifier.after, verifier.reads_after) == (0, -(2**63))
    verifier = Verifier(expected=noted, begins_there=True)
    assert (verifier.after, verifier.reads_after) == (4, 4)


def test_only_a_noted_record_vouches_for_the_one_before_it() -> None:
    mine, others = signed(4), signed(4, actor="b")
    spliced = [*mine[:2], *others[2:]]
    flaw = "record 3 does not follow the one before it"
    assert verdict(spliced).broken == flaw
    noted = Head(number=2, hash=mine[1].hash)
    assert verdict(spliced, expected=noted, begins_there=True).broken == flaw


def test_the_first_record_of_all_follows_no_other() -> None:
    (first,) = chained(
        [Act(actor="a", action=Action.SIGN, subject="s")], Head(number=0, hash=b"\1" * 32), AT
    )
    assert verdict([first]).broken == "record 1 does not follow the one before it"
