"""Values as people read them."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import report_pb2

from gateway.pages import show


@pytest.mark.parametrize(
    ("stroops", "shown"),
    [
        (0, "0"),
        (1, "0.0000001"),
        (10_000_000, "1"),
        (12_345_000_000, "1,234.5"),
        (-25_000_000, "-2.5"),
        (9_223_372_036_854_775_807, "922,337,203,685.4775807"),
    ],
)
def test_amounts_have_separators_and_the_decimals_that_there_are(stroops: int, shown: str) -> None:
    assert show.amount(stroops) == shown


@pytest.mark.parametrize(
    ("total", "count", "shown"),
    [(0, 0, "–"), (13, 2, "6.5"), (20, 3, "6.7"), (19, 3, "6.3"), (12_345, 1, "12,345.0")],
)
def test_means_have_one_decimal(total: int, count: int, shown: str) -> None:
    assert show.mean(total, count) == shown


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (0, "0 H/s"),
        (999, "999 H/s"),
        (1000, "1.0 kH/s"),
        (999_999, "999.9 kH/s"),
        (11_650_000, "11.6 MH/s"),
        (1_900_000_000, "1.9 GH/s"),
        (2**63, "9,223.3 PH/s"),
    ],
)
def test_hash_rates_have_a_unit_and_are_rounded_down(rate: int, shown: str) -> None:
    assert show.hash_rate(rate) == shown


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ("0", "0 %"),
        ("", "0 %"),
        ("1", "100 %"),
        ("0.05", "5 %"),
        ("0.0125", "1.25 %"),
        ("0.1", "10 %"),
    ],
)
def test_parts_are_told_in_percent(part: str, shown: str) -> None:
    assert show.in_percent(part) == shown


def test_farmers_are_told_by_their_zeros_the_most_first() -> None:
    assert show.by_zeros({5: 8, 7: 1, 6: 1700}) == "1 with 7, 1,700 with 6, 8 with 5"
    assert show.by_zeros({}) == "–"


@pytest.mark.parametrize(
    ("succeeded", "failed", "shown"),
    [
        (0, 0, "–"),
        (5, 0, "100.0 %"),
        (999_999, 1, "99.9 %"),  # only all is 100 %
        (0, 3, "0.0 %"),
        (2, 1, "66.6 %"),
    ],
)
def test_a_rate_is_rounded_down(succeeded: int, failed: int, shown: str) -> None:
    assert show.percent(succeeded, failed) == shown


def test_a_part_may_be_larger_than_the_whole() -> None:
    assert show.part_of(3, 2) == "150.0 %"
    assert show.part_of(3, 0) == "–"


def test_what_nothing_was_earned_by_has_no_price() -> None:
    assert show.per_kale(5, 0) == "–"
    assert show.per_kale(10_000_000, 40_000_000) == "0.25"
    assert show.per_kale(1, 3 * 10_000_000) == "0"


def test_extremes_are_shown_where_there_are_any() -> None:
    extremes = report_pb2.Extremes(min_zeros=0, max_zeros=9, min_gap=4, max_gap=4)
    assert show.extent(extremes, "zeros") == "0 to 9"
    assert show.extent(extremes, "gap") == "4"
    assert show.extent(extremes, "stake") == "–"
    assert show.extent(None, "zeros") == "–"
    # What nobody did has the largest number as its smallest on the chain.
    assert show.extent(report_pb2.Extremes(min_zeros=2**32 - 1, max_zeros=0), "zeros") == "–"
    assert show.extent_of(2**32 - 1, 0) == "–"
    assert show.extent_of(3, 1200) == "3 to 1,200"
    staked = report_pb2.Extremes(min_stake=0, max_stake=15_000_000)
    assert show.extent(staked, "stake", show.amount) == "0 to 1.5"


def test_moments_are_utc_for_people_and_for_programs() -> None:
    stamp = Timestamp(seconds=1_796_000_645)
    assert show.moment(stamp) == (
        '<time datetime="2026-11-30T01:04:05Z">2026-11-30 01:04:05 UTC</time>'
    )
    assert show.minute(stamp) == '<time datetime="2026-11-30T01:04:05Z">2026-11-30 01:04</time>'
    assert show.day(datetime(2026, 11, 29, tzinfo=UTC)) == (
        '<time datetime="2026-11-29T00:00:00Z">2026-11-29</time>'
    )
    assert show.moment(Timestamp()) == show.moment(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59, "59 s"), (125, "2 min 5 s"), (7200, "2 h"), (273_600, "3 d 4 h")],
)
def test_lengths_of_time_have_two_units_at_most(seconds: int, shown: str) -> None:
    assert show.length(seconds) == shown


def test_a_value_of_an_enum_is_a_word() -> None:
    pooler = registry_pb2.Pooler(status=registry_pb2.POOLER_STATUS_SUSPENDED)
    assert show.word(pooler, "status") == "suspended"
    pooler.MergeFromString(registry_pb2.Pooler(status=99).SerializeToString())  # type: ignore[arg-type]
    assert show.word(pooler, "status") == "99"
    with pytest.raises(TypeError):
        show.word(pooler, "name")


def test_an_address_is_known_by_its_ends() -> None:
    assert show.short("GABC" + "X" * 48 + "WXYZ") == "GABC…WXYZ"
    assert show.short("short") == "short"


def test_what_people_write_is_escaped() -> None:
    template = show.environment().from_string("{{ name }} {{ stamp | moment }}")
    shown = template.render(name="<script>", stamp=Timestamp(seconds=1))
    assert shown.startswith("&lt;script&gt; <time ")
