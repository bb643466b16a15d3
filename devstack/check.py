"""The verdict on a run: PostgreSQL's events equal the chain, farmer by farmer, stroop by stroop."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg
from stellar_sdk import Asset

from devstack.chain_view import ChainView, read_kale_balances
from devstack.stack import Stack
from libs.common.db.queries import load_queries
from libs.kale.networks import NETWORKS

#: Errors that mean that PostgreSQL is away: it restarts, or ends its sessions. The last two are the
#: client's own, when that happens in the middle of a message.
AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
#: Seconds in which records that are on their way may still arrive before the verdict, besides what
#: KALE from outside takes.
SETTLE_SECONDS = 20.0
#: Seconds of that at most: a pool that never books it (a bench's) is not waited for.
_DEPOSITS = 60.0
#: Accounts of the ledger whose KALE lies in farmers' accounts on the chain: what is theirs, and
#: fees that nobody has paid yet, less what was moved into poolers' accounts.
HELD = (
    "farmer:available",
    "farmer:pending_out",
    "pooler:fee",
    "operator:fee",
    "miner:earned",
    "chain:moved",
)
_QUERIES = load_queries(Path(__file__).parent / "check.sql")


@dataclass(kw_only=True)
class FarmerRow:
    """One farmer's figures over all blocks, as the pool recorded them."""

    #: UUID of the farmer.
    farmer_id: UUID
    #: Its address.
    address: str
    #: Stroops of KALE that came to it from outside, less what left the pool.
    funded: int = 0
    #: Stroops of KALE that were moved from it into its pooler's account.
    collected: int = 0
    #: Stroops of KALE staked, over all blocks.
    staked: int = 0
    #: Leading zeros of its best work, over all blocks.
    zeros: int = 0
    #: Gap of its last work in ledgers.
    gap: int = 0
    #: Stroops of KALE earned.
    reward: int = 0
    #: Stroops of KALE that came back as stake.
    stake_returned: int = 0
    #: Stroops of KALE on the chain.
    balance: int = 0


@dataclass(kw_only=True)
class Verdict:
    """The result of the comparison."""

    #: One row per farmer, in the order of registration.
    farmers: list[FarmerRow]
    #: Events compared.
    compared: int
    #: Every difference in words; empty means equal.
    differences: list[str] = field(default_factory=list)
    #: What the accounts of the pool's ledger have together, in stroops of KALE, by their roles.
    ledger: dict[str, int] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Tell whether there was something to compare and no difference."""
        return self.compared > 0 and not self.differences


async def has_seen_kale(admin_dsn: str) -> bool:
    """Tell whether the pool has seen KALE on every farmer's account, so that all of them stake.

    Return False while PostgreSQL is away.
    """
    try:
        connection = await asyncpg.connect(admin_dsn)
        try:
            return bool(await connection.fetchval(_QUERIES["without_kale"].sql) == 0)
        finally:
            await connection.close()
    except AWAY:
        return False


async def compare(
    admin_dsn: str,
    rpc_url: str,
    asset: Asset,
    funded: Mapping[str, int],
    chain: ChainView,
    *,
    collected: Mapping[str, int] | None = None,
) -> Verdict:
    """Compare all that is recorded with all that was read from the chain.

    `funded` is what each address was given from outside, less what left the pool, and `collected`
    what was moved from it into its pooler's account, in stroops.
    """
    connection = await asyncpg.connect(admin_dsn)
    try:
        rows = await connection.fetch(_QUERIES["farmers"].sql)
        farmers = {
            row["address"]: FarmerRow(
                farmer_id=row["farmer_id"],
                address=row["address"],
                funded=funded.get(row["address"], 0),
                collected=(collected or {}).get(row["address"], 0),
            )
            for row in rows
        }
        verdict = Verdict(farmers=list(farmers.values()), compared=0)
        await _compare_events(connection, chain, farmers, verdict)
        on_chain = await read_kale_balances(rpc_url, farmers, asset)
        booked = await connection.fetch(_QUERIES["balances"].sql)
        odd_sums = await connection.fetch(_QUERIES["odd_sums"].sql)
        held = await connection.fetch(_QUERIES["held"].sql)
        sums = await connection.fetch(_QUERIES["ledger"].sql)
    finally:
        await connection.close()
    _compare_balances(verdict, on_chain, {row["farmer_id"]: row["total_rewards"] for row in booked})
    verdict.ledger = {row["role"]: int(row["amount"]) for row in sums}
    _compare_ledger(
        verdict,
        {
            row["farmer_id"]: (int(row["held"]), int(row["from_outside"]), int(row["collected"]))
            for row in held
        },
        open_stakes(chain, farmers),
    )
    verdict.differences += [
        f"sum of {row['what']}: kept {row['kept']}, the records give {row['told']}"
        for row in odd_sums
    ]
    return verdict


def settle_seconds(stack: Stack) -> float:
    """Return the seconds after which all that is on its way has been recorded, or never will be."""
    deposits = stack.deposit_seconds
    return SETTLE_SECONDS + (deposits if deposits <= _DEPOSITS else 0)


async def settled_verdict(
    stack: Stack,
    funded: Mapping[str, int],
    read: Callable[[], Awaitable[ChainView]],
    *,
    collected: Mapping[str, int] | None = None,
) -> Verdict:
    """Compare records and chain once nothing changes any more.

    Events are recorded after the ledger. `read` returns the chain as it is now; `funded` and
    `collected` are those of `compare`.
    """
    code, _, issuer = NETWORKS["localnet"].asset.partition(":")
    deadline = asyncio.get_running_loop().time() + settle_seconds(stack)
    while True:
        is_late = asyncio.get_running_loop().time() > deadline
        try:
            chain = await read()
            verdict = await compare(
                stack.admin_dsn,
                stack.rpc_url,
                Asset(code, issuer),
                funded,
                chain,
                collected=collected,
            )
        except AWAY:
            if is_late:
                raise
        else:
            if verdict.equal or is_late:
                return verdict
        await asyncio.sleep(1)


async def _compare_events(
    connection: "asyncpg.Connection[asyncpg.Record]",
    chain: ChainView,
    farmers: Mapping[str, FarmerRow],
    verdict: Verdict,
) -> None:
    plants = {
        (row["address"], row["block_index"]): (row["stake_amount"], row["ledger"])
        for row in await connection.fetch(_QUERIES["plantings"].sql)
    }
    works = {
        (row["address"], row["block_index"]): (row["zeros"], row["gap"])
        for row in await connection.fetch(_QUERIES["works"].sql)
    }
    harvests = {
        (row["address"], row["block_index"]): (row["reward_amount"], row["stake_returned"])
        for row in await connection.fetch(_QUERIES["harvests"].sql)
    }
    chain_plants = {
        key: (plant.stake, plant.ledger) for key, plant in chain.plants.items() if key[0] in farmers
    }
    chain_works = {
        key: (work.zeros, work.gap) for key, work in chain.works.items() if key[0] in farmers
    }
    chain_harvests = {
        key: (reward, chain_plants[key][0])
        for key, reward in chain.harvests.items()
        if key[0] in farmers
    }
    _compare(verdict, "plant (stake, ledger)", plants, chain_plants)
    _compare(verdict, "work (zeros, gap)", works, chain_works)
    _compare(verdict, "harvest (reward, stake)", harvests, chain_harvests)
    _sum_up(farmers, plants, works, harvests)


_Events = Mapping[tuple[str, int], tuple[int, int]]


def _compare(verdict: Verdict, what: str, events: _Events, chain: _Events) -> None:
    for key in sorted(events.keys() | chain.keys()):
        verdict.compared += 1
        if events.get(key) != chain.get(key):
            address, block = key
            verdict.differences.append(
                f"{what} of {address} in block {block}: "
                f"recorded {events.get(key)}, on the chain {chain.get(key)}"
            )


def _sum_up(
    farmers: Mapping[str, FarmerRow], plants: _Events, works: _Events, harvests: _Events
) -> None:
    for (address, _), (stake, _) in plants.items():
        farmers[address].staked += stake
    for (address, _), (zeros, gap) in sorted(works.items()):
        farmers[address].zeros = max(farmers[address].zeros, zeros)
        farmers[address].gap = gap
    for (address, _), (reward, returned) in harvests.items():
        farmers[address].reward += reward
        farmers[address].stake_returned += returned


def open_stakes(chain: ChainView, addresses: Container[str]) -> int:
    """Return the stroops that these farmers have staked and not got back."""
    return sum(
        plant.stake
        for place, plant in chain.plants.items()
        if place[0] in addresses and place not in chain.harvests
    )


def _compare_ledger(
    verdict: Verdict, held: Mapping[UUID, tuple[int, int, int]], staked: int
) -> None:
    """Compare the ledger with the chain: farmer by farmer, and all of it together."""
    for farmer in verdict.farmers:
        told, from_outside, collected = held.get(farmer.farmer_id, (0, 0, 0))
        if told != farmer.balance:
            verdict.differences.append(
                f"account of {farmer.address}: the ledger says {told}, the chain {farmer.balance}"
            )
        if from_outside != farmer.funded:
            verdict.differences.append(
                f"KALE from outside of {farmer.address}: the ledger says {from_outside}, "
                f"it was {farmer.funded}"
            )
        if collected != farmer.collected:
            verdict.differences.append(
                f"fees that {farmer.address} moved to its pooler: the ledger says {collected}, "
                f"it was {farmer.collected}"
            )
    in_accounts = sum(verdict.ledger.get(role, 0) for role in HELD)
    on_chain = sum(farmer.balance for farmer in verdict.farmers)
    if in_accounts != on_chain:
        verdict.differences.append(
            f"the ledger has {in_accounts} in farmers' accounts, the chain {on_chain}"
        )
    if verdict.ledger.get("farmer:staked", 0) != staked:
        verdict.differences.append(
            f"the ledger has {verdict.ledger.get('farmer:staked', 0)} staked, the chain {staked}"
        )


def _compare_balances(
    verdict: Verdict, on_chain: Mapping[str, int], booked: Mapping[UUID, int]
) -> None:
    for farmer in verdict.farmers:
        farmer.balance = on_chain.get(farmer.address, 0)
        given = farmer.funded - farmer.collected
        expected = given - farmer.staked + farmer.stake_returned + farmer.reward
        if farmer.balance != expected:
            verdict.differences.append(
                f"balance of {farmer.address}: events give {expected}, the chain {farmer.balance}"
            )
        if booked.get(farmer.farmer_id, 0) != farmer.reward:
            verdict.differences.append(
                f"booked balance of {farmer.farmer_id}: {booked.get(farmer.farmer_id, 0)}, "
                f"its harvests give {farmer.reward}"
            )
