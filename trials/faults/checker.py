"""Comparison of PostgreSQL with the chain for one phase of one block."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from trials.faults.records import Records
from trials.faults.witness import SeenFee, Witness

_FINAL = ("succeeded", "failed", "expired")


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The faults found after one phase; when all counts are zero, every promise is kept."""

    #: Operations asked for.
    asked: int
    #: Requested operations that the chain shows.
    done: int
    #: Operations that are recorded as done and not on the chain, or not recorded at all.
    lost: int = 0
    #: Operations that were done again after they had worked, or are on the chain and recorded as
    #: not done.
    doubled: int = 0
    #: Operations that are neither done nor failed when the time is over: a person would have to
    #: look.
    left_open: int = 0
    #: Operations that were settled as not done although the fault was over in time, by reason.
    given_up: dict[str, int] = field(default_factory=dict)
    #: Operations that are recorded with another ledger, stake, gap, zeros or reward than on the
    #: chain.
    wrong: int = 0
    #: Transactions whose bid or whose price was above the cap.
    over_cap: int = 0
    #: Stroops of KALE that were paid out beyond the requested amounts.
    overpaid: int = 0
    #: Whether no node told the truth: operations that were given up then are no fault of the
    #: pool's.
    excused: bool = False
    #: The first differences, in words.
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Tell whether everything is as promised."""
        counted = (self.lost, self.doubled, self.left_open, self.wrong)
        return not any((*counted, self.over_cap, self.overpaid)) and not self.counted_given_up

    @property
    def counted_given_up(self) -> dict[str, int]:
        """Return the operations by reason that were given up and should not have been."""
        return {} if self.excused else self.given_up


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request to the wallet."""

    #: plant, work, harvest or withdraw.
    phase: str
    #: The block; for withdrawals, how many each farmer had before.
    block: int
    #: Addresses of the farmers.
    addresses: Sequence[str]
    #: Number of calls that the witness had seen before.
    calls_before: int
    #: Number of calls that the witness had seen when the same was requested for the next block;
    #: None: it was not yet.
    calls_until: int | None = None
    #: Number of fees that the witness had seen before.
    fees_before: int
    #: Stroops of XLM that a transaction may cost for each of its operations.
    cap: int
    #: Whether all or most nodes that could be asked lied: operations may be given up, and calls
    #: that change nothing may be repeated; money and records must be right all the same.
    excused: bool = False


async def check(records: Records, witness: Witness, question: Question) -> Findings:
    """Compare both sides as they are now; the witness has caught up."""
    rows = await records.many("operations", question.phase, question.block)
    # Farmers may have several works in a block; the last work that was not refused counts.
    recorded = {row["address"]: row for row in rows if row["address"] in set(question.addresses)}
    on_chain = facts(witness, question.phase, question.block)
    judged = [
        _judge(address, recorded.get(address), on_chain.get(address), question.phase)
        for address in question.addresses
    ]
    kinds = Counter(verdict.kind for verdict in judged)
    given_up = Counter(verdict.reason for verdict in judged if verdict.kind == "given_up")
    again = [] if question.excused else repeated(witness, question)
    return Findings(
        asked=len(question.addresses),
        done=sum(address in on_chain for address in question.addresses),
        lost=kinds["lost"],
        doubled=kinds["doubled"] + len(again),
        left_open=kinds["left_open"],
        given_up=dict(given_up),
        wrong=kinds["wrong"],
        overpaid=overpaid(on_chain) if question.phase == "withdraw" else 0,
        excused=question.excused,
        over_cap=len(over_cap(witness.fees[question.fees_before :], question.cap)),
        notes=[*(verdict.note for verdict in judged if verdict.note), *again][:5],
    )


def facts(witness: Witness, phase: str, block: int) -> dict[str, tuple[int, ...]]:
    """Return the facts on the chain by address, in the same figures as `recorded_figures`.

    For withdrawals, `block` is the number of the withdrawal, and the amount is one stroop more than
    `block`.
    """
    view = witness.view
    if phase == "withdraw":
        paid = Counter(item.source for item in witness.payments if item.amount == block + 1)
        return {source: (block + 1, times) for source, times in paid.items()}
    if phase == "plant":
        return {
            address: (plant.stake, plant.ledger)
            for (address, index), plant in view.plants.items()
            if index == block
        }
    if phase == "work":
        return {
            address: (work.gap, work.zeros)
            for (address, index), work in view.works.items()
            if index == block
        }
    return {
        address: (reward, view.plants[address, index].stake)
        for (address, index), reward in view.harvests.items()
        if index == block
    }


def overpaid(withdrawn: Mapping[str, tuple[int, ...]]) -> int:
    """Return the stroops that were paid more than once.

    `withdrawn` has the form that `facts` returns.
    """
    return sum(amount * (times - 1) for amount, times in withdrawn.values())


def recorded_figures(row: asyncpg.Record, phase: str) -> tuple[int, ...]:
    """Return the figures in the record of an operation that succeeded."""
    if phase == "plant":
        return (row["amount"], row["ledger"])
    if phase == "work":
        return (row["gap"], row["zeros"])
    if phase == "withdraw":
        return (row["amount"], 1)
    return (row["amount"], row["stake_returned"])


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    """The verdict on one farmer's operation."""

    #: A field of Findings, or "good".
    kind: str
    #: The reason why the operation was given up.
    reason: str = ""
    #: The difference in words.
    note: str = ""


_GOOD = _Verdict(kind="good")


def _judge(
    address: str, row: asyncpg.Record | None, fact: tuple[int, ...] | None, phase: str
) -> _Verdict:
    if row is None:
        return _Verdict(kind="lost", note=f"{phase} of {address}: not recorded")
    state = row["state"]
    if state not in _FINAL:
        return _Verdict(kind="left_open", note=f"{phase} of {address}: still {state}")
    recorded = recorded_figures(row, phase) if state == "succeeded" else None
    if recorded == fact:
        return _GOOD if fact is not None else _Verdict(kind="given_up", reason=row["reason"])
    note = f"{phase} of {address}: recorded {state} {recorded}, on the chain {fact}"
    if fact is None:
        return _Verdict(kind="lost", note=note)
    return _Verdict(kind="doubled" if recorded is None else "wrong", note=note)


def repeated(witness: Witness, question: Question) -> list[str]:
    """Return calls that reached a ledger after the same call had worked: their fee is wasted."""
    done: set[str] = set()
    notes = []
    for seen in witness.calls[question.calls_before : question.calls_until]:
        call = seen.call
        if call.function != question.phase or call.farmer not in question.addresses:
            continue
        if call.block not in (None, question.block):
            continue
        if call.farmer in done:
            notes.append(f"{call.function} of {call.farmer}: again in ledger {seen.ledger}")
        elif call.ok:
            done.add(call.farmer)
    return notes


def over_cap(fees: Sequence[SeenFee], cap: int) -> list[SeenFee]:
    """Return transactions that cost, or might have cost, more than `cap` for each operation."""
    return [fee for fee in fees if max(fee.bid, fee.charged) > cap * fee.calls]
