"""The chain as the wallet's use cases see it: a few verbs, the model in and out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from stellar_sdk import xdr

from libs.common.errors import PoolError
from services.wallet.chain import ledger_keys
from services.wallet.chain.account_bytes import (
    AccountFields,
    TrustlineFields,
    read_account,
    read_trustline,
)
from services.wallet.chain.calls import Farm
from services.wallet.chain.deploy import DeploymentStep, sign_step, unsigned_step
from services.wallet.chain.endpoints import HEDGE, Endpoints, open_endpoints
from services.wallet.chain.entries import account_state, decode_block, decode_farm, decode_pail
from services.wallet.chain.envelopes import (
    Terms,
    raise_bid,
    replacing_bid,
    sign_bumped,
    sign_direct,
    unsigned,
)
from services.wallet.chain.errors import SimulationError, StaleAnswerError
from services.wallet.chain.health import EndpointStatus
from services.wallet.chain.included import Included, outcome_question, read_included
from services.wallet.chain.ledger_entries import Entry, Reader
from services.wallet.chain.limits import limits_question
from services.wallet.chain.loads import Load, authorize
from services.wallet.chain.model import (
    AccountState,
    BlockState,
    FarmState,
    LedgerHead,
    Outcome,
    PailState,
    SendResult,
    SignedEnvelope,
    Signer,
)
from services.wallet.chain.networks import Network, verify
from services.wallet.chain.onboarding import Funding, Newcomer, sign_funding, sign_onboarding
from services.wallet.chain.payouts import Payment, memo_key, sign_payments, wants_memo
from services.wallet.chain.questions import INCLUSION_FEE
from services.wallet.chain.results import Refusal, ResultReader
from services.wallet.chain.rpc import Rpc
from services.wallet.chain.shapes import Seat, Shape, ShapeReader, exactly
from services.wallet.chain.simulations import preparation, simulation
from services.wallet.chain.takings import read_takings
from services.wallet.chain.wire import Resources
from services.wallet.domain.packing import Limits
from services.wallet.domain.takings import Taking
from services.wallet.domain.withdrawals import Asset, Destination

T = TypeVar("T")

#: A pail's place: the farmer's address and the block's index.
Place = tuple[str, int]
#: What an address has of an asset.
Holding = tuple[str, Asset]


@dataclass(frozen=True, kw_only=True)
class Bid:
    """What one envelope may cost and how long it lives."""

    #: Close time (unix seconds) after which no ledger may take it.
    max_time: int
    #: Stroops bid per operation for inclusion.
    inclusion_fee: int
    #: Stroops that the network may charge at most.
    max_fee: int


class Chain:
    """One network through its endpoints, or through one of them."""

    def __init__(self, network: Network, rpc: Endpoints | Rpc) -> None:
        self.network = network
        self._rpc = rpc
        self._reader = ResultReader(farm=network.farm, token=network.token)
        self.farm_calls = Farm(farm=network.farm, token=network.token)
        self._asset = network.asset.to_trust_line_asset_xdr_object().to_xdr_bytes()
        self._shapes = ShapeReader(self.farm_calls, asset=self._asset)
        #: The block that was running when the farm was last read: it is likely to be still.
        self._running = 0

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator["Chain"]:
        """The same chain through one endpoint, for requests that must be answered by one node, such
        as those of a proof. When it fails, no other one steps in."""
        async with self._rpc.pinned() as rpc:
            chain = copy(self)
            chain._rpc = rpc
            yield chain

    def endpoints(self) -> list[EndpointStatus]:
        """How each endpoint is doing, in the order of the settings."""
        return self._rpc.statuses()

    async def verify(self) -> None:
        """Raises NetworkMismatchError unless the node has our network, farm and token."""
        passphrase = await self._rpc.passphrase()
        verify(self.network, passphrase=passphrase, farm=await self.farm())

    async def head(self) -> LedgerHead:
        """The latest ledger."""
        return await self._rpc.head()

    async def inclusion_fee(self) -> int:
        """Stroops that get a contract call in at the moment."""
        return await self._rpc.ask(INCLUSION_FEE)

    async def farm(self) -> FarmState | None:
        """The farm and its running block, as of one ledger; None when there is no farm."""
        key, running = ledger_keys.farm_key(self.network.farm), self._running
        while True:
            block_key = ledger_keys.block_key(self.farm_calls, running)
            readers: dict[str, Reader[tuple[FarmState, int] | BlockState]] = {
                key: _farm,
                block_key: partial(_block, running),
            }
            _, found = await self._rpc.entries(readers)
            farm, block = found.get(key), found.get(block_key)
            if not isinstance(farm, tuple):
                return None
            state, index = farm
            if index == running:
                self._running = running
                return replace(state, block=block if isinstance(block, BlockState) else None)
            running = index  # again, so that both are of one ledger

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """The ledger that was read, and accounts with trustlines in the order of `addresses`."""
        keys = {
            address: (
                ledger_keys.account_key(address),
                ledger_keys.trustline_key(address, self._asset),
            )
            for address in addresses
        }
        readers: dict[str, Reader[AccountFields | TrustlineFields]] = {}
        for account, line in keys.values():
            readers |= {account: _account, line: _trustline}
        ledger, found = await self._rpc.entries(readers)
        return ledger, [
            account_state(address, found.get(account), found.get(line))
            for address, (account, line) in keys.items()
        ]

    async def destinations(self, addresses: Sequence[str]) -> dict[str, Destination]:
        """Accounts that withdrawals are to go to, by address."""
        _, states = await self.accounts(addresses)
        keys = {state.address: memo_key(state.address) for state in states}
        _, memos = await self._rpc.entries(dict.fromkeys(keys.values(), _memo))
        return {
            state.address: Destination(
                account=state, wants_memo=memos.get(keys[state.address], False)
            )
            for state in states
        }

    async def pail(self, farmer: str, index: int) -> PailState | None:
        """A farmer's pail in a block; None when it never planted, has harvested, or it expired."""
        return (await self.pails([(farmer, index)])).get((farmer, index))

    async def block(self, index: int) -> BlockState | None:
        """A block's record, also after it closed; None when it expired or never was."""
        key = ledger_keys.block_key(self.farm_calls, index)
        ledger, found = await self._rpc.entries({key: partial(_block, index)})
        block = found.get(key)
        return None if block is None or block.live_until < ledger else block

    async def pails(self, places: Sequence[Place]) -> dict[Place, PailState]:
        """The pails at these places (farmer's address, block index); missing ones are absent."""
        keys = {ledger_keys.pail_key(self.farm_calls, *place): place for place in places}
        ledger, found = await self._rpc.entries(dict.fromkeys(keys, _pail))
        return {keys[key]: pail for key, pail in found.items() if pail.live_until >= ledger}

    async def takings(self, addresses: Sequence[str], *, first: int) -> list[Taking]:
        """Harvests of these farmers, by whomever, from ledger `first` on, as far back as the node
        remembers."""
        farm, token = self.network.farm, self.network.token
        return await read_takings(self._rpc, addresses, farm=farm, token=token, first=first)

    async def last_changes(self, holdings: Sequence[Holding]) -> tuple[int, dict[Holding, int]]:
        """The ledger that was read, and those that last changed accounts (of XLM) or trustlines (of
        KALE); what is not there is absent."""
        keys = {
            (address, asset): ledger_keys.trustline_key(address, self._asset)
            if asset is Asset.KALE
            else ledger_keys.account_key(address)
            for address, asset in holdings
        }
        ledger, found = await self._rpc.entries(dict.fromkeys(keys.values(), _modified))
        return ledger, {holding: found[key] for holding, key in keys.items() if key in found}

    async def sequences(self, addresses: Sequence[str]) -> tuple[int, dict[str, int]]:
        """The ledger that was read, and the last used sequence numbers of those that exist."""
        keys = {address: ledger_keys.account_key(address) for address in addresses}
        ledger, found = await self._rpc.entries(dict.fromkeys(keys.values(), _account))
        return ledger, {
            address: found[key].sequence for address, key in keys.items() if key in found
        }

    async def limits(self) -> Limits:
        """The network's limits for contract calls."""
        return await self._rpc.ask(limits_question())

    async def simulate(self, load: Load, *, source: str) -> Shape:
        """What a load needs, found by a simulation; good for all loads of its kind.

        SimulationError: the call would fail, or one call of a multicall would. UnderivableError:
        what was found holds for this very load only; see `simulate_exactly`.
        """
        data, fee = await self._simulate(load, source)
        return self._shapes.learn(data, fee, load.seats)

    async def simulate_exactly(self, load: Load, *, source: str) -> Resources:
        """The resources of this very load, without any derivation. SimulationError as above."""
        data, fee = await self._simulate(load, source)
        return exactly(data, fee)

    def resources(self, shape: Shape, load: Load) -> Resources:
        """What another load of the same kind needs."""
        return self._shapes.apply(shape, load.seats)

    def sign_bumped(
        self,
        load: Load,
        resources: Resources,
        *,
        source: Signer,
        treasury: Signer,
        sequence: int,
        bid: Bid,
    ) -> SignedEnvelope:
        """A farmer's transaction under the treasury's fee bump. FeeCapExceededError."""
        return sign_bumped(
            load,
            source=source,
            payer=treasury,
            sequence=sequence,
            terms=self._terms(bid),
            resources=resources,
        )

    def sign_direct(
        self, load: Load, resources: Resources, *, source: Signer, sequence: int, bid: Bid
    ) -> SignedEnvelope:
        """A channel account's transaction, which it pays for itself. FeeCapExceededError."""
        return sign_direct(
            load,
            source=source,
            sequence=sequence,
            terms=self._terms(bid),
            resources=resources,
        )

    def authorize(self, seat: Seat, signer: Signer, *, expiration: int) -> bytes:
        """A farmer's signed authorisation of its call, good until a ledger."""
        network_id = self.network.id
        return authorize(seat, signer, network_id=network_id, expiration=expiration)

    def sign_onboarding(
        self, newcomers: Sequence[Newcomer], *, treasury: Signer, sequence: int, bid: Bid
    ) -> SignedEnvelope:
        """A transaction that brings up to 19 farmers onto the chain."""
        return sign_onboarding(
            newcomers,
            treasury=treasury,
            sequence=sequence,
            asset=self.network.asset,
            terms=self._terms(bid),
        )

    async def lives(self, keys: Sequence[str]) -> dict[str, int]:
        """Ledgers that are left to those of these entries (LedgerKeys, base64) that exist."""
        ledger, found = await self._rpc.entries(dict.fromkeys(keys, _live_until))
        left = {key: until - ledger for key, until in found.items()}
        return {key: ledgers for key, ledgers in left.items() if ledgers >= 0}

    async def sign_deployment(
        self,
        step: DeploymentStep,
        *,
        treasury: Signer,
        sequence: int,
        max_time: int,
        inclusion_fee: int,
        max_fee: int,
    ) -> SignedEnvelope:
        """A step of a deployment, simulated and signed. SimulationError, FeeCapExceededError."""
        unsigned = unsigned_step(step, sequence=sequence, max_time=max_time)
        prepared = _unless_refused(await self._rpc.ask(preparation(self._reader, unsigned)))
        return sign_step(
            step,
            treasury=treasury,
            sequence=sequence,
            max_time=max_time,
            inclusion_fee=inclusion_fee,
            max_fee=max_fee,
            prepared=prepared,
        )

    def sign_funding(
        self, fundings: Sequence[Funding], *, treasury: Signer, sequence: int, bid: Bid
    ) -> SignedEnvelope:
        """A transaction that makes or tops up to 100 channel accounts."""
        return sign_funding(fundings, treasury=treasury, sequence=sequence, terms=self._terms(bid))

    def sign_payments(
        self, payments: Sequence[Payment], *, treasury: Signer, sequence: int, bid: Bid
    ) -> SignedEnvelope:
        """A transaction that pays up to 19 withdrawals."""
        return sign_payments(
            payments,
            treasury=treasury,
            sequence=sequence,
            kale=self.network.asset,
            terms=self._terms(bid),
        )

    def raise_bid(
        self, envelope: str, *, treasury: Signer, fee: int, max_fee: int
    ) -> SignedEnvelope | None:
        """The same inner transaction under a fee bump that bids `fee` stroops in all.

        At most one of the two can be included. None when the envelope bids that much already.
        FeeCapExceededError when `fee` exceeds `max_fee`.
        """
        return raise_bid(
            envelope,
            passphrase=self.network.passphrase,
            payer=treasury,
            fee=fee,
            max_fee=max_fee,
        )

    def replacing_bid(self, envelope: str) -> int:
        """Stroops that `raise_bid` needs to replace an envelope that is stuck in a queue."""
        return replacing_bid(envelope, passphrase=self.network.passphrase)

    async def send(self, envelopes: Sequence[str]) -> list[SendResult | PoolError]:
        """Hands envelopes to the network, which takes or refuses each for itself; what became of
        each in their order. RpcUnavailableError: it may have been taken."""
        return await self._rpc.send(envelopes)

    async def outcome(self, tx_hash: str, functions: Sequence[str]) -> Outcome:
        """What the node knows of a transaction (of a fee bump by either hash) that calls these."""
        return await self._rpc.ask(outcome_question(self._reader, tx_hash, functions))

    async def included(self, first: int, wanted: Mapping[str, Sequence[str]]) -> Included:
        """What the ledgers from `first` on have of these transactions: their hashes (of a fee bump:
        the outer one) with the functions that they call."""
        return await self._rpc.read(lambda node: read_included(node, self._reader, first, wanted))

    async def ledger_of_use(self, *, source: str, sequence: int, head: LedgerHead) -> int | None:
        """The ledger that used a sequence number; None when it is unused: with a head that closed
        past the bound, the second half of the proof of STELLAR.md section 1.

        `head` must have been shown before this is asked, and the number is read at a ledger not
        older than that: if it is still below the envelope's, no ledger took the envelope and none
        may. That is one node's one answer, so it holds behind a load balancer and in whatever order
        a node reads. StaleAnswerError when the answer is older than `head`: it says nothing either
        way.
        """
        ledger, (state,) = await self.accounts([source])
        if ledger < head.sequence:
            raise StaleAnswerError(f"ledger {ledger} was read, {head.sequence} was shown before")
        if not state.exists or state.sequence < sequence:
            return None
        return state.used_ledger if state.sequence == sequence and state.used_ledger else ledger

    async def fund_by_friendbot(self, address: str) -> bool:
        """Asks the network's friendbot for XLM; False when there is none or it refuses."""
        if self.network.friendbot_url is None:
            return False
        return await self._rpc.get(f"{self.network.friendbot_url}?addr={address}") == 200

    async def _simulate(self, load: Load, source: str) -> tuple[xdr.SorobanTransactionData, int]:
        envelope = unsigned(load, source=source, sequence=1, max_time=0)
        calls = [seat.call for seat in load.seats]
        found = _unless_refused(await self._rpc.ask(simulation(self._reader, envelope, calls)))
        return found.data, found.fee

    def _terms(self, bid: Bid) -> Terms:
        return Terms(
            passphrase=self.network.passphrase,
            max_time=bid.max_time,
            inclusion_fee=bid.inclusion_fee,
            max_fee=bid.max_fee,
        )


def _unless_refused(found: T | Refusal) -> T:
    if isinstance(found, Refusal):
        raise SimulationError(found.error, found.message, position=found.position)
    return found


# What is read of an entry ---------------------------------------------------------------------


def _account(entry: Entry) -> AccountFields:
    return read_account(entry.data)


def _trustline(entry: Entry) -> TrustlineFields:
    return read_trustline(entry.data)


def _farm(entry: Entry) -> tuple[FarmState, int]:
    return decode_farm(xdr.LedgerEntryData.from_xdr_bytes(entry.data))


def _block(index: int, entry: Entry) -> BlockState:
    return decode_block(
        index,
        xdr.LedgerEntryData.from_xdr_bytes(entry.data),
        live_until=entry.live_until,
        modified=entry.modified,
    )


def _pail(entry: Entry) -> PailState:
    return decode_pail(entry.data, key=entry.key, live_until=entry.live_until)


def _memo(entry: Entry) -> bool:
    return wants_memo(xdr.LedgerEntryData.from_xdr_bytes(entry.data))


def _modified(entry: Entry) -> int:
    return entry.modified


def _live_until(entry: Entry) -> int:
    return entry.live_until


@asynccontextmanager
async def open_chain(
    network: Network, *, timeout: float, hedge: float = HEDGE
) -> AsyncIterator[Chain]:
    """The chain over the network's endpoints; `timeout` (s) is for one request to one of them,
    after `hedge` (s) the next one is asked, too."""
    async with open_endpoints(
        network.rpc_urls, passphrase=network.passphrase, timeout=timeout, hedge=hedge
    ) as endpoints:
        yield Chain(network, endpoints)
