"""What harvests paid, by what was minted and which pails went."""

from dataclasses import replace
from typing import TypeVar, cast

import pytest
from stellar_sdk import Keypair, StrKey, scval

from services.wallet.chain.errors import StaleAnswerError
from services.wallet.chain.node.questions import Question
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read.foreign_harvests import read_foreign_harvests
from services.wallet.domain.chain_facts import BlockState, LedgerHead, PailState
from services.wallet.domain.foreign_harvests import ForeignHarvest, PaidHarvest, paid_harvests
from services.wallet.domain.forgotten import Grown, reward_of

T = TypeVar("T")
TOKEN = StrKey.encode_contract(bytes(32))


def block(index: int) -> BlockState:
    """One whose rewards differ from those of its neighbours."""
    return BlockState(
        index=index,
        timestamp=1,
        entropy=bytes(32),
        min_gap=1,
        max_gap=40,
        min_stake=0,
        max_stake=1000,
        min_zeros=0,
        max_zeros=8,
        staked_total=0,
        normalized_total=10_000 * index,
        live_until=9_999,
        modified=5,
    )


def pail(stake: int, *, is_worked: bool = True) -> PailState:
    gap, zeros = (7, 5) if is_worked else (None, None)
    return PailState(sequence=100, stake=stake, gap=gap, zeros=zeros, live_until=0)


def foreign_harvest(minted: tuple[int, ...], pails: dict[int, PailState]) -> ForeignHarvest:
    return ForeignHarvest(
        address="G", minted=minted, pails=pails, ledger=300, transaction_hash="ab"
    )


def paid(index: int, stake: int) -> int:
    return reward_of(block(index), Grown(stake=stake, gap=7, zeros=5))


BLOCKS = {4: block(4), 5: block(5)}


def test_one_mint_is_the_one_pails_reward_and_stake() -> None:
    """What the token paid counts, not what the formula says; the block may have expired."""
    found = paid_harvests(foreign_harvest((130,), {5: pail(30)}), {})
    assert list(found) == [PaidHarvest(block_index=5, reward=100, stake=30)]


def test_a_harvest_may_give_back_the_stake_and_nothing_else() -> None:
    found = paid_harvests(foreign_harvest((30,), {5: pail(30)}), {})
    assert list(found) == [PaidHarvest(block_index=5, reward=0, stake=30)]


def test_of_several_the_formula_tells_which_is_whose() -> None:
    minted = (paid(5, 30) + 30, paid(4, 0))
    found = paid_harvests(foreign_harvest(minted, {4: pail(0), 5: pail(30)}), BLOCKS)
    assert list(found) == [
        PaidHarvest(block_index=4, reward=paid(4, 0), stake=0),
        PaidHarvest(block_index=5, reward=paid(5, 30), stake=30),
    ]


@pytest.mark.parametrize(
    ("minted", "pails"),
    [
        ((29,), {5: pail(30)}),
        ((1, 2), {5: pail(30)}),
        ((130, 2), {5: pail(30)}),
        ((1,), {}),
        ((1, 2), {4: pail(0), 5: pail(30)}),
        ((paid(5, 30) + 30,), {4: pail(0), 5: pail(30)}),
    ],
)
def test_what_does_not_add_up_is_left_alone(
    minted: tuple[int, ...], pails: dict[int, PailState]
) -> None:
    assert not list(paid_harvests(foreign_harvest(minted, pails), BLOCKS))


@pytest.mark.parametrize("missing", ["gap", "zeros"])
def test_half_a_work_pays_no_reward(missing: str) -> None:
    half = replace(pail(30), **{missing: None})  # type: ignore[arg-type]
    found = paid_harvests(foreign_harvest((30, paid(5, 0)), {4: half, 5: pail(0)}), BLOCKS)
    assert [(item.block_index, item.reward) for item in found] == [(4, 0), (5, paid(5, 0))]


def test_a_reward_may_be_as_much_as_the_stake() -> None:
    stake = paid(4, 10**9)
    assert paid(4, stake) == stake
    minted = (2 * stake, paid(5, 0))
    assert len(paid_harvests(foreign_harvest(minted, {4: pail(stake), 5: pail(0)}), BLOCKS)) == 2


def test_a_pail_that_paid_nothing_was_not_minted_for() -> None:
    pails = {4: pail(0, is_worked=False), 5: pail(30)}
    found = paid_harvests(foreign_harvest((paid(5, 30) + 30,), pails), BLOCKS)
    assert [(item.block_index, item.reward) for item in found] == [(4, 0), (5, paid(5, 30))]


def test_without_its_block_nothing_is_guessed() -> None:
    minted = (paid(4, 0), paid(5, 30) + 30)
    assert not list(
        paid_harvests(foreign_harvest(minted, {4: pail(0), 5: pail(30)}), {4: block(4)})
    )


class Nodes:
    """One node tells of a mint; the next one has the transaction as `status` says."""

    def __init__(self, status: str) -> None:
        self._status = status

    async def head(self) -> LedgerHead:
        """The first one's."""
        return LedgerHead(sequence=300, close_time=1, oldest=200)

    async def ask(self, question: Question[T]) -> T:
        """Its answers."""
        if question.method == "getTransaction":
            return question.decode({"status": self._status})
        assert question.parameters["startLedger"] == 250
        ((mint, farmer, _),) = question.parameters["filters"][0]["topics"]
        event = {
            "topic": [mint, farmer, ""],
            "contractId": TOKEN,
            "ledger": 260,
            "txHash": "ab" * 32,
            "value": scval.to_int128(5).to_xdr(),
        }
        page = {"events": [event], "cursor": f"{300 << 32}-0", "latestLedger": 300}
        return question.decode(page)


async def read(status: str) -> list[ForeignHarvest]:
    farmer = Keypair.random().public_key
    nodes = cast(Rpc, Nodes(status))
    return await read_foreign_harvests(nodes, [farmer], farm=TOKEN, token=TOKEN, first=250)


async def test_a_transaction_that_one_node_does_not_have_yet_is_asked_for_again() -> None:
    with pytest.raises(StaleAnswerError):
        await read("NOT_FOUND")


async def test_what_failed_took_nothing() -> None:
    assert await read("FAILED") == []
