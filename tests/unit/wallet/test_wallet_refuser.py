"""What becomes of operations that simulations refuse, and the call that each stands for."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from stellar_sdk import scval, xdr

from services.wallet.chain import Load, Place, SimulationError
from services.wallet.chain.build.calls import Farm
from services.wallet.domain.chain_facts import ContractError, PailState
from services.wallet.domain.model import FailureReason, OperationEvent, OperationKind
from services.wallet.domain.trust import Decision
from services.wallet.engine.submit.round import Refuser, Round, call_of, postponed
from tests.support.signing import BLOCK, LEDGER, NETWORK, chain_state, operation

K, E, R = OperationKind, OperationEvent, FailureReason
PLANTED = ContractError(raiser="farm", code="PailExists")
NOT_WORKED = ContractError(raiser="farm", code="WorkMissing")


class Chain:
    """One node, or several that say what they agree on."""

    def __init__(self, *, configured: int = 1) -> None:
        self.configured = configured
        self.farm_calls = Farm(farm=NETWORK.farm, token=NETWORK.token)
        self.agreed: ContractError | None = None
        self.shown: PailState | None = None
        self.decisions: list[Decision] = []
        self.asked: list[tuple[str, str]] = []
        self.pails: list[Place] = []

    def trusted(self, decision: Decision) -> "Chain":
        """As the chain's."""
        self.decisions.append(decision)
        return self

    async def refusal(self, load: Load, *, source: str) -> ContractError | None:
        """As the chain's."""
        (carried,) = load.carried_calls
        self.asked.append((carried.call.farmer, source))
        return self.agreed

    async def pail(self, farmer: str, index: int) -> PailState | None:
        """As the chain's."""
        self.pails.append((farmer, index))
        return self.shown


class Follower:
    """Shows the newest ledger."""

    async def refresh(self) -> Any:
        """As the follower's."""
        return chain_state()


def refuser(chain: Chain) -> Refuser:
    return Refuser(chain=cast(Any, chain), follower=cast(Any, Follower()))


def error(found: ContractError) -> SimulationError:
    return SimulationError(found, "no")


async def test_one_node_is_believed_where_there_is_one() -> None:
    chain, item = Chain(), operation()
    settled = await refuser(chain).settle(item, error(NOT_WORKED))
    assert (settled.operation_id, settled.event, settled.reason) == (item.id, E.FAIL, R.NOT_WORKED)
    assert (chain.decisions, chain.asked, chain.pails) == ([], [], [])


@pytest.mark.parametrize("configured", [2, 3])
async def test_several_nodes_have_to_agree_on_a_refusal(configured: int) -> None:
    chain, item = Chain(configured=configured), operation()
    chain.agreed = ContractError(raiser="farm", code="PailMissing")
    settled = await refuser(chain).settle(item, error(NOT_WORKED))
    assert settled.reason is R.NOT_PLANTED
    assert chain.decisions == [Decision.REFUSE_BY_SIMULATION]
    assert chain.asked == [(item.address, item.address)]


async def test_what_other_nodes_would_take_waits_for_the_next_ledger() -> None:
    chain, item = Chain(configured=2), operation()
    settled = await refuser(chain).settle(item, error(NOT_WORKED))
    assert (settled.event, settled.due_ledger) == (E.RETRY, LEDGER + 1)


async def test_a_plant_that_is_there_is_settled_by_its_pail() -> None:
    chain, item = Chain(), operation(K.PLANT, block=BLOCK, amount=5)
    chain.shown = PailState(sequence=90, stake=5, gap=None, zeros=None, live_until=10**6)
    settled = await refuser(chain).settle(item, error(PLANTED))
    assert (settled.event, settled.amount, settled.ledger) == (E.SUCCEED, 5, 90)
    assert chain.decisions == [Decision.SETTLE_BY_PAIL]
    assert chain.pails == [(item.address, BLOCK)]


@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        (K.PLANT, b"plant", [scval.to_int128(5)]),
        (K.WORK, b"work", [scval.to_bytes(b"h" * 32), scval.to_uint64(3)]),
        (K.HARVEST, b"harvest", [scval.to_uint32(BLOCK)]),
    ],
)
def test_an_operation_stands_for_one_call_of_the_farm(
    kind: OperationKind, name: bytes, arguments: list[xdr.SCVal]
) -> None:
    item = operation(kind, block=BLOCK, amount=5)
    if kind is K.WORK:
        item = replace(item, hash=b"h" * 32)
    call = call_of(cast(Any, Chain()), item)
    assert (call.farmer, call.block_index) == (item.address, BLOCK)
    assert call.invocation.function.encode() == name
    found = [xdr.SCVal.from_xdr_bytes(part) for part in call.invocation.arguments]
    assert found == [scval.to_address(item.address), *arguments]


@pytest.mark.parametrize("missing", ["hash", "nonce"])
def test_a_work_without_its_hash_or_nonce_is_no_call(missing: str) -> None:
    item = replace(operation(K.WORK, block=BLOCK), **cast(Any, {missing: None}))
    with pytest.raises(ValueError, match="has no hash"):
        call_of(cast(Any, Chain()), item)


@pytest.mark.parametrize("kind", [K.ONBOARD, K.OPEN_CHANNEL, K.OPEN_PAYER, K.TOP_UP, K.WITHDRAW])
def test_the_treasurys_and_payers_operations_are_no_calls(kind: OperationKind) -> None:
    with pytest.raises(ValueError, match="is no call of the farm"):
        call_of(cast(Any, Chain()), operation(kind))


def test_rounds_are_added_up_and_tell_what_is_missing() -> None:
    made, unused, waiting, lost = (operation() for _ in range(4))
    draft: Any = SimpleNamespace(operation_ids=(made.id,))
    dear: Any = SimpleNamespace(operation=lost)
    one = Round(drafts=(draft,), unused=(unused,)) + postponed([waiting], chain_state())
    assert one.missing([made, unused, waiting, lost]) == (lost,)
    whole = one + Round(too_dear=(dear,))
    assert whole.missing([made, unused, waiting, lost]) == ()
    assert (whole.drafts, whole.unused, whole.too_dear) == ((draft,), (unused,), (dear,))
    (settled,) = whole.settled
    assert (settled.operation_id, settled.event) == (waiting.id, E.RETRY)
    assert (settled.due_ledger, settled.pack_limit) == (LEDGER + 1, None)
    (fewer,) = postponed([waiting], chain_state(), pack_limit=2).settled
    assert fewer.pack_limit == 2
