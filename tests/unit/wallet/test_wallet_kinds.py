"""Kinds of operations outside of their table: in SQL, in return values, in the command's options.

What names kinds there, too, must forget none.
"""

import re
from collections.abc import Callable, Mapping
from typing import get_args

import pytest

from cli.wallet import Kind
from libs.common.db.queries import load_queries
from services.wallet.chain.read import return_values
from services.wallet.domain import kinds
from services.wallet.domain.chain_facts import ContractError
from services.wallet.domain.kinds import OPERATION_KINDS, Carrier, carried_by
from services.wallet.domain.model import FailureReason, OperationKind
from services.wallet.domain.outcomes import Action, Meaning, meaning
from services.wallet.domain.reconciling import DENIED
from services.wallet.store import QUERIES

_SCHEMA = QUERIES[0].parents[1] / "schema.sql"
_NAMES = "|".join(kind.value for kind in OperationKind)
_LIST = re.compile(rf"kind IN \((?P<names>(?:'(?:{_NAMES})'(?:, )?)+)\)")
_NAME = re.compile(rf"'(?P<name>{_NAMES})'")


def _kinds(where: Callable[[kinds.Kind], bool]) -> frozenset[str]:
    return frozenset(kind.value for kind, row in OPERATION_KINDS.items() if where(row))


#: Properties of a kind that a list of kinds in SQL may stand for.
MEANT: Mapping[str, frozenset[str]] = {
    "calls of the farm": _kinds(lambda row: row.carrier is Carrier.FARM),
    "urgent calls of the farm": _kinds(lambda row: row.carrier is Carrier.FARM and row.is_urgent),
    "calls that follow a plant": _kinds(
        lambda row: row.carrier is Carrier.FARM and not row.opens_block
    ),
    "payments": _kinds(lambda row: row.carrier is Carrier.PAYER),
    "payments to others": _kinds(lambda row: row.pays_out),
    "payments that count into the limits of a day": _kinds(lambda row: row.counts_daily),
}
#: Queries that name kinds one by one and must not forget one, with the kinds to name.
NAMED: Mapping[str, frozenset[str]] = {
    "claim_operations": MEANT["calls of the farm"],
    "has_urgent": MEANT["urgent calls of the farm"],
    # KALE moves with calls of the farm that change a balance, with withdrawals and payouts.
    "kept_in_block": MEANT["calls of the farm"],
    "balances_since": _kinds(lambda row: row.carrier is Carrier.FARM and row.moves_balance)
    | _kinds(lambda row: row.counts_daily),
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


def test_the_database_has_the_same_kinds_in_the_same_order() -> None:
    """Calls are taken up in the order of the type."""
    listed = _SCHEMA.read_text(encoding="utf-8").partition("wallet.operation_kind AS ENUM (")[2]
    assert _NAME.findall(listed.partition(")")[0]) == [kind.value for kind in OperationKind]


def test_the_database_denies_what_the_domain_denies() -> None:
    text = _SCHEMA.read_text(encoding="utf-8")
    pairs = re.findall(r"\('(record_without_\w+)', '(\w+)'\)", text)
    assert set(pairs) == {
        (difference.value, kind.value) for difference, kinds in DENIED.items() for kind in kinds
    }


def test_each_call_of_the_farm_has_a_form_of_return_value_and_errors() -> None:
    functions = {kind.value for kind in carried_by(Carrier.FARM)}
    assert return_values._FORMS.keys() == return_values._TOKEN_NUMBERS.keys() == functions
    error = ContractError(raiser="farm", code="unheard of")
    assert {meaning(OperationKind(name), error).action for name in functions} == {Action.FAIL}


def test_the_command_knows_all_kinds() -> None:
    assert set(get_args(Kind)) == {"all", *(kind.value for kind in OperationKind)}


def test_lists_of_kinds_are_found() -> None:
    places = {place for place, _ in _lists()}
    assert {"queue", "fee_obligations", "schema.sql"} <= places


@pytest.mark.parametrize(
    ("place", "named"),
    _lists(),
    ids=lambda value: value if isinstance(value, str) else ",".join(sorted(value)),
)
def test_a_list_of_kinds_in_sql_is_one_of_the_table(place: str, named: frozenset[str]) -> None:
    assert named in MEANT.values(), f"{place}: {sorted(named)} is none of {sorted(MEANT)}"


@pytest.mark.parametrize("name", NAMED)
def test_a_query_that_tells_kinds_apart_names_each(name: str) -> None:
    named = frozenset(_NAME.findall(load_queries(*QUERIES)[name].sql))
    assert named == NAMED[name]


def test_who_bids_more_and_who_pays_what_a_quiet_ledger_asks() -> None:
    assert _kinds(lambda row: row.is_urgent) == {"plant", "work"}
    assert _kinds(lambda row: row.is_patient) == {
        "close_account",
        "data_entry",
        "harvest",
        "open_channel",
        "top_up",
    }


def test_a_meaning_is_final_when_it_gives_up_or_has_a_reason() -> None:
    reason = FailureReason.ZEROS_TOO_LOW
    assert Meaning(action=Action.FAIL).is_final
    assert Meaning(action=Action.LOOK_UP_PAIL, reason=reason).is_final
    for action in (Action.LOOK_UP_PAIL, Action.WAIT, Action.RETRY):
        assert not Meaning(action=action).is_final
