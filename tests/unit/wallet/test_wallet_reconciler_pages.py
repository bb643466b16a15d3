"""Records against the chain, page by page: what is recorded, denied, told, and left for later."""

from dataclasses import replace
from typing import Any, cast

import pytest

from libs.common.ids import OperationId, new_id
from services.wallet.chain.errors import StaleAnswerError
from services.wallet.domain.chain_facts import PailState
from services.wallet.domain.foreign_harvests import ForeignHarvest
from services.wallet.domain.forgotten import Grown, reward_of
from services.wallet.domain.reconciling import Difference, Kept, Told
from services.wallet.domain.trust import Decision
from services.wallet.engine.reconcile.foreign_harvests import ForeignHarvests
from services.wallet.engine.reconcile.reconciler import Report
from services.wallet.store.reconcile import Denied
from tests.support.reconciling import (
    BLOCK,
    CURRENT,
    LEDGER,
    PLANTED,
    ReconcileWorld,
    balance,
    beside,
    kept,
    moving,
    pail,
    wallet,
)

D = Difference
#: A block that is closed.
CLOSED = CURRENT - 1


def harvested(number: int, minted: tuple[int, ...], *blocks: int) -> ForeignHarvest:
    """Return what a transaction of somebody else's did for a farmer."""
    return ForeignHarvest(
        address=f"G{number}",
        minted=minted,
        pails={block: pail(5, 4) for block in blocks},
        ledger=LEDGER - 3,
        transaction_hash="cafe",
    )


# Plants, works, harvests


async def test_records_that_agree_are_told_to_agree_again() -> None:
    world = ReconcileWorld(kept(1, stake=5, zeros=4), kept(2))
    world.show(1, pail(5, 4))
    assert await world.run() == Report(compared=2)
    assert world.kinds == []
    assert world.store.gone == [(CURRENT, [wallet(1), wallet(2)], [], "they agree again")]
    assert world.store.denied_by == []


@pytest.mark.parametrize(
    ("row", "shown", "kinds", "written"),
    [
        # While its block is open a pail may still grow.
        (kept(1), pail(5, 4), [D.PLANT_WITHOUT_RECORD, D.WORK_WITHOUT_RECORD], (1, 0, 0)),
        (
            kept(1, block=CLOSED),
            pail(5, 4),
            [D.PLANT_WITHOUT_RECORD, D.WORK_WITHOUT_RECORD],
            (1, 1, 1),
        ),
        (kept(1, block=CLOSED), pail(5), [D.PLANT_WITHOUT_RECORD], (1, 0, 0)),
        (kept(1, block=CLOSED, stake=5), pail(5, 4), [D.WORK_WITHOUT_RECORD], (0, 1, 1)),
        (kept(1, block=CLOSED, stake=5, zeros=3), pail(5, 4), [D.WORK_WITHOUT_RECORD], (0, 1, 0)),
        (kept(1, block=CLOSED, stake=6, zeros=4), pail(5, 4), [D.STAKE_DIFFERS], (0, 0, 0)),
        # What is on its way is compared the next time.
        (moving(kept(1, block=CLOSED)), pail(5, 4), [], (0, 0, 0)),
    ],
)
async def test_what_pails_show_is_recorded(
    row: Kept, shown: PailState, kinds: list[Difference], written: tuple[int, int, int]
) -> None:
    world = ReconcileWorld(row)
    world.show(1, shown, block=row.block_index)
    report = await world.run()
    store = world.store
    # Plants, works, and harvests that are queued.
    assert (len(store.planted), len(store.worked), len(store.queued)) == written
    assert world.kinds == [(kind, wallet(1)) for kind in kinds]
    assert report == Report(compared=1, found=len(kinds), settled=sum(written))
    # Who takes up harvests is woken.
    assert world.changes.count == written[2]
    assert store.gone == [(row.block_index, [wallet(1)], kinds, "they agree again")]


async def test_what_changed_while_it_was_compared_waits_for_the_next_run() -> None:
    first, second = kept(1), kept(2)
    world = ReconcileWorld(first, second)
    for number in (1, 2):
        world.show(number, pail())
    world.store.later = {wallet(1): replace(first, stake=5)}
    assert await world.run() == Report(compared=2, found=1, settled=1)
    assert world.store.planted == [wallet(2)]


async def test_pages_follow_one_another() -> None:
    world = ReconcileWorld(*(kept(number) for number in range(1, 251)))
    assert (await world.run()).compared == 250
    here = [(after, limit) for block, after, limit in world.store.asked if block == CURRENT]
    # Each page is read before and after the chain is; 100 farmers at once.
    assert here == [
        (None, 100),
        (wallet(0), 100),
        (wallet(100), 100),
        (wallet(100), 100),
        (wallet(200), 100),
        (wallet(200), 50),
        (wallet(250), 100),
    ]


async def test_the_next_block_is_compared_before_it_is_there_and_no_later_one() -> None:
    world = ReconcileWorld(kept(1, block=CURRENT + 1, stake=5), kept(2, block=CURRENT + 2, stake=5))
    assert (await world.run()).compared == 1
    assert CURRENT + 1 not in world.chain.blocks_read


async def test_a_block_that_has_expired_is_left_alone() -> None:
    world = ReconcileWorld(kept(1, stake=5), kept(2, block=CLOSED, stake=5))
    world.chain.expired = {CLOSED}
    assert (await world.run()).compared == 1


async def test_before_the_first_block_only_balances_are_compared() -> None:
    world = ReconcileWorld(kept(1, stake=5), current=None)
    assert await world.run() == Report()
    assert world.store.asked == []


async def test_reports_of_all_blocks_are_added_up() -> None:
    world = ReconcileWorld(kept(1), kept(2, block=CLOSED))
    world.show(1, pail())
    world.show(2, pail(), block=CLOSED)
    assert await world.run() == Report(compared=2, found=2, settled=2)


@pytest.mark.parametrize("is_shown", [True, False])
async def test_one_node_alone_has_nothing_recorded(is_shown: bool) -> None:
    world = ReconcileWorld(kept(1))
    world.show(1, pail())
    agreed = beside(world.chain)
    if not is_shown:
        agreed.pails_shown.clear()
    await world.run()
    assert Decision.RECORD_FOUND in world.chain.decisions
    assert world.store.planted == ([wallet(1)] if is_shown else [])
    assert len(world.kinds) == int(is_shown)


async def test_one_node_is_not_asked_twice_where_there_is_one() -> None:
    world = ReconcileWorld(kept(1))
    world.show(1, pail())
    world.store.balance_rows = [balance(1)]
    world.chain.kale = {"G1": 80}
    world.chain.foreign = StaleAnswerError("not yet")
    await world.run()
    assert world.store.planted == [wallet(1)]
    # Of one node, only the harvests that may explain the balance are asked.
    assert world.chain.decisions == [Decision.RECORD_FOUND]
    assert world.chain.account_reads == 1


async def test_what_was_settled_after_the_ledger_that_is_read_waits() -> None:
    world = ReconcileWorld(kept(1, block=CLOSED, ledger=LEDGER + 1))
    world.show(1, pail(5, 4), block=CLOSED)
    assert await world.run() == Report(compared=1)
    assert (world.store.queued, world.changes.count) == ([], 0)


async def test_several_nodes_are_not_asked_where_one_agrees_with_the_records() -> None:
    world = ReconcileWorld(kept(1, stake=5))
    world.show(1, pail())
    beside(world.chain).pails_shown.clear()
    assert await world.run() == Report(compared=1)
    assert world.kinds == []


# Harvests of others, and what never was


async def test_a_pail_that_somebody_else_harvested_explains_itself() -> None:
    world = ReconcileWorld(kept(1, block=CLOSED, stake=5, zeros=4), kept(2, block=CLOSED, stake=5))
    world.chain.foreign = [harvested(1, (105,), CLOSED)]
    report = await world.run()
    assert world.store.harvests == [(wallet(1), CLOSED)]
    assert world.chain.searches == [(PLANTED, ["G1", "G2"])]
    assert world.kinds == [
        (D.HARVEST_WITHOUT_RECORD, wallet(1)),
        (D.RECORD_WITHOUT_PLANT, wallet(2)),
    ]
    assert report == Report(compared=2, found=2, settled=1)
    told = world.store.findings[0]
    assert (told.block_index, told.recorded, told.on_chain) == (CLOSED, "nothing", "100")
    assert (CLOSED, [wallet(1)], [], "recorded") in world.store.gone
    # The other one is denied: all harvests since it was planted were told.
    assert world.store.denied_by == [(CLOSED, [D.RECORD_WITHOUT_PLANT], [])]


async def test_harvests_are_looked_for_from_the_earliest_plant_on() -> None:
    world = ReconcileWorld(
        kept(1, stake=5, planted_ledger=140), kept(2, stake=5, planted_ledger=130)
    )
    await world.run()
    assert world.chain.searches == [(130, ["G1", "G2"])]


@pytest.mark.parametrize(("oldest", "is_denied"), [(PLANTED, True), (PLANTED + 1, False)])
async def test_nothing_is_denied_while_nodes_may_have_forgotten_a_harvest(
    oldest: int, is_denied: bool
) -> None:
    world = ReconcileWorld(kept(1, stake=5))
    world.chain.oldest = oldest
    await world.run()
    assert bool(world.store.denied_by) is is_denied
    assert world.kinds == [(D.RECORD_WITHOUT_PLANT, wallet(1))]


async def test_nothing_is_denied_while_nodes_do_not_tell_of_harvests() -> None:
    world = ReconcileWorld(kept(1, stake=5))
    world.chain.foreign = StaleAnswerError("not yet")
    assert await world.run() == Report(compared=1, found=1)
    assert world.store.denied_by == []


async def test_a_work_is_denied_by_a_pail_although_old_ledgers_are_forgotten() -> None:
    world = ReconcileWorld(kept(1, stake=5, zeros=4))
    world.show(1, pail(5, 3))
    world.chain.oldest = LEDGER
    await world.run()
    assert world.store.denied_by == [(CURRENT, [D.RECORD_WITHOUT_WORK], [wallet(1)])]


def denied(source: str | None = "GA", sequence: int | None = 10) -> Denied:
    return Denied(id=OperationId(new_id()), source=source, sequence=sequence, ledger=0)


@pytest.mark.parametrize(
    ("undone", "number", "is_denied"),
    [
        # The number was not used: no ledger has its transaction.
        (denied(), 9, True),
        (denied(), 10, False),
        # No transaction, only a pail told of it.
        (denied(None, None), 99, True),
    ],
)
async def test_what_is_recorded_as_done_is_denied_by_an_unused_number(
    undone: Any, number: int, is_denied: bool
) -> None:
    world = ReconcileWorld(kept(1, stake=5))
    world.store.undone = [undone]
    world.chain.numbers = {"GA": number}
    report = await world.run()
    assert world.store.denials == ([undone] if is_denied else [])
    assert report == Report(compared=1, found=1, settled=int(is_denied))
    assert (Decision.RECORD_FOUND in world.chain.decisions) is True


async def test_only_those_that_never_were_are_denied() -> None:
    world = ReconcileWorld(kept(1, stake=5))
    never, done, told = denied("GA"), denied("GB"), denied(None, None)
    world.store.undone = [done, never, told]
    world.chain.numbers = {"GA": 9, "GB": 10}
    await world.run()
    assert world.store.denials == [never, told]


# Events


def told(number: int, **fields: Any) -> Told:
    values: dict[str, Any] = {"stake": None, "zeros": None, "is_harvested": False}
    return Told(wallet_id=wallet(number), is_fresh=False, **{**values, **fields})


async def test_events_are_compared_where_operations_agree() -> None:
    world = ReconcileWorld(kept(1, stake=5), kept(2, stake=5), kept(3))
    world.show(1, pail())
    world.show(3, pail())
    world.store.events = {wallet(number): told(number) for number in (1, 2, 3)}
    await world.run()
    # Where operations differ, their differences tell all.
    assert sorted(world.kinds, key=str) == sorted(
        [
            (D.PLANT_WITHOUT_EVENT, wallet(1)),
            (D.RECORD_WITHOUT_PLANT, wallet(2)),
            (D.PLANT_WITHOUT_RECORD, wallet(3)),
        ],
        key=str,
    )


# Balances


async def test_balances_that_agree_are_counted_in() -> None:
    world = ReconcileWorld(current=None)
    world.store.balance_rows = [balance(1), balance(2, since=None)]
    assert await world.run() == Report()
    assert world.store.saved == {wallet(1): (50, LEDGER), wallet(2): (50, LEDGER)}
    assert world.store.gone == [(0, [wallet(1), wallet(2)], [], "counted in")]
    assert world.kinds == []


@pytest.mark.parametrize(
    "fields", [{"is_moving": True}, {"ledger": LEDGER + 1}, {"moved": 30, "changes": True}]
)
async def test_a_balance_that_moves_waits_for_the_next_run(fields: dict[str, Any]) -> None:
    world = ReconcileWorld(current=None)
    if fields.pop("changes", False):
        world.store.later = {wallet(1): balance(1, **fields)}
        fields = {}
    world.store.balance_rows = [balance(1, **fields), balance(2)]
    world.chain.kale = {"G1": 80}
    assert await world.run() == Report()
    assert world.store.saved == {wallet(2): (50, LEDGER)}


async def test_a_balance_that_was_settled_in_the_ledger_that_is_read_counts() -> None:
    world = ReconcileWorld(current=None)
    world.store.balance_rows = [balance(1, ledger=LEDGER, moved=30)]
    world.chain.kale = {"G1": 80}
    await world.run()
    assert world.store.saved == {wallet(1): (80, LEDGER)}


async def test_harvests_of_others_explain_balances() -> None:
    world = ReconcileWorld(current=None)
    world.store.balance_rows = [balance(1, since=100), balance(2, since=90), balance(3)]
    world.chain.kale = {"G1": 155, "G2": 60}
    world.chain.foreign = [harvested(1, (105,), CLOSED)]
    report = await world.run()
    # The first page is compared again with what was recorded; from the earliest look on.
    assert world.chain.searches == [(91, ["G1", "G2"])] * 2
    assert world.store.harvests == [(wallet(1), CLOSED)]
    assert report == Report(found=3, settled=1)


async def test_a_balance_is_confirmed_by_several_nodes() -> None:
    world = ReconcileWorld(current=None)
    world.store.balance_rows = [balance(1), balance(2)]
    world.chain.kale = {"G1": 80}
    agreed = beside(world.chain)
    agreed.kale, agreed.ledger = {}, LEDGER + 1
    assert await world.run() == Report()
    assert world.store.saved == {wallet(1): (50, LEDGER + 1), wallet(2): (50, LEDGER + 1)}


async def test_balances_of_which_none_differs_are_not_read_again() -> None:
    world = ReconcileWorld(current=None)
    world.store.balance_rows = [balance(1), balance(2)]
    beside(world.chain).kale = {"G1": 80}
    assert await world.run() == Report()
    assert world.store.saved == {wallet(1): (50, LEDGER), wallet(2): (50, LEDGER)}


async def test_balances_follow_page_by_page() -> None:
    world = ReconcileWorld(current=None)
    world.store.balance_rows = [balance(number) for number in range(1, 206)]
    await world.run()
    assert len(world.store.saved) == 205
    assert [len(wallets) for _, wallets, _, _ in world.store.gone] == [100, 100, 5]


# Foreign harvests of several blocks


@pytest.mark.parametrize("is_there", [True, False])
async def test_several_harvests_of_one_transaction_are_told_apart_by_their_blocks(
    is_there: bool,
) -> None:
    world = ReconcileWorld(kept(1, block=CLOSED, stake=5))
    reward = reward_of(BLOCK, Grown(stake=5, gap=3, zeros=4))
    # The stake of a block that has expired came back, and no reward.
    minted = (reward + 5, 5)
    world.chain.foreign = [harvested(1, minted, CLOSED, 2), harvested(1, (7,), 3)]
    world.chain.expired = {2} if is_there else {2, CLOSED}
    await ForeignHarvests(cast(Any, world.chain), cast(Any, world.store)).record(
        {"G1": wallet(1)}, first=1
    )
    both = [(wallet(1), CLOSED), (wallet(1), 2)] if is_there else []
    assert world.store.harvests == [*both, (wallet(1), 3)]
    # A single pail needs no block.
    assert sorted(world.chain.blocks_read) == [2, CLOSED]
