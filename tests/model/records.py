"""What must always hold: the database's records, compared with the truth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asyncpg import Record

from libs.common.ids import OperationId
from services.wallet.domain.outcomes import MAX_ATTEMPTS
from tests.model.envelopes import Paid
from tests.model.farm import Place
from tests.model.network import Network
from tests.model.process import CAP

#: Queries for the records of the database: each operation, each envelope, and each operation that
#: is carried twice.
OPERATIONS = """
SELECT o.id, o.kind, w.address, o.block_index, o.state, o.amount, o.zeros, o.gap, o.reason,
    o.attempts, o.unproven, o.stake_returned, d.destination,
    ARRAY(
        SELECT t.lookup_hash FROM wallet.transaction_operations c
        JOIN wallet.transactions t ON t.id = c.transaction_id WHERE c.operation_id = o.id
    ) AS lookups
FROM wallet.operations o
JOIN wallet.wallets w ON w.id = o.wallet_id
LEFT JOIN wallet.withdrawals d ON d.operation_id = o.id
WHERE o.kind IN ('plant', 'work', 'harvest', 'withdraw')
"""
ENVELOPES = """
SELECT t.lookup_hash, t.state, t.fee_bid, t.bump_to, count(c.*) AS operations
FROM wallet.transactions t
LEFT JOIN wallet.transaction_operations c ON c.transaction_id = t.id GROUP BY t.id
"""
CARRIED_TWICE = """
SELECT count(*) FROM wallet.transaction_operations c
JOIN wallet.transactions t ON t.id = c.transaction_id AND t.state IN ('signed', 'sent')
GROUP BY c.operation_id HAVING count(*) > 1
"""
_OPEN = frozenset({"queued", "signed", "sent"})
_UNMADE = frozenset({"failed", "expired"})


@dataclass(kw_only=True)
class Promises:
    """The engine's promises about what was asked of it."""

    network: Network
    #: Whether a node asks for higher bids, so that a cap may keep an operation out.
    is_dear: bool
    #: Plants, works and harvests that were asked for.
    calls: set[OperationId] = field(default_factory=set)
    #: Withdrawals that were asked for.
    withdrawals: dict[OperationId, Paid] = field(default_factory=dict)
    #: Withdrawals that were ever settled with a wrong outcome.
    false_records: set[OperationId] = field(default_factory=set)
    #: Final states of operations.
    _ends: dict[OperationId, str] = field(default_factory=dict)
    #: Operations that no node could tell about.
    _unproven: set[OperationId] = field(default_factory=set)

    # Whatever nodes say -----------------------------------------------------------------------

    def check_network(self) -> None:
        """Check what the network shows: nothing was done twice, and no bid was above its cap."""
        farm = self.network.farm
        assert max((*farm.planted.values(), *farm.harvested.values()), default=0) <= 1
        asked = Counter(self.withdrawals.values())
        made = Counter(payment for _, payment in self.network.paid)
        assert not made.keys() - asked.keys(), "something was paid that nobody asked for"
        twice = [payment for payment, times in made.items() if times > asked[payment]]
        assert not twice, f"paid twice: {twice}"
        for lookup, bid in self.network.bids.items():
            _, item = self.network.received[lookup]
            operations = len(item.calls) or len(item.payments) + 1
            assert bid <= CAP * operations, "an envelope above its cap was sent"

    def note(self, rows: Sequence[Record]) -> None:
        """Check that no operation is lost, and note which records are false or not proven."""
        assert {row["id"] for row in rows} == self.calls | self.withdrawals.keys(), (
            "an operation was lost, or made up"
        )
        self.false_records |= {row["id"] for row in rows if self.is_false(row)}
        self._unproven |= {row["id"] for row in rows if row["unproven"]}

    # With an honest majority ------------------------------------------------------------------

    def check_truth(self, rows: Sequence[Record]) -> None:
        """Check that every final state is the only one of its operation, and true."""
        assert not self.network.reused, "a number was used again that an envelope could still use"
        for row in rows:
            if row["kind"] != "withdraw" and row["state"] not in _OPEN:
                before = self._ends.setdefault(row["id"], row["state"])
                assert before == row["state"], f"{_name(row)} was {before} before"
            self._check_operation(row)

    def check_envelope(self, row: Record, *, must_be_true: bool) -> None:
        """Check an envelope's record."""
        is_payment = row["bump_to"] is not None
        assert row["fee_bid"] <= CAP * (row["operations"] + is_payment), "above the cap"
        _, item = self.network.received.get(row["lookup_hash"], (0, None))
        if row["state"] == "excluded" and item is not None and must_be_true:
            taken = self.network.taken.get(item.lookup)
            assert taken is None, "a ledger has an envelope that was called excluded"
            assert not self.network.may_be_taken(item), "an excluded envelope could be taken"

    def _check_operation(self, row: Record) -> None:
        if row["state"] == "succeeded":
            assert self.is_done(row), f"{_name(row)} is recorded as made, and is not on the chain"
            self._check_values(row)
        if row["state"] in _UNMADE and row["kind"] == "withdraw":
            assert not self.is_done(row), f"{_name(row)} is recorded as not made, and was paid"
        elif row["state"] in _UNMADE:
            assert not self._counts(row), f"{_name(row)} is recorded as not made, and is on chain"
            assert self._has_reason(row), f"{_name(row)} has a reason that is not its own"

    def _check_values(self, row: Record) -> None:
        """Check the values that a call is recorded to have returned."""
        place, farm = _place(row), self.network.farm
        match row["kind"]:
            case "plant":
                assert row["amount"] == farm.stakes[place], f"{_name(row)} has another stake"
            case "work":
                assert row["gap"] == farm.worked[place][row["zeros"]], f"{_name(row)}: other gap"
            case "harvest":
                reward, stake = farm.rewards[place]
                # The pails of the beginning are in no record, from which a reward follows.
                assert row["amount"] in {reward, 0}, f"{_name(row)} has another reward"
                assert row["stake_returned"] == stake, f"{_name(row)} has another stake"

    def is_done(self, row: Record) -> bool:
        """Tell whether the chain has carried out the operation."""
        place, farm = _place(row), self.network.farm
        match row["kind"]:
            case "plant":
                return bool(farm.planted.get(place))
            case "work":
                return row["zeros"] in farm.worked.get(place, {})
            case "harvest":
                return bool(farm.harvested.get(place))
        return self.withdrawals[row["id"]] in {paid for _, paid in self.network.paid}

    def _counts(self, row: Record) -> bool:
        """Tell whether an envelope of its own carried an operation out, so that its record says so.

        It need not for a plant that the farmer, or another operation, has made. Nor when no node
        remembered the ledger and the chain's state did not show the call: a harvest, or a work in
        whose place there is a better one.
        """
        works: Mapping[int, int] = self.network.farm.worked.get(_place(row), {})
        is_beaten = row["kind"] == "work" and row["zeros"] < max(works, default=0)
        is_forgotten = row["kind"] != "plant" and row["id"] in self._unproven
        return self._did(row) and not is_beaten and not is_forgotten

    def _did(self, row: Record) -> bool:
        """Tell whether a call of an operation's own envelopes worked."""
        taken = (self.network.taken.get(lookup) for lookup in row["lookups"])
        return any(
            call.farmer == row["address"] and result.error is None
            for item in taken
            if item is not None and item.error is None
            for call, result in zip(item.envelope.calls, item.results, strict=True)
        )

    def _has_reason(self, row: Record) -> bool:
        """Tell whether the reason why an operation was given up is true, and its own."""
        place, farm = _place(row), self.network.farm
        ledger, is_plant = self.network.ledger, row["kind"] == "plant"
        block = farm.plantable(ledger, self.network.now) if is_plant else farm.running(ledger).index
        causes = {
            "BLOCK_CLOSED": block > place[1] and row["kind"] != "harvest",
            "REFUSED": row["attempts"] >= MAX_ATTEMPTS,
            "EXPIRED": row["attempts"] >= MAX_ATTEMPTS,
            "FEE_CAP": self.is_dear,
            "INSUFFICIENT_BALANCE": is_plant and place[0] in farm.poor,
            "ZEROS_TOO_LOW": max(farm.worked.get(place, {}), default=0) >= (row["zeros"] or 0),
            "NOT_PLANTED": bool(farm.harvested.get(place)),
        }
        return bool(causes.get(row["reason"]))

    # In the end -------------------------------------------------------------------------------

    def open(self, rows: Sequence[Record]) -> list[str]:
        """Return operations that are not settled, or are settled with a wrong outcome."""
        return [_name(row) for row in rows if row["state"] in _OPEN or self.is_false(row)]

    def is_false(self, row: Record) -> bool:
        """Tell whether a withdrawal's record is wrong: as paid when it was not, or the reverse."""
        if row["kind"] != "withdraw" or row["state"] in _OPEN:
            return False
        is_recorded_as_made: bool = row["state"] == "succeeded"
        return self.is_done(row) is not is_recorded_as_made


def _place(row: Record) -> Place:
    return row["address"], row["block_index"]


def _name(row: Record) -> str:
    """Return an operation and its state in words, for messages."""
    words = (row["kind"], row["block_index"], row["zeros"], row["amount"], row["state"])
    return " ".join(str(word) for word in (*words, row["reason"]) if word is not None)
