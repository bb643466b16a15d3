"""The chain as the wallet's use cases see it: a few verbs on the domain's types."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, assert_never

from stellar_sdk import xdr

from libs.common.errors import PoolError
from services.wallet.chain.agreement import Agreement
from services.wallet.chain.build import ledger_keys
from services.wallet.chain.build.calls import Farm
from services.wallet.chain.build.data_entries import data_key
from services.wallet.chain.build.deploy import DeploymentStep, sign_step, unsigned_step
from services.wallet.chain.build.envelopes import bid_in, unsigned
from services.wallet.chain.build.loads import Load
from services.wallet.chain.build.payments import memo_key
from services.wallet.chain.build.resource_templates import ResourceTemplate, TemplateReader, exactly
from services.wallet.chain.build.wire import Resources
from services.wallet.chain.errors import (
    DisagreementError,
    RpcRejectedError,
    SimulationError,
    StaleAnswerError,
    UnknownAnswerError,
)
from services.wallet.chain.essence import stable_farm
from services.wallet.chain.networks import Network, verify
from services.wallet.chain.node.endpoints import Endpoints
from services.wallet.chain.node.health import NEWEST_PROTOCOL, EndpointStatus
from services.wallet.chain.node.ledger_entries import Reader
from services.wallet.chain.node.questions import INCLUSION_FEE, LEAST_BID
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read.account_bytes import (
    AccountFields,
    TrustlineFields,
)
from services.wallet.chain.read.challenges import read_signers
from services.wallet.chain.read.closing_accounts import (
    closing_account,
    closing_keys,
    closing_readers,
)
from services.wallet.chain.read.entries import account_state
from services.wallet.chain.read.foreign_harvests import read_foreign_harvests
from services.wallet.chain.read.included import (
    Included,
    outcome_question,
    presence_question,
    read_included,
)
from services.wallet.chain.read.limits import limits_question
from services.wallet.chain.read.number_use import read_used
from services.wallet.chain.read.readers import (
    FarmEntry,
    read_account_entry,
    read_block,
    read_data,
    read_farm,
    read_live_until,
    read_memo,
    read_pail,
    read_trustline_entry,
)
from services.wallet.chain.read.results import Refusal, ResultReader
from services.wallet.chain.read.simulations import preparation, second_opinion, simulation
from services.wallet.chain.unknowns import Unknowns
from services.wallet.domain.chain_facts import (
    AccountState,
    BlockState,
    ContractError,
    FarmState,
    LedgerHead,
    NumberState,
    Outcome,
    PailState,
    SendResult,
    SignedEnvelope,
    Signer,
)
from services.wallet.domain.closing import ClosingAccount
from services.wallet.domain.foreign_harvests import ForeignHarvest
from services.wallet.domain.logins import AccountSigners
from services.wallet.domain.packing import Limits
from services.wallet.domain.payments import SeenTransaction
from services.wallet.domain.trust import TRUST, Decision, Needed
from services.wallet.domain.withdrawals import Destination

T = TypeVar("T")

#: Stroops for inclusion up to which no second node is asked: ten times the lowest fee.
_ORDINARY_FEE = 1000

#: A pail's place: the farmer's address and the block's index.
Place = tuple[str, int]


@dataclass
class _Known:
    """Knowledge that all views of one chain share."""

    #: The block that was running when the farm was last read: probably it is still running.
    running: int = 0
    #: SHA-256 (hex) of the farm's code when the farm was last read; empty before that.
    code: str = ""
    #: The farm as several nodes showed it the last time.
    farm: FarmState | None = None


class Chain:
    """One network through its endpoints, through one of them, or by agreement of several.

    By default a read takes the word of one node, and of the next node when the first one fails.
    Such reads are for decisions that a lie could only delay. `agreed` is for reads that decide;
    domain/trust.py has the table.
    """

    def __init__(self, network: Network, rpc: Endpoints | Rpc) -> None:
        self.network = network
        self._rpc: Endpoints | Rpc | Agreement = rpc
        self._reader = ResultReader(farm=network.farm, token=network.token)
        self.farm_calls = Farm(farm=network.farm, token=network.token)
        self._asset = network.asset.to_trust_line_asset_xdr_object().to_xdr_bytes()
        self._templates = TemplateReader(self.farm_calls, asset=self._asset)
        self._known = _Known()
        #: The answers that this version does not know; all views of one chain share them.
        self.unknowns = Unknowns()
        #: All endpoints, even if this view uses only some of them.
        self._endpoints = rpc if isinstance(rpc, Endpoints) else None

    # Nodes behind a read ----------------------------------------------------------------------

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator["Chain"]:
        """Yield a view of this chain through one endpoint, for requests that one node must answer.

        The requests of a proof are an example. When the endpoint fails, no other one steps in.
        """
        async with self._rpc.pinned() as rpc:
            yield self._through(rpc)

    @property
    def configured(self) -> int:
        """Return the number of nodes in the settings."""
        return 1 if self._endpoints is None else self._endpoints.configured

    @property
    def agreed(self) -> "Chain":
        """Return a view of this chain in which every read needs the same answer from several nodes.

        With a single node in the settings, the word of that node counts. With a single node left of
        several, the word of that node counts after a while (`witnessed` tells).
        """
        if self._endpoints is None or self._endpoints.configured == 1:
            return self
        return self._through(Agreement(self._endpoints))

    def trusted(self, decision: Decision) -> "Chain":
        """Return a view of this chain for reads that this decision rests on (domain/trust.py)."""
        match TRUST[decision]:
            case Needed.ONE_WORD:
                return self
            case Needed.TWO_WORDS | Needed.PAYER_NUMBER | Needed.STATE:
                return self.agreed
        assert_never(TRUST[decision])

    @property
    def witnessed(self) -> int:
        """Return the smallest number of nodes that agreed on one answer of this view so far.

        With several `configured` nodes, 1 means that only one of them was left.
        """
        return self._rpc.witnessed if isinstance(self._rpc, Agreement) else 1

    def witnesses(self) -> list["Chain"]:
        """Return the nodes that can be asked, each as a chain view, the preferred ones first."""
        if self._endpoints is None:
            return [self]
        return [self._through(node) for node in self._endpoints.usable()]

    def is_known(self, farm: FarmState | None) -> bool:
        """Tell whether several nodes have shown this farm and block before.

        Values that change with every plant and work are not compared.
        """
        known = self._known.farm
        return known is not None and stable_farm(farm) == stable_farm(known)

    async def recheck(self, node: Rpc) -> None:
        """Raise DisagreementError when a node shows another farm or block than other nodes did."""
        farm, known = await self._through(node).farm(), self._known.farm
        if known is None or (farm is not None and farm.index > known.index):
            return
        if farm is None or farm.index < known.index or stable_farm(farm) != stable_farm(known):
            raise DisagreementError("it still shows another farm than the other nodes")

    def _through(self, rpc: "Rpc | Agreement") -> "Chain":
        chain = copy(self)
        chain._rpc = rpc
        return chain

    # Reads and writes -------------------------------------------------------------------------

    def endpoints(self) -> list[EndpointStatus]:
        """Return the status of each endpoint, in the order of the settings."""
        return self._rpc.statuses()

    @property
    def warnings(self) -> list[str]:
        """Return in words what nodes say that this version of wallet does not know."""
        newer = [
            f"the Stellar node {item.host} is on protocol {item.protocol}, this version of wallet "
            f"was tested with {NEWEST_PROTOCOL}: look for a newer one"
            for item in self.endpoints()
            if item.is_newer
        ]
        return [*newer, *self.unknowns.warnings]

    async def verify(self) -> None:
        """Raise NetworkMismatchError unless the node has the configured network, farm and token."""
        passphrase = await self._rpc.passphrase()
        verify(self.network, passphrase=passphrase, farm=await self.farm())

    async def head(self) -> LedgerHead:
        """Return the latest ledger."""
        return await self._rpc.head()

    async def inclusion_fee(self) -> int:
        """Return the stroops that get a contract call included at the moment.

        When the fee is extraordinarily high, the lowest fee that one of several nodes tells is
        returned.
        """
        try:
            fee = await self._rpc.ask(INCLUSION_FEE)
        except (UnknownAnswerError, RpcRejectedError) as error:
            instead = "calls bid the least, and more once a node asks for it"
            self.unknowns.tell("the fees of others", str(error), instead=instead)
            return LEAST_BID
        if fee <= _ORDINARY_FEE or self.configured == 1:
            return fee
        asked = (node._rpc.ask(INCLUSION_FEE) for node in self.witnesses()[:2])
        told = await asyncio.gather(*asked, return_exceptions=True)
        return min([fee, *(item for item in told if isinstance(item, int))])

    async def farm(self) -> FarmState | None:
        """Return the farm and its running block, as of one ledger; None when there is no farm."""
        key, running = ledger_keys.instance_key(self.network.farm), self._known.running
        code = self._known.code
        while True:
            block_key = ledger_keys.block_key(self.farm_calls, running)
            readers: dict[str, Reader[FarmEntry | BlockState | int]] = {
                key: read_farm,
                block_key: partial(read_block, running),
            }
            if code:
                # The code's life is read, too: the caller of the farm pays for both.
                readers[ledger_keys.code_key(code)] = read_live_until
            _, found = await self._rpc.entries(readers)
            farm, block = found.get(key), found.get(block_key)
            if not isinstance(farm, FarmEntry):
                return None
            if farm.index == running and farm.state.code_hash == code:
                until = found.get(ledger_keys.code_key(code)) if code else 0
                found_farm = replace(
                    farm.state,
                    block=block if isinstance(block, BlockState) else None,
                    instance_until=farm.live_until,
                    code_until=until if isinstance(until, int) else 0,
                )
                self._known.running, self._known.code = running, code
                if self.witnessed > 1:
                    self._known.farm = found_farm
                return found_farm
            # Read again, so that all values are of one ledger.
            running, code = farm.index, farm.state.code_hash

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """Return the ledger that was read, and the accounts with their trustlines.

        The accounts are in the order of `addresses`.
        """
        keys = {
            address: (
                ledger_keys.account_key(address),
                ledger_keys.trustline_key(address, self._asset),
            )
            for address in addresses
        }
        readers: dict[str, Reader[AccountFields | TrustlineFields]] = {}
        for account, line in keys.values():
            readers |= {account: read_account_entry, line: read_trustline_entry}
        ledger, found = await self._rpc.entries(readers)
        return ledger, [
            account_state(address, found.get(account), found.get(line))
            for address, (account, line) in keys.items()
        ]

    async def signers(self, address: str) -> AccountSigners | None:
        """Return who signs for an account; None for one that is not on the chain."""
        key = ledger_keys.account_key(address)
        _, found = await self._rpc.entries({key: read_signers})
        return found.get(key)

    async def destinations(self, addresses: Sequence[str]) -> dict[str, Destination]:
        """Return the accounts at these addresses, to which withdrawals are to go."""
        _, states = await self.accounts(addresses)
        keys = {state.address: memo_key(state.address) for state in states}
        _, memos = await self._rpc.entries(dict.fromkeys(keys.values(), read_memo))
        return {
            state.address: Destination(
                account=state, wants_memo=memos.get(keys[state.address], False)
            )
            for state in states
        }

    async def closing_accounts(self, addresses: Sequence[str]) -> tuple[int, list[ClosingAccount]]:
        """Return the ledger that was read, and accounts with all that keeps them from a merger.

        The accounts are in the order of `addresses`. Of their data entries only the one that wants
        a memo is looked up: nodes tell how many entries an account has, and list none.
        """
        keys = {address: closing_keys(address, self._asset) for address in addresses}
        ledger, found = await self._rpc.entries(closing_readers(keys.values()))
        return ledger, [closing_account(address, place, found) for address, place in keys.items()]

    async def data_entry(self, address: str, name: str) -> tuple[int, bytes | None]:
        """Return the ledger that was read, and the value of an account's data entry."""
        key = data_key(address, name.encode())
        ledger, found = await self._rpc.entries({key: read_data})
        return ledger, found.get(key)

    async def pail(self, farmer: str, index: int) -> PailState | None:
        """Return a farmer's pail in a block.

        None when the farmer never planted or has harvested, or when the pail expired.
        """
        return (await self.pails([(farmer, index)])).get((farmer, index))

    async def block(self, index: int) -> BlockState | None:
        """Return a block's record, also after the block closed.

        None when the block expired or never existed.
        """
        key = ledger_keys.block_key(self.farm_calls, index)
        ledger, found = await self._rpc.entries({key: partial(read_block, index)})
        block = found.get(key)
        return None if block is None or block.live_until < ledger else block

    async def pails(self, places: Sequence[Place]) -> dict[Place, PailState]:
        """Return the pails at these places (farmer's address, block index).

        Missing pails are absent.
        """
        return (await self.pails_at(places))[1]

    async def pails_at(self, places: Sequence[Place]) -> tuple[int, dict[Place, PailState]]:
        """Return the ledger that was read, and the pails at these places, as `pails` does."""
        keys = {ledger_keys.pail_key(self.farm_calls, *place): place for place in places}
        ledger, found = await self._rpc.entries(dict.fromkeys(keys, read_pail))
        return ledger, {keys[key]: pail for key, pail in found.items() if pail.live_until >= ledger}

    async def foreign_harvests(
        self, addresses: Sequence[str], *, first: int
    ) -> list[ForeignHarvest]:
        """Return the harvests of these farmers, whoever made them, from ledger `first` on.

        The search reaches as far back as the node remembers.
        """
        farm, token = self.network.farm, self.network.token
        return await self._rpc.read(
            lambda node: read_foreign_harvests(node, addresses, farm=farm, token=token, first=first)
        )

    async def sequences(self, addresses: Sequence[str]) -> tuple[int, dict[str, int]]:
        """Return the ledger that was read, and the last used sequence numbers.

        Only accounts that exist have a number.
        """
        keys = {address: ledger_keys.account_key(address) for address in addresses}
        ledger, found = await self._rpc.entries(dict.fromkeys(keys.values(), read_account_entry))
        return ledger, {
            address: found[key].sequence for address, key in keys.items() if key in found
        }

    async def numbers(self, addresses: Sequence[str]) -> tuple[int, dict[str, NumberState]]:
        """Return the ledger that was read, and what accounts that exist are as sources."""
        keys = {address: ledger_keys.account_key(address) for address in addresses}
        ledger, found = await self._rpc.entries(dict.fromkeys(keys.values(), read_account_entry))
        return ledger, {
            address: NumberState(sequence=found[key].sequence, obeys=found[key].obeys)
            for address, key in keys.items()
            if key in found
        }

    async def limits(self) -> Limits:
        """Return the network's limits for contract calls."""
        return await self._rpc.ask(limits_question())

    async def simulate(self, load: Load, *, source: str) -> ResourceTemplate:
        """Simulate a load and return the resource template for all loads of its kind.

        Raises SimulationError when the call would fail, or when one call of a multicall would fail.
        Raises UnderivableError when the simulated resources hold for this very load only; see
        `simulate_exactly`.
        """
        data, fee = await self._simulate(load, source)
        return self._templates.learn(data, fee, load.carried_calls)

    async def simulate_exactly(self, load: Load, *, source: str) -> Resources:
        """Return the resources of this very load, without any derivation.

        Raises SimulationError as `simulate` does.
        """
        data, fee = await self._simulate(load, source)
        return exactly(data, fee)

    async def refusal(self, load: Load, *, source: str) -> ContractError | None:
        """Return the reason why a simulation says that a load would fail; None when it would
        not."""
        envelope = unsigned(load, source=source, sequence=1, max_time=0)
        question = simulation(
            self._reader, envelope, [carried_call.call for carried_call in load.carried_calls]
        )

        async def reading(node: Rpc) -> ContractError | None:
            found = await node.ask(question)
            return found.error if isinstance(found, Refusal) else None

        return await self._rpc.read(reading)

    def resources(self, template: ResourceTemplate, load: Load) -> Resources:
        """Return the resources of another load of the same kind."""
        return self._templates.apply(template, load.carried_calls)

    async def farm_ends(self) -> tuple[int, int, int]:
        """Return the ledger that was read, and the last ledgers of the farm's instance and code.

        A last ledger is 0 when the node did not show it.
        """
        instance, code = ledger_keys.instance_key(self.network.farm), ""
        wanted = [instance]
        if self._known.code:
            code = ledger_keys.code_key(self._known.code)
            wanted.append(code)
        ledger, ends = await self._rpc.entries(dict.fromkeys(wanted, read_live_until))
        return ledger, ends.get(instance, 0), ends.get(code, 0)

    def farm_keys(self, code_hash: str) -> tuple[str, str]:
        """Return the LedgerKeys (base64) of the farm's instance and of its code."""
        return ledger_keys.instance_key(self.network.farm), ledger_keys.code_key(code_hash)

    def token_key(self) -> str:
        """Return the LedgerKey (base64) of the token's instance; there is no code behind it."""
        return ledger_keys.instance_key(self.network.token)

    async def ends(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the last ledgers of the entries (LedgerKeys, base64) that exist."""
        _, found = await self._rpc.entries(dict.fromkeys(keys, read_live_until))
        return found

    async def lives(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the number of ledgers left to the entries (LedgerKeys, base64) that exist."""
        ledger, found = await self._rpc.entries(dict.fromkeys(keys, read_live_until))
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
        """Simulate and sign a step of a deployment.

        Raises SimulationError and FeeCapExceededError.
        """
        unsigned = unsigned_step(step, sequence=sequence, max_time=max_time)
        with self._telling_of_simulations():
            found = await self._rpc.ask(preparation(self._reader, unsigned))
        prepared = _unless_refused(found)
        return sign_step(
            step,
            treasury=treasury,
            sequence=sequence,
            max_time=max_time,
            inclusion_fee=inclusion_fee,
            max_fee=max_fee,
            prepared=prepared,
        )

    async def send(
        self, envelopes: Sequence[str], *, widely: bool = False
    ) -> list[SendResult | PoolError]:
        """Send envelopes to the network and return the result of each envelope, in order.

        The network takes or refuses each envelope separately. With `widely`, two nodes send the
        envelopes, where there are so many nodes. RpcUnavailableError means that the envelope may
        have been taken.
        """
        return await self._rpc.send(envelopes, widely=widely)

    def bid_in(self, envelope: str, *, inner_hash: str) -> int | None:
        """Return what an envelope of the transaction with this hash bids in all.

        Returns None when it is none.
        """
        return bid_in(envelope, network=self.network, inner_hash=inner_hash)

    async def outcome(self, tx_hash: str, functions: Sequence[str]) -> Outcome:
        """Return the outcome that the node knows of a transaction that calls these functions.

        A fee bump can be asked for by either of its hashes.
        """
        return await self._rpc.ask(outcome_question(self._reader, tx_hash, functions))

    async def has_transaction(self, tx_hash: str) -> bool:
        """Tell whether a ledger has a transaction (of a fee bump by either hash)."""
        return await self._rpc.ask(presence_question(tx_hash))

    async def included(self, first: int, wanted: Mapping[str, Sequence[str]]) -> Included:
        """Look for these transactions in the ledgers from `first` on.

        `wanted` has the hashes of the transactions (of a fee bump: the outer hash) with the
        functions that the transactions call.
        """
        return await self._rpc.read(lambda node: read_included(node, self._reader, first, wanted))

    async def used_by(self, source: str, ledger: int) -> SeenTransaction | None:
        """Return the transaction of an account in a ledger; None when the node does not have it."""
        return await self._rpc.read(
            lambda node: read_used(
                node,
                source,
                ledger,
                kale=self.network.asset,
                passphrase=self.network.passphrase,
            )
        )

    async def ledger_of_use(self, *, source: str, sequence: int, head: LedgerHead) -> int | None:
        """Return the ledger that used a sequence number; None when the number is unused.

        With a head that closed past the bound, None is the second half of the proof of STELLAR.md
        section 1. `head` must have been shown before this call, and the number is read at a ledger
        that is not older than `head`. If the account's number is still below the envelope's number,
        no ledger took the envelope and no ledger may take it. The number and its ledger come from
        one answer of one node, so the proof holds behind a load balancer and in whatever order a
        node reads. Raises StaleAnswerError when the answer is older than `head`: such an answer
        proves nothing.
        """
        ledger, (state,) = await self.accounts([source])
        if ledger < head.sequence:
            raise StaleAnswerError(f"ledger {ledger} was read, {head.sequence} was shown before")
        if not state.exists or state.sequence < sequence:
            return None
        return state.used_ledger if state.sequence == sequence and state.used_ledger else ledger

    async def fund_by_friendbot(self, address: str) -> bool:
        """Ask the network's friendbot for XLM; return False when there is none or it refuses."""
        if self.network.friendbot_url is None:
            return False
        return await self._rpc.get(f"{self.network.friendbot_url}?addr={address}") == 200

    async def _simulate(self, load: Load, source: str) -> tuple[xdr.SorobanTransactionData, int]:
        envelope = unsigned(load, source=source, sequence=1, max_time=0)
        calls = [carried_call.call for carried_call in load.carried_calls]
        question = simulation(self._reader, envelope, calls)
        with self._telling_of_simulations():
            answer = await self._rpc.ask(question)
        if isinstance(self._rpc, Endpoints) and self._rpc.configured > 1:
            nodes, patience = self._rpc.usable()[:3], self._rpc.hedge
            answer = await second_opinion(answer, nodes, question, patience=patience)
        found = _unless_refused(answer)
        return found.data, found.fee

    @contextmanager
    def _telling_of_simulations(self) -> Iterator[None]:
        try:
            yield
        except UnknownAnswerError as error:
            instead = "calls of a kind that was not simulated before wait"
            self.unknowns.tell("simulations", str(error), instead=instead)
            raise


def _unless_refused(found: T | Refusal) -> T:
    if isinstance(found, Refusal):
        raise SimulationError(found.error, found.message, position=found.position)
    return found
