"""A statement's file: a sound one has no finding, and whatever is changed in one is named."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.kale.statements.checking import check
from libs.kale.statements.document import joined, written
from libs.kale.statements.lines import Line, moved
from libs.kale.statements.owners import OwnerKind
from libs.kale.statements.roots import (
    day_number,
    day_text,
    days_of,
    moment_text,
    month_of,
    read_moment,
)
from tests.support.statements import (
    FIRST,
    Pool,
    copied,
    deposit_line,
    harvest_line,
    plant_line,
    pool_of,
    pool_of_fees,
    text_of,
)

DOCUMENT = pool_of().document()
TEXT = text_of(DOCUMENT)


def found(document: dict[str, Any]) -> list[str]:
    """Where findings are in a document."""
    return [one.where for one in check(text_of(document)).findings]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values that have nothing inside."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    else:
        yield path


#: The fields of which one names the owner, in the order of the file's checksums.
NAMES = [f"{kind.value}Id" for kind in OwnerKind]
PATHS = list(leaves(DOCUMENT))
#: One path for each field, whatever the place in lists.
SAMPLES = list(
    {tuple(one for one in path if isinstance(one, str)): path for path in PATHS}.values()
)


def named(path: tuple[Any, ...]) -> str:
    """The field that a finding has to name."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    # Amounts and balances are one field.
    return re.sub(r"(amounts|balances)\[.*", r"\1", text)


def at(document: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for part in path:
        document = document[part]
    return document


def put(document: Any, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at a path."""
    copy = copied(document)
    at(copy, path[:-1])[path[-1]] = value
    return copy


def other(value: Any, data: st.DataObject) -> Any:
    """Another value of the same kind: one character, or the number, is another."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + data.draw(st.integers(1, 9))
    if not value:
        return "1"
    place = data.draw(st.integers(0, len(value) - 1))
    digits = "0123456789abcdef" if value[place] in "0123456789abcdef" else "xyz"
    drawn = data.draw(st.sampled_from(sorted(set(digits) - {value[place]})))
    return f"{value[:place]}{drawn}{value[place + 1 :]}"


@pytest.mark.parametrize("kind", [OwnerKind.POOLER, OwnerKind.MINER])
def test_statements_of_poolers_and_miners_are_sound_and_a_changed_field_is_named(
    kind: OwnerKind,
) -> None:
    document = pool_of_fees(kind).document()
    assert found(document) == []
    for path in leaves(document):
        before = at(document, path)
        if path[-1] in NAMES:
            continue
        changed = put(document, path, not before if isinstance(before, bool) else _next(before))
        where = found(changed)
        assert where and where[0].startswith(named(path)), (path, where)


def _next(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, int):
        return value + 1
    last = "1" if value.endswith("0") else "0"
    return f"{value[:-1]}{last}"


@pytest.mark.parametrize("kind", OwnerKind)
def test_one_field_names_the_owner_and_an_id_is_of_one_kind(kind: OwnerKind) -> None:
    document = pool_of().document() if kind is OwnerKind.FARMER else pool_of_fees(kind).document()
    own = f"{kind.value}Id"
    assert [name for name in NAMES if document[name]] == [own]
    none = put(document, (own,), "")
    assert found(none) == ["farmerId"]
    for name in {*NAMES} - {own}:
        both = put(document, (name,), document[own])
        assert found(both) == [max(own, name, key=NAMES.index)]
        other_kind = put(none, (name,), document[own])
        if "minerId" in {own, name}:
            assert found(other_kind) == [name]
        else:
            assert found(other_kind)


def test_a_sound_file_has_no_finding() -> None:
    verdict = check(TEXT)
    assert verdict.findings == []
    assert verdict.file is not None
    assert len(verdict.file.lines) == 24
    assert [root.day for root in verdict.file.statement.roots] == [
        *range(FIRST - 1, FIRST + 4),
        FIRST + 31,
    ]


@given(st.integers(1, 6), st.integers(0, 3), st.integers(0, 1000))
@settings(max_examples=25)
def test_every_statement_that_a_pool_makes_is_sound(days: int, lines: int, seed: int) -> None:
    pool = pool_of(days=days, lines=lines, seed=seed)
    for month in ("2025-12", "2026-01"):
        assert found(pool.document(month)) == []


@given(st.data())
@settings(max_examples=300)
def test_a_changed_field_is_named(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(PATHS))
    changed = put(DOCUMENT, path, other(at(DOCUMENT, path), data))
    where = found(changed)
    assert where and where[0].startswith(named(path)), (path, where)


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 127))
@settings(max_examples=300)
def test_any_changed_byte_is_found(place: int, bits: int) -> None:
    byte = chr(ord(TEXT[place]) ^ bits & 0x7F)
    assert check(f"{TEXT[:place]}{byte}{TEXT[place + 1 :]}").findings


@pytest.mark.parametrize(
    "value",
    [5, 1.5, None, True, [], {}, [1], {"a": 1}, "", "x", "a\nb", "a=b,c", "\ud800", "9" * 5000],
    ids=ascii,
)
def test_a_value_of_another_kind_is_a_finding(value: Any) -> None:
    for path in SAMPLES:
        before = at(DOCUMENT, path)
        if type(value) is not type(before) or value != before:
            assert found(put(DOCUMENT, path, value)), path


def test_a_text_that_is_written_as_a_number_is_named() -> None:
    for path in SAMPLES:
        before = at(DOCUMENT, path)
        if isinstance(before, str) and re.fullmatch(r"0|-?[1-9][0-9]*", before):
            where = found(put(DOCUMENT, path, int(before)))
            assert where and where[0].startswith(named(path)), (path, where)
    changed = put(DOCUMENT, ("lines", 1, "amounts", 0, "amount"), -1000)
    assert found(changed) == ["lines[1].amounts[0].amount"]


@pytest.mark.parametrize("text", [TEXT[:-1], f"{TEXT} ", TEXT.replace(":", ": ", 1), "", "[]", "7"])
def test_a_file_in_another_form_is_none(text: str) -> None:
    assert check(text).findings


@pytest.mark.parametrize("name", ["lines", "roots", "closing", "leaf", "checks", "month"])
def test_a_missing_field_is_named(name: str) -> None:
    changed = copied(DOCUMENT)
    del changed[name]
    assert found(changed)[0] == name


@pytest.mark.parametrize(
    ("path", "where"),
    [((), "odd"), (("lines", 0), "lines[0].odd"), (("roots", 1), "roots[1].odd")],
)
def test_a_field_that_no_statement_has_is_named(path: tuple[Any, ...], where: str) -> None:
    assert found(put(DOCUMENT, (*path, "odd"), "1")) == [where]


def _resealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with checksums and digests of lines that fit what it says."""
    for raw in document["lines"]:
        line = Line(
            number=int(raw["number"]),
            kind=raw["kind"],
            source_key=raw["sourceKey"],
            block_index=raw.get("blockIndex"),
            ledger=raw["ledger"],
            transaction_hash=raw["transactionHash"],
            happened_at=read_moment(raw["happenedAt"]),
            amounts=tuple((one["role"], int(one["amount"])) for one in raw["amounts"]),
        )
        raw["checks"], raw["digest"] = line.sealed
    return document


def test_who_makes_digests_fit_is_found_by_the_leaf() -> None:
    changed = put(DOCUMENT, ("lines", 3, "ledger"), 5)
    assert found(_resealed(changed)) == ["lines"]
    # More earned than was booked, in line and closing and totals.
    changed = copied(DOCUMENT)
    for one in changed["lines"][1]["amounts"]:
        one["amount"] = str(int(one["amount"]) * 2)
    assert "lines" in found(_resealed(changed))


def test_lines_that_are_missing_twice_or_in_another_order_are_found() -> None:
    for change in (
        lambda lines: lines[1:],
        lambda lines: [lines[0], *lines],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: lines[:-1],
    ):
        changed = copied(DOCUMENT)
        changed["lines"] = change(changed["lines"])
        assert any(where.startswith("lines") for where in found(changed))


def test_another_owner_or_day_does_not_fit_the_leaf() -> None:
    pool, later = pool_of(), pool_of(seed=2)
    changed = copied(pool.document())
    changed["roots"] = later.document()["roots"]
    assert found(changed)


def test_roots_have_to_follow_each_other() -> None:
    changed = copied(DOCUMENT)
    del changed["roots"][2]
    assert "roots[2].previous" in found(changed)
    changed["roots"] = []
    assert "roots" in found(changed)


def test_a_balance_below_zero_is_told_as_in_no_tree() -> None:
    pool = Pool()
    pool.close(FIRST, [deposit_line(1, day=FIRST, amount=-7)])
    assert pool.document()["roots"][0]["refused"] == 1
    verdict = check(text_of(pool.document()))
    (finding,) = verdict.findings
    assert finding.where == "leaf"
    assert "below zero" in finding.what


def test_a_farmer_who_came_later_has_the_history_of_its_own_lines() -> None:
    pool = Pool()
    pool.close(FIRST - 1, [])
    pool.close(FIRST, [])
    pool.close(FIRST + 1, [deposit_line(4, day=FIRST + 1)])
    assert found(pool.document()) == []


def test_pages_are_joined_to_one_document() -> None:
    pages = [
        {**DOCUMENT, "lines": DOCUMENT["lines"][:10]},
        {**DOCUMENT, "lines": DOCUMENT["lines"][10:], "totals": []},
    ]
    assert written(joined(pages)) == TEXT
    assert json.loads(TEXT) == DOCUMENT


def test_what_a_line_moves_on_the_chain() -> None:
    day = FIRST
    assert moved(harvest_line(1, day=day, reward=1000, fee=100).amounts) == 1050
    assert moved(plant_line(1, day=day, stake=50).amounts) == -50
    assert moved([("farmer:available", -9), ("farmer:pending_out", 9)]) == 0
    assert moved([("farmer:pending_out", -9), ("chain:out", 9)]) == -9
    assert moved([("farmer:staked", -9), ("chain:burn", 9)]) == 0
    left = [("pooler:held", 9), ("chain:moved", -9), ("operator:fee", -2), ("chain:out", 2)]
    assert moved(left) == -11


@pytest.mark.parametrize("micros", [0, 1, 1_000, 999_999, 1_769_904_000_123_000])
def test_moments_are_written_as_protobuf_has_them(micros: int) -> None:
    from google.protobuf.timestamp_pb2 import Timestamp  # noqa: PLC0415

    stamp = Timestamp()
    stamp.FromMicroseconds(micros)
    assert moment_text(micros) == stamp.ToJsonString()
    assert read_moment(moment_text(micros)) == micros


@pytest.mark.parametrize("text", ["2026-1-1", "20260101", "2026-02-30", "1969-12-31", "", "x"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        day_number(text)


def test_months() -> None:
    first, following = days_of("2026-12")
    assert (month_of(first), month_of(following)) == ("2026-12", "2027-01")
    assert following - first == 31


def test_what_is_beyond_the_last_day_is_no_month_day_or_moment() -> None:
    assert days_of("9999-11")[1] == day_number("9999-12-01")
    beyond = (
        lambda: days_of("9999-12"),
        lambda: day_text(day_number("9999-12-31") + 1),
        lambda: day_text(2**32 - 1),
        lambda: read_moment("9999-12-31T23:59:59-23:59"),
    )
    for read in beyond:
        with pytest.raises(ValueError, match=r"."):
            read()
    assert found(put(DOCUMENT, ("month",), "9999-12")) == ["month"]
    moment = put(DOCUMENT, ("roots", 0, "closedAt"), "9999-12-31T23:59:59-23:59")
    assert found(moment) == ["roots[0].closedAt"]


def test_a_month_of_a_thousand_lines_is_checked_in_time() -> None:
    text = text_of(pool_of(days=25, lines=20).document())
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        assert check(text).findings == []
        spent.append(time.perf_counter() - began)
    # 50 ms on an idle machine; tests run beside others.
    assert min(spent) < 0.25
