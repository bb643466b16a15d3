"""simulateTransaction: what a transaction needs, or why it would fail, decoded at the edge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stellar_sdk import xdr

from services.wallet.chain.calls import FarmCall
from services.wallet.chain.deploy import PreparedStep, prepare_step
from services.wallet.chain.fields import LONGEST_DATA, Json, decimal, text
from services.wallet.chain.questions import Question
from services.wallet.chain.results import Refusal, ResultReader

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What a simulation that succeeded found."""

    #: Footprint and resources.
    data: xdr.SorobanTransactionData
    #: Stroops for them.
    fee: int


def simulation(
    reader: ResultReader, envelope: str, calls: Sequence[FarmCall]
) -> Question[Simulation | Refusal]:
    """What an envelope (base64) with these calls needs."""

    def decode(answer: Json) -> Simulation | Refusal:
        refusal = reader.refusal(answer) or reader.failing_call(answer, calls)
        if refusal is not None:
            return refusal
        data = xdr.SorobanTransactionData.from_xdr(
            text(answer, "transactionData", longest=LONGEST_DATA)
        )
        return Simulation(data=data, fee=decimal(answer, "minResourceFee"))

    return _simulate(envelope, decode)


def preparation(reader: ResultReader, envelope: str) -> Question[PreparedStep | Refusal]:
    """What a step of a deployment needs."""
    return _simulate(envelope, lambda answer: reader.refusal(answer) or prepare_step(answer))


def _simulate(envelope: str, decode: Callable[[Json], T]) -> Question[T]:
    parameters = {"transaction": envelope}
    return Question(method="simulateTransaction", parameters=parameters, decode=decode)
