"""Several farmers' calls in one transaction of a channel account, by the multicall contract."""

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from libs.common.ids import OperationId
from libs.common.log import get_logger
from services.wallet.chain import (
    CarriedCall,
    Chain,
    FeeCapExceededError,
    Load,
    ResourceTemplate,
    SimulationError,
    UnderivableError,
    authorize,
    sign_direct,
    together,
)
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.model import QueuedOperation
from services.wallet.domain.packing import Window, fits, share
from services.wallet.domain.settling import later, smaller
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.sequence_sources import Source, Sources
from services.wallet.engine.signers import Signers
from services.wallet.engine.submit.round import Refuser, Round, TooDear, call_of, postponed
from services.wallet.engine.template_book import TemplateBook, TemplateKey, pack_of
from services.wallet.keys.signer import SeedSigner
from services.wallet.store.transactions import Draft

log = get_logger(__name__)

#: Ledgers beyond the envelope's life for which a farmer's authorisation is valid.
_SPARE_LEDGERS = 12
#: The end of a simulation's error when CPU or memory do not suffice.
_TOO_BIG = "Budget/ExceededLimit"


@dataclass(frozen=True, kw_only=True)
class PackedCall:
    """An operation with everything that its part of a transaction needs."""

    operation: QueuedOperation
    #: The operation's call, with the nonce of the farmer's authorisation.
    carried_call: CarriedCall
    #: The farmer's signed authorisation; None when none is needed.
    authorization: bytes | None


#: A channel account with the key that signs for it.
Channel = tuple[Source, SeedSigner]


class Packs:
    """A packer of operations up to the network's limits, which splits what does not go together."""

    def __init__(
        self,
        chain: Chain,
        signers: Signers,
        templates: TemplateBook,
        sources: Sources,
        *,
        refuser: Refuser,
        limits: OperatorLimits,
        multicall: bytes,
    ) -> None:
        """Take `multicall`, the raw contract id."""
        self._chain = chain
        self._signers = signers
        self._refuser = refuser
        self._limits = limits
        self._templates = templates
        self._sources = sources
        self._multicall = multicall
        #: How many calls of a kind go together, as far as is known.
        self._windows: dict[TemplateKey, Window] = {}

    async def make(
        self,
        key: TemplateKey,
        operations: Sequence[QueuedOperation],
        stakes: Mapping[OperationId, int],
        chain_state: ChainState,
        *,
        goes_on: bool,
    ) -> AsyncGenerator[Round, None]:
        """Yield drafts for operations that are alike, one transaction after the other.

        Operations for which no channel account is free stay unused. With `goes_on`, operations that
        do not fill a transaction wait for the next ones, too.
        """
        sources = await self._sources.channels(self._most_packs(key, operations))
        if not sources:
            yield Round(unused=tuple(operations))
            return
        calls = await self._authorized(operations, chain_state)
        ids = [source.wallet_id for source in sources]
        async with self._signers.open(ids) as signers:
            channels = iter(list(zip(sources, signers, strict=True)))
            made = Round()
            for _, group in groupby(sorted(calls, key=_limit), key=_limit):
                rest = list(group)
                while rest:
                    if goes_on and made.drafts and len(rest) < self._full(key):
                        break
                    channel = next(channels, None)
                    if channel is None:
                        break
                    part, rest = await self._one(key, rest, channel, chain_state, stakes)
                    made += part
                    yield part
        yield Round(unused=made.missing(operations))

    def _most_packs(self, key: TemplateKey, operations: Sequence[QueuedOperation]) -> int:
        """Return the number of channel accounts to take.

        More than one for each smallest pack is of no use.
        """
        size = self._full(key)
        smallest = min((item.pack_limit or size for item in operations), default=size)
        return -(-len(operations) // max(1, min(size, smallest))) + 1

    def _full(self, key: TemplateKey) -> int:
        """Return the number of calls of a full transaction, as far as is known."""
        return self._windows.get(key, Window()).next_size

    async def _authorized(
        self, operations: Sequence[QueuedOperation], chain_state: ChainState
    ) -> list[PackedCall]:
        """Return the calls, with the farmers' consent where it is needed."""
        chain = self._chain
        calls = [call_of(chain, operation) for operation in operations]
        if not any(call.needs_farmer for call in calls):
            return [
                PackedCall(
                    operation=operation, carried_call=CarriedCall(call=call), authorization=None
                )
                for operation, call in zip(operations, calls, strict=True)
            ]
        life = self._limits.lifetime // max(1, chain_state.pace)
        expiration = chain_state.ledger.sequence + life + _SPARE_LEDGERS
        wallets = [operation.wallet_id for operation in operations]
        packed: list[PackedCall] = []
        async with self._signers.open(wallets) as signers:
            for operation, call, signer in zip(operations, calls, signers, strict=True):
                carried_call = CarriedCall(call=call, nonce=secrets.randbits(63))
                signed = authorize(
                    carried_call, signer, network=chain.network, expiration=expiration
                )
                packed.append(
                    PackedCall(operation=operation, carried_call=carried_call, authorization=signed)
                )
        return packed

    async def _one(
        self,
        key: TemplateKey,
        waiting: Sequence[PackedCall],
        channel: Channel,
        chain_state: ChainState,
        stakes: Mapping[OperationId, int],
    ) -> tuple[Round, list[PackedCall]]:
        """Make one transaction with as many calls as go together.

        Return its round and the calls that are left.
        """
        window = self._windows.setdefault(key, Window())
        made, rest = Round(), list(waiting)
        while rest:
            count = min(len(rest), _limit(rest[0]), window.next_size)
            pack = rest[:count]
            try:
                template = await self._template(key, pack, channel[0], chain_state)
            except SimulationError as error:
                if str(error.error).endswith(_TOO_BIG) and count > 1:
                    window.too_many(count)
                    continue
                if error.position is None and count > 1:
                    # Nobody says which of the calls fails.
                    limit = smaller(count)
                    return made + _again(pack, pack_limit=limit), rest[count:]
                refused = rest.pop(error.position or 0).operation
                made += Round(settled=(await self._refuser.settle(refused, error),))
                continue
            except UnderivableError as error:
                log.warning("no template", kind=key.kind.value, error=str(error))
                return made + _again(rest, pack_limit=1), []
            if template is None:
                return made + postponed((item.operation for item in pack), chain_state), rest[
                    count:
                ]
            signed = self._sign(pack, template, channel, chain_state, stakes)
            if signed is None and count > 1:
                window.too_many(count)
                continue
            window.fitting(count)
            return made + (signed or Round()), rest[count:]
        return made, []

    async def _template(
        self, key: TemplateKey, pack: Sequence[PackedCall], source: Source, chain_state: ChainState
    ) -> ResourceTemplate | None:
        wanted = pack_of(key, [item.operation for item in pack])
        block_index = max(item.operation.block_index for item in pack)
        if chain_state.is_ahead(key.kind, block_index):
            return self._templates.known(wanted, block_index)
        return await self._templates.template(
            wanted, self._load(pack), source=source.address, block_index=block_index
        )

    def _load(self, pack: Sequence[PackedCall]) -> Load:
        return together(
            self._multicall,
            [item.carried_call for item in pack],
            [item.authorization for item in pack if item.authorization is not None],
        )

    def _sign(
        self,
        pack: Sequence[PackedCall],
        template: ResourceTemplate,
        channel: Channel,
        chain_state: ChainState,
        stakes: Mapping[OperationId, int],
    ) -> Round | None:
        """Return one draft, or what else becomes of the calls.

        Return None when they do not fit into a transaction.
        """
        source, signer = channel
        operations = [item.operation for item in pack]
        single = chain_state.bid(operations[0].kind, operations[0].block_index, self._limits)
        if single.max_time <= chain_state.ledger.close_time:
            return postponed(operations, chain_state)
        bid = single.for_all(len(pack))
        load = self._load(pack)
        try:
            envelope = sign_direct(
                load,
                self._chain.resources(template, load),
                network=self._chain.network,
                source=signer,
                sequence=source.sequence,
                bid=bid,
            )
        except FeeCapExceededError as error:
            return Round(
                too_dear=tuple(TooDear(operation=item, error=error) for item in operations)
            )
        if envelope.usage is None or not fits(envelope.usage, chain_state.limits):
            return None
        draft = Draft(
            envelope=envelope,
            operation_ids=tuple(item.id for item in operations),
            stakes_returned=tuple(stakes.get(item.id, 0) for item in operations),
            share=share(envelope.usage, chain_state.limits),
        )
        return Round(drafts=(draft,))


def _again(pack: Sequence[PackedCall], *, pack_limit: int) -> Round:
    """Postpone these calls, to be tried again with fewer together."""
    waiting = (later(item.operation, pack_limit=pack_limit) for item in pack)
    return Round(settled=tuple(waiting))


def _limit(packed: PackedCall) -> int:
    return packed.operation.pack_limit or 1_000_000
