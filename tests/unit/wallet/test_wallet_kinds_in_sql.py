"""SQL names kinds of operations, too: each list of kinds there is one that the table defines."""

import re
from collections.abc import Callable, Mapping

import pytest

from libs.common.db.queries import load_queries
from services.wallet.domain.kinds import OPERATION_KINDS, Carrier, Kind
from services.wallet.domain.model import OperationKind
from services.wallet.store import QUERIES

_SCHEMA = QUERIES[0].parents[1] / "schema.sql"
_NAMES = "|".join(kind.value for kind in OperationKind)
_LIST = re.compile(rf"kind IN \((?P<names>(?:'(?:{_NAMES})'(?:, )?)+)\)")
_NAME = re.compile(rf"'(?P<name>{_NAMES})'")


def _kinds(where: Callable[[Kind], bool]) -> frozenset[str]:
    return frozenset(kind.value for kind, row in OPERATION_KINDS.items() if where(row))


#: Properties of a kind that a list of kinds in SQL may stand for.
MEANT: Mapping[str, frozenset[str]] = {
    "calls of the farm": _kinds(lambda row: row.carrier is Carrier.FARM),
    "urgent calls of the farm": _kinds(lambda row: row.carrier is Carrier.FARM and row.is_urgent),
    "calls that follow a plant": _kinds(
        lambda row: row.carrier is Carrier.FARM and not row.opens_block
    ),
    "payments": _kinds(lambda row: row.carrier is Carrier.PAYER),
}
#: Queries that name kinds one by one and must not forget one, with the kinds to name.
NAMED: Mapping[str, frozenset[str]] = {
    "claim_operations": MEANT["calls of the farm"],
    "has_urgent": MEANT["urgent calls of the farm"],
    # KALE moves with calls of the farm that change a balance, and with withdrawals.
    "balances_since": _kinds(lambda row: row.carrier is Carrier.FARM and row.moves_balance)
    | {OperationKind.WITHDRAW.value},
}


def _lists() -> list[tuple[str, frozenset[str]]]:
    """Return the lists of kinds in wallet's SQL, each with the name of its query or file."""
    texts = {name: query.sql for name, query in load_queries(*QUERIES).items()}
    texts["schema.sql"] = _SCHEMA.read_text(encoding="utf-8")
    return [
        (name, frozenset(_NAME.findall(found["names"])))
        for name, text in texts.items()
        for found in _LIST.finditer(text)
    ]


def test_lists_of_kinds_are_found() -> None:
    places = {place for place, _ in _lists()}
    assert {"queue", "fee_obligations", "schema.sql"} <= places


@pytest.mark.parametrize(("place", "kinds"), _lists(), ids=lambda value: str(value)[:40])
def test_a_list_of_kinds_in_sql_is_one_of_the_table(place: str, kinds: frozenset[str]) -> None:
    assert kinds in MEANT.values(), f"{place}: {sorted(kinds)} is none of {sorted(MEANT)}"


@pytest.mark.parametrize("name", NAMED)
def test_a_query_that_tells_kinds_apart_names_each(name: str) -> None:
    named = frozenset(_NAME.findall(load_queries(*QUERIES)[name].sql))
    assert named == NAMED[name]
