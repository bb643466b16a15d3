"""The question simulateTransaction: the needs of a transaction, or the reason why it would fail."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from stellar_sdk import xdr

from libs.common.errors import PoolError
from services.wallet.chain.build.calls import FarmCall
from services.wallet.chain.build.deploy import PreparedStep, prepare_step
from services.wallet.chain.errors import DisagreementError
from services.wallet.chain.node.fields import LONGEST_DATA, Json, decimal, needed, raw_bytes, text
from services.wallet.chain.node.newer import decoded
from services.wallet.chain.node.questions import Question
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read.results import Refusal, ResultReader

T = TypeVar("T")

#: The factor by which honest nodes may differ in a call's needs.
_APART = 2


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The findings of a simulation that succeeded."""

    #: Footprint and resources.
    data: xdr.SorobanTransactionData
    #: Fee for the resources, in stroops.
    fee: int


def simulation(
    reader: ResultReader, envelope: str, calls: Sequence[FarmCall]
) -> Question[Simulation | Refusal]:
    """Return the question for the needs of an envelope (base64) with these calls."""

    def decode(answer: Json) -> Simulation | Refusal:
        refusal = reader.refusal(answer) or reader.failing_call(answer, calls)
        if refusal is not None:
            return refusal
        for name in ("transactionData", "minResourceFee"):
            needed(answer, name)
        data = decoded(
            xdr.SorobanTransactionData,
            raw_bytes(text(answer, "transactionData", longest=LONGEST_DATA), "transactionData"),
        )
        return Simulation(data=data, fee=decimal(answer, "minResourceFee"))

    return _simulate(envelope, decode)


async def second_opinion(
    found: Simulation | Refusal,
    nodes: Sequence[Rpc],
    question: Question[Simulation | Refusal],
    *,
    patience: float,
) -> Simulation | Refusal:
    """Return the findings of a node, or those on which two other nodes agree.

    The cost of a call is not decided by one node alone. Raises DisagreementError when no two nodes
    say the same. A node that does not answer within `patience` (s) is not counted.
    """
    told: list[Simulation | Refusal] = []
    for node in nodes:
        try:
            async with asyncio.timeout(patience):
                told.append(await node.ask(question))
        except (PoolError, TimeoutError):
            continue
        if len(told) == 2 and _alike(found, told[-1]):
            break
    if len(told) < 2 or sum(_alike(found, item) for item in told) > 1:
        return found
    for one, other in combinations(told, 2):
        if _alike(one, other):
            return one
    raise DisagreementError("Stellar nodes say otherwise of what a call needs", retry_after=1.0)


def _alike(one: Simulation | Refusal, other: Simulation | Refusal) -> bool:
    """Tell whether two findings agree, but for what nodes that are a ledger apart may differ in."""
    if isinstance(one, Refusal) or isinstance(other, Refusal):
        return isinstance(one, Refusal) and isinstance(other, Refusal) and one.error == other.error
    return (
        one.data.resources.footprint == other.data.resources.footprint
        and _near(one.fee, other.fee)
        and _near(one.data.resources.instructions.uint32, other.data.resources.instructions.uint32)
    )


def _near(one: int, other: int) -> bool:
    return max(one, other) <= _APART * min(one, other)


def preparation(reader: ResultReader, envelope: str) -> Question[PreparedStep | Refusal]:
    """Return the question for the needs of a step of a deployment."""
    return _simulate(envelope, lambda answer: reader.refusal(answer) or prepare_step(answer))


def _simulate(envelope: str, decode: Callable[[Json], T]) -> Question[T]:
    parameters = {"transaction": envelope}
    return Question(method="simulateTransaction", parameters=parameters, decode=decode)
