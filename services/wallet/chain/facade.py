"""The chain as the wallet's use cases see it: a few verbs, the model in and out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from stellar_sdk import xdr

from services.wallet.chain import ledger_keys
from services.wallet.chain.calls import FarmCall, harvest_call, plant_call, work_call
from services.wallet.chain.entries import decode_account, decode_block, decode_farm, decode_pail
from services.wallet.chain.envelopes import Terms, build_inner, prepare, raise_bid, sign_call
from services.wallet.chain.errors import SimulationError
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
from services.wallet.chain.onboarding import Newcomer, sign_onboarding
from services.wallet.chain.results import ResultReader
from services.wallet.chain.rpc import Json, Rpc, open_rpc


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
    """One network through one node."""

    def __init__(self, network: Network, rpc: Rpc) -> None:
        self.network = network
        self._rpc = rpc
        self._reader = ResultReader(farm=network.farm, token=network.token)

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
        key = ledger_keys.farm_key(self.network.farm)
        keys = [key]
        while True:
            _, entries = await self._rpc.entries(keys)
            if key not in entries:
                return None
            farm, index = decode_farm(_data(entries[key]))
            block_key = ledger_keys.block_key(self.network.farm, index)
            if block_key not in keys:
                keys = [key, block_key]  # again, so that both are of one ledger
                continue
            return replace(farm, block=_block(index, entries.get(block_key)))

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """The ledger that was read, and accounts with trustlines in the order of `addresses`."""
        asset = self.network.asset
        keys = {
            address: (
                ledger_keys.account_key(address),
                ledger_keys.trustline_key(address, asset),
            )
            for address in addresses
        }
        ledger, entries = await self._rpc.entries([key for pair in keys.values() for key in pair])
        states = [
            decode_account(
                address, _optional(entries.get(pair[0])), _optional(entries.get(pair[1]))
            )
            for address, pair in keys.items()
        ]
        return ledger, states

    async def pail(self, farmer: str, index: int) -> PailState | None:
        """A farmer's pail in a block; None when it never planted, has harvested, or it expired."""
        key = ledger_keys.pail_key(self.network.farm, farmer, index)
        ledger, entries = await self._rpc.entries([key])
        entry = entries.get(key)
        if entry is None or int(entry["liveUntilLedgerSeq"]) < ledger:
            return None
        return decode_pail(_data(entry), live_until=int(entry["liveUntilLedgerSeq"]))

    async def block(self, index: int) -> BlockState | None:
        """A block's record, also after it closed; None when it expired or never was."""
        key = ledger_keys.block_key(self.network.farm, index)
        ledger, entries = await self._rpc.entries([key])
        entry = entries.get(key)
        if entry is None or int(entry["liveUntilLedgerSeq"]) < ledger:
            return None
        return _block(index, entry)

    def plant(self, *, farmer: str, stake: int) -> FarmCall:
        """The call plant(farmer, stake)."""
        return plant_call(self.network.farm, farmer=farmer, stake=stake)

    def work(self, *, farmer: str, work_hash: bytes, nonce: int) -> FarmCall:
        """The call work(farmer, hash, nonce)."""
        return work_call(self.network.farm, farmer=farmer, work_hash=work_hash, nonce=nonce)

    def harvest(self, *, farmer: str, index: int) -> FarmCall:
        """The call harvest(farmer, index)."""
        return harvest_call(self.network.farm, farmer=farmer, index=index)

    async def sign_call(
        self, call: FarmCall, *, signer: Signer, treasury: Signer, sequence: int, bid: Bid
    ) -> SignedEnvelope:
        """Simulates the call and signs it with the farmer as source and the treasury paying.

        `sequence` is the number that it uses. SimulationError: the call would fail.
        """
        terms = self._terms(bid)
        bare = build_inner(
            call, source=signer.address, sequence=sequence, terms=terms, prepared=None
        )
        answer = await self._rpc.simulate(bare.to_xdr())
        if answer.get("error"):
            raise SimulationError(self._reader.simulation_error(answer), str(answer["error"]))
        prepared = prepare(
            transaction_data=answer["transactionData"],
            auth=list(answer["results"][0].get("auth") or []),
            min_resource_fee=int(answer["minResourceFee"]),
        )
        return sign_call(
            call,
            signer=signer,
            treasury=treasury,
            sequence=sequence,
            terms=terms,
            prepared=prepared,
        )

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

    def raise_bid(
        self, envelope: str, *, treasury: Signer, fee: int, max_fee: int
    ) -> SignedEnvelope | None:
        """The same inner transaction under a fee bump that bids `fee` stroops in all.

        At most one of the two can be included. None when the envelope is no fee bump, or bids that
        much already. FeeCapExceededError when `fee` exceeds `max_fee`.
        """
        return raise_bid(
            envelope,
            passphrase=self.network.passphrase,
            treasury=treasury,
            fee=fee,
            max_fee=max_fee,
        )

    async def send(self, envelope: str) -> SendResult:
        """Hands an envelope to the network. RpcUnavailableError: it may have been taken."""
        return self._reader.send_result(await self._rpc.send(envelope))

    async def outcome(self, tx_hash: str) -> Outcome:
        """What the node knows of a transaction (of a fee bump by either hash)."""
        return self._reader.outcome(await self._rpc.transaction(tx_hash))

    async def is_excluded(
        self, *, source: str, sequence: int, max_time: int, head: LedgerHead
    ) -> bool:
        """Whether an envelope can never be included: the proof of STELLAR.md section 1.

        `head` must have been shown before this is asked. The source's sequence number is read at a
        ledger not older than a head that closed past the bound: if it is still below the
        envelope's, no ledger took the envelope and none may. That is one node's one answer, so it
        holds behind a load balancer and in whatever order a node reads.
        """
        if head.close_time <= max_time:
            return False
        ledger, states = await self.accounts([source])
        if ledger < head.sequence:
            return False
        return not states[0].exists or states[0].sequence < sequence

    async def fund_by_friendbot(self, address: str) -> bool:
        """Asks the network's friendbot for XLM; False when there is none or it refuses."""
        if self.network.friendbot_url is None:
            return False
        return await self._rpc.get(f"{self.network.friendbot_url}?addr={address}") == 200

    def _terms(self, bid: Bid) -> Terms:
        return Terms(
            passphrase=self.network.passphrase,
            max_time=bid.max_time,
            inclusion_fee=bid.inclusion_fee,
            max_fee=bid.max_fee,
        )


def _data(entry: Json) -> xdr.LedgerEntryData:
    return xdr.LedgerEntryData.from_xdr(entry["xdr"])


def _optional(entry: Mapping[str, object] | None) -> xdr.LedgerEntryData | None:
    return None if entry is None else _data(entry)


def _block(index: int, entry: Json | None) -> BlockState | None:
    if entry is None:
        return None
    return decode_block(
        index,
        _data(entry),
        live_until=int(entry["liveUntilLedgerSeq"]),
        modified=int(entry["lastModifiedLedgerSeq"]),
    )


@asynccontextmanager
async def open_chain(network: Network, *, timeout: float) -> AsyncIterator[Chain]:
    """The chain over one node; `timeout` (s) is for one request."""
    async with open_rpc(network.rpc_url, timeout=timeout) as rpc:
        yield Chain(network, rpc)
