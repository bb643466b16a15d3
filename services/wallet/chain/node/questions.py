"""Questions to a node: a method with its parameters, and how its answer becomes facts.

Answers are decoded where a node's failures are counted (`Rpc.ask`). So an answer without facts is a
failure of that node, and the next node is asked. No JSON leaves this package.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from services.wallet.chain.errors import UnknownAnswerError
from services.wallet.chain.node.fields import (
    UINT32,
    UNDECODABLE,
    Json,
    decimal,
    head_of,
    integer,
    text,
)
from services.wallet.domain.chain_facts import LedgerHead

T = TypeVar("T")

#: Characters of a passphrase at most; a network's passphrase has about fifty.
_PASSPHRASE = 256
#: No transaction has this hash: asking for it gives the head with its close time on every node
#: version.
_NO_HASH = "0" * 64
#: Smallest bid of a contract call, in stroops.
LEAST_BID = 100


@dataclass(frozen=True, kw_only=True)
class Question(Generic[T]):
    """One call of JSON-RPC."""

    #: The method.
    method: str
    #: The parameters.
    parameters: Json
    #: Makes facts of the result. An error that it raises because the result is not what the method
    #: answers (ValueError, KeyError, ...) is the node's failure.
    decode: Callable[[Json], T]
    #: The field that has the ledger of the answer; None when the method tells none.
    height: str | None = "latestLedger"
    #: Whether a node may leave the ledger out.
    may_lack_height: bool = False


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The network that a node is on."""

    #: Its passphrase.
    passphrase: str
    #: Its protocol; 0 when the node does not tell it.
    protocol: int


def spared(decode: Callable[[Json], T]) -> Callable[[Json], T]:
    """Return a decoder for facts that can be done without.

    An answer that it cannot read is no failure of the node: it raises UnknownAnswerError.
    """

    def read(answer: Json) -> T:
        try:
            return decode(answer)
        except UNDECODABLE as error:
            raise UnknownAnswerError(f"{type(error).__name__}: {error}") from error

    return read


def _fee(answer: Json) -> int:
    bids = answer["sorobanInclusionFee"]
    return max(LEAST_BID, decimal(bids, "p90", high=UINT32))


def _identity(answer: Json) -> Identity:
    protocol: Any = answer.get("protocolVersion")
    return Identity(
        passphrase=text(answer, "passphrase", longest=_PASSPHRASE),
        protocol=protocol if type(protocol) is int and 0 < protocol <= UINT32 else 0,
    )


def _health(answer: Json) -> None:
    # A node that is not healthy says so in an error.
    if answer.get("status", "healthy") != "healthy":
        raise ValueError("status is not healthy")


#: The latest ledger with its close time.
HEAD: Question[LedgerHead] = Question(
    method="getTransaction", parameters={"hash": _NO_HASH}, decode=head_of
)
#: The network's passphrase.
PASSPHRASE: Question[str] = Question(
    method="getNetwork",
    parameters={},
    decode=lambda answer: text(answer, "passphrase", longest=_PASSPHRASE),
    height=None,
)
#: The network's passphrase and protocol.
IDENTITY: Question[Identity] = Question(
    method="getNetwork", parameters={}, decode=_identity, height=None
)
#: Whether the node may be asked anything.
HEALTH: Question[None] = Question(
    method="getHealth", parameters={}, decode=_health, may_lack_height=True
)
#: The latest ledger's sequence.
LATEST_LEDGER: Question[int] = Question(
    method="getLatestLedger",
    parameters={},
    decode=lambda answer: integer(answer, "sequence", low=1),
    height="sequence",
)
#: Stroops that most recent contract calls bid for inclusion (90th percentile).
INCLUSION_FEE: Question[int] = Question(
    method="getFeeStats", parameters={}, decode=spared(_fee), may_lack_height=True
)
