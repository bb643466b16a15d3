"""The questions getTransaction and getTransactions: outcomes of transactions.

Answers are decoded as soon as they arrive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.wallet.chain.errors import RpcTooLargeError, RpcUnavailableError, UnknownAnswerError
from services.wallet.chain.node.fields import (
    Json,
    hash_of,
    head_of,
    head_of_page,
    integer,
    objects,
    raw_bytes,
)
from services.wallet.chain.node.questions import Question
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read.results import ResultReader, status_of
from services.wallet.domain.chain_facts import LedgerHead, Outcome, OutcomeStatus

#: Transactions of one getTransactions: few enough that one answer is decoded in a short time.
MAX_TRANSACTIONS = 100
#: When an answer is too large, fewer transactions are asked for: so many times fewer, and so many
#: at least.
_FEWER, _FEWEST = 5, 4
#: Pages of one range at most: more than the ledgers that are ever looked through can fill.
MAX_PAGES = 500
#: Bits of a transaction's place (cursor) after the ledger, which begins it.
_LEDGER_SHIFT = 32
#: Digits of a cursor at most.
_DIGITS = 20


@dataclass(frozen=True, kw_only=True)
class Included:
    """The transactions that the ledgers of a range have, of those that were asked for."""

    #: The outcomes of the transactions, by hash (of a fee bump: the outer hash).
    outcomes: Mapping[str, Outcome]
    #: The latest ledger that was looked at.
    head: LedgerHead


@dataclass(frozen=True, kw_only=True)
class _Page:
    """One answer of getTransactions."""

    #: The outcomes of transactions that were asked for, by hash.
    outcomes: Mapping[str, Outcome]
    #: Hashes of all transactions on the page.
    hashes: frozenset[str]
    #: The latest ledger.
    head: LedgerHead
    #: Where the next page begins; None after the last one.
    cursor: int | None


def outcome_question(
    reader: ResultReader, tx_hash: str, functions: Sequence[str]
) -> Question[Outcome]:
    """Return the question for a node's outcome of a transaction that calls these functions.

    A fee bump can be asked for by either of its hashes.
    """

    def decode(answer: Json) -> Outcome:
        outcome = reader.outcome(answer, head_of(answer), functions)
        if outcome.status is not OutcomeStatus.NOT_FOUND:
            _check_name(answer, tx_hash)
        return outcome

    return Question(method="getTransaction", parameters={"hash": tx_hash}, decode=decode)


def presence_question(tx_hash: str) -> Question[bool]:
    """Return the question whether a ledger that the node remembers has a transaction.

    A fee bump can be asked for by either of its hashes.
    """

    def decode(answer: Json) -> bool:
        try:
            return status_of(answer) is not OutcomeStatus.NOT_FOUND
        except UnknownAnswerError:
            return integer(answer, "ledger", low=1) > 0

    return Question(method="getTransaction", parameters={"hash": tx_hash}, decode=decode)


async def read_included(
    node: Rpc, reader: ResultReader, first: int, wanted: Mapping[str, Sequence[str]]
) -> Included:
    """Look through the ledgers from `first` on for transactions, by hash with their functions."""
    scan = _Scan(reader, first, wanted)
    for _ in range(MAX_PAGES):
        try:
            page = await node.ask(scan.question())
        except RpcTooLargeError:
            if not scan.ask_for_fewer():
                raise
            continue
        scan.add(page)
        if page.cursor is None:
            return Included(outcomes=scan.outcomes, head=page.head)
    raise RpcUnavailableError("getTransactions has no end", retry_after=1.0)


class _Scan:
    """The progress of a search through a range of ledgers."""

    def __init__(
        self, reader: ResultReader, first: int, wanted: Mapping[str, Sequence[str]]
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._reader = reader
        self._wanted = wanted
        self._begin = first
        self._cursor: int | None = None
        self._limit = MAX_TRANSACTIONS
        self._seen: set[str] = set()

    def question(self) -> Question[_Page]:
        """Return the question for the next page."""
        page: dict[str, object] = {"limit": self._limit}
        parameters: Json = {"startLedger": self._begin, "pagination": page}
        if self._cursor is not None:
            parameters = {"pagination": {"cursor": str(self._cursor), **page}}
        return Question(method="getTransactions", parameters=parameters, decode=self._decode)

    def ask_for_fewer(self) -> bool:
        """Ask for fewer transactions; tell whether the same page is to be tried again."""
        self._limit //= _FEWER
        return self._limit >= _FEWEST

    def add(self, page: _Page) -> None:
        """Record a page that was read."""
        self.outcomes |= page.outcomes
        self._seen |= page.hashes
        if page.cursor is not None:
            self._cursor, self._begin = page.cursor, page.cursor >> _LEDGER_SHIFT

    def _decode(self, answer: Json) -> _Page:
        head = head_of_page(answer)
        items = objects(answer, "transactions", most=self._limit)
        hashes = _names(items, self._begin, head.sequence)
        if not self._seen.isdisjoint(hashes):
            raise ValueError("transactions has one twice")
        outcomes = {
            item["txHash"]: self._reader.outcome(item, head, self._wanted[item["txHash"]])
            for item in items
            if item["txHash"] in self._wanted
        }
        cursor = None
        if len(items) == self._limit:
            cursor = next_cursor(answer, self._cursor, self._begin, head.sequence)
        return _Page(outcomes=outcomes, hashes=hashes, head=head, cursor=cursor)


def next_cursor(answer: Json, before: int | None, begin: int, latest: int) -> int:
    """Return the place where the next page begins.

    The place must be behind the place where this page began, and not behind the latest ledger.
    """
    value = answer.get("cursor")
    if not isinstance(value, str) or len(value) > _DIGITS or not value.isdecimal():
        raise ValueError("cursor is no place")
    place = int(value)
    if place <= (before or 0) or not begin <= place >> _LEDGER_SHIFT <= latest:
        raise ValueError("cursor does not move on")
    return place


def _names(items: Sequence[Json], begin: int, latest: int) -> frozenset[str]:
    """Return the hashes of a page.

    Each hash must occur once. The ledgers must be those that were asked for, in their order.
    """
    hashes = [hash_of(item, "txHash") for item in items]
    for item in items:
        begin = integer(item, "ledger", low=begin, high=latest)
        status = item.get("status")
        if not isinstance(status, str) or status == OutcomeStatus.NOT_FOUND.value:
            raise ValueError("status is none of a transaction in a ledger")
    found = frozenset(hashes)
    if len(found) != len(hashes):
        raise ValueError("transactions has one twice")
    return found


def _check_name(answer: Json, asked: str) -> None:
    """Check the hash in an answer.

    Old node versions do not tell the hash. A fee bump has two hashes, and its result has the inner
    one.
    """
    if "txHash" not in answer or answer["txHash"] == asked:
        return
    if bytes.fromhex(asked) not in raw_bytes(answer.get("resultXdr", ""), "resultXdr"):
        raise ValueError("txHash is of another transaction")
