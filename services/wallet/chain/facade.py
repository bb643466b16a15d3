"""The chain as the wallet's use cases see it: a few verbs, the model in and out."""

from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, replace

from stellar_sdk import xdr

from libs.common.errors import PoolError
from services.wallet.chain import ledger_keys, limits
from services.wallet.chain.account_bytes import read_account
from services.wallet.chain.calls import Farm
from services.wallet.chain.deploy import DeploymentStep, prepare_step, sign_step, unsigned_step
from services.wallet.chain.endpoints import HEDGE, Endpoints, open_endpoints
from services.wallet.chain.entries import decode_account, decode_block, decode_farm, decode_pail
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
from services.wallet.chain.results import ResultReader
from services.wallet.chain.rpc import MAX_TRANSACTIONS, Json, Rpc, head_of, head_of_page
from services.wallet.chain.shapes import Seat, Shape, ShapeReader, exactly
from services.wallet.chain.takings import read_takings
from services.wallet.chain.wire import Resources
from services.wallet.domain.packing import Limits
from services.wallet.domain.takings import Taking
from services.wallet.domain.withdrawals import Asset, Destination

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


@dataclass(frozen=True, kw_only=True)
class Included:
    """What the ledgers of a range have."""

    #: Answers as they came, by transaction hash (of a fee bump: the outer one).
    answers: Mapping[str, Json]
    #: The latest ledger that was looked at.
    head: LedgerHead


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
        return await self._rpc.soroban_inclusion_fee()

    async def farm(self) -> FarmState | None:
        """The farm and its running block, as of one ledger; None when there is no farm."""
        key, running = ledger_keys.farm_key(self.network.farm), self._running
        while True:
            block_key = ledger_keys.block_key(self.farm_calls, running)
            _, entries = await self._rpc.entries([key, block_key])
            if key not in entries:
                return None
            farm, index = decode_farm(_data(entries[key]))
            if index == running:
                self._running = running
                return replace(farm, block=_block(index, entries.get(block_key)))
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
        ledger, entries = await self._rpc.entries([key for pair in keys.values() for key in pair])
        states = [
            decode_account(address, _text(entries.get(pair[0])), _text(entries.get(pair[1])))
            for address, pair in keys.items()
        ]
        return ledger, states

    async def destinations(self, addresses: Sequence[str]) -> dict[str, Destination]:
        """Accounts that withdrawals are to go to, by address."""
        _, states = await self.accounts(addresses)
        keys = {state.address: memo_key(state.address) for state in states}
        _, entries = await self._rpc.entries(list(keys.values()))
        memos = {address: wants_memo(_optional(entries.get(key))) for address, key in keys.items()}
        return {
            state.address: Destination(account=state, wants_memo=memos[state.address])
            for state in states
        }

    async def pail(self, farmer: str, index: int) -> PailState | None:
        """A farmer's pail in a block; None when it never planted, has harvested, or it expired."""
        key = ledger_keys.pail_key(self.farm_calls, farmer, index)
        ledger, entries = await self._rpc.entries([key])
        entry = entries.get(key)
        if entry is None or _live_until(entry) < ledger:
            return None
        return decode_pail(str(entry["xdr"]), key=key, live_until=_live_until(entry))

    async def block(self, index: int) -> BlockState | None:
        """A block's record, also after it closed; None when it expired or never was."""
        key = ledger_keys.block_key(self.farm_calls, index)
        ledger, entries = await self._rpc.entries([key])
        entry = entries.get(key)
        if entry is None or _live_until(entry) < ledger:
            return None
        return _block(index, entry)

    async def pails(self, places: Sequence[Place]) -> dict[Place, PailState]:
        """The pails at these places (farmer's address, block index); missing ones are absent."""
        keys = {ledger_keys.pail_key(self.farm_calls, *place): place for place in places}
        ledger, entries = await self._rpc.entries(list(keys))
        return {
            place: decode_pail(str(entry["xdr"]), key=key, live_until=_live_until(entry))
            for key, place in keys.items()
            if (entry := entries.get(key)) is not None and _live_until(entry) >= ledger
        }

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
        ledger, entries = await self._rpc.entries(list(keys.values()))
        return ledger, {
            holding: int(entries[key]["lastModifiedLedgerSeq"])
            for holding, key in keys.items()
            if key in entries
        }

    async def sequences(self, addresses: Sequence[str]) -> tuple[int, dict[str, int]]:
        """The ledger that was read, and the last used sequence numbers of those that exist."""
        keys = {address: ledger_keys.account_key(address) for address in addresses}
        ledger, entries = await self._rpc.entries(list(keys.values()))
        return ledger, {
            address: read_account(b64decode(entries[key]["xdr"])).sequence
            for address, key in keys.items()
            if key in entries
        }

    async def limits(self) -> Limits:
        """The network's limits for contract calls."""
        _, entries = await self._rpc.entries(list(limits.KEYS.values()))
        return limits.decode_limits({key: _data(entry) for key, entry in entries.items()})

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
        ledger, entries = await self._rpc.entries(keys)
        left = {key: _live_until(entry) - ledger for key, entry in entries.items()}
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
        answer = await self._rpc.simulate(unsigned)
        if answer.get("error"):
            raise SimulationError(self._reader.simulation_error(answer), str(answer["error"]))
        return sign_step(
            step,
            treasury=treasury,
            sequence=sequence,
            max_time=max_time,
            inclusion_fee=inclusion_fee,
            max_fee=max_fee,
            prepared=prepare_step(answer),
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
        return [
            sent if isinstance(sent, PoolError) else self._reader.send_result(sent)
            for sent in await self._rpc.send(envelopes)
        ]

    async def outcome(self, tx_hash: str, functions: Sequence[str]) -> Outcome:
        """What the node knows of a transaction (of a fee bump by either hash) that calls these."""
        answer = await self._rpc.transaction(tx_hash)
        return self._reader.outcome(answer, head_of(answer), functions)

    async def included(self, first: int) -> Included:
        """All transactions, ours or not, of the ledgers from `first` on, not decoded yet."""
        answers: dict[str, Json] = {}
        page = await self._rpc.transactions(start=first)
        while True:
            answers |= {item["txHash"]: item for item in page["transactions"]}
            if len(page["transactions"]) < MAX_TRANSACTIONS:
                break
            page = await self._rpc.transactions(cursor=page["cursor"])
        return Included(answers=answers, head=head_of_page(page))

    def read_included(self, included: Included, name: str, functions: Sequence[str]) -> Outcome:
        """The outcome of one of them, by its hash, that calls these functions."""
        return self._reader.outcome(included.answers[name], included.head, functions)

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
        answer = await self._rpc.simulate(envelope)
        if answer.get("error"):
            raise SimulationError(self._reader.simulation_error(answer), str(answer["error"]))
        self._reader.check_calls(answer, [seat.call for seat in load.seats])
        data = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
        return data, int(answer["minResourceFee"])

    def _terms(self, bid: Bid) -> Terms:
        return Terms(
            passphrase=self.network.passphrase,
            max_time=bid.max_time,
            inclusion_fee=bid.inclusion_fee,
            max_fee=bid.max_fee,
        )


def _data(entry: Json) -> xdr.LedgerEntryData:
    return xdr.LedgerEntryData.from_xdr(entry["xdr"])


def _text(entry: Json | None) -> str | None:
    return None if entry is None else str(entry["xdr"])


def _optional(entry: Mapping[str, object] | None) -> xdr.LedgerEntryData | None:
    return None if entry is None else _data(entry)


def _live_until(entry: Json) -> int:
    return int(entry["liveUntilLedgerSeq"])


def _block(index: int, entry: Json | None) -> BlockState | None:
    if entry is None:
        return None
    return decode_block(
        index,
        _data(entry),
        live_until=_live_until(entry),
        modified=int(entry["lastModifiedLedgerSeq"]),
    )


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
