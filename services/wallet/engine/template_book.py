"""The resource templates of the calls that are being made.

There is one simulation per kind and block. Until the size of a transaction is known, there is one
per size, too.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from libs.common.log import get_logger
from services.wallet.chain import (
    FIRST_ALIKE,
    Chain,
    Load,
    ResourceTemplate,
    SimulationError,
    opening_template,
)
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.marks import is_ahead
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.domain.outcomes import Action, meaning
from services.wallet.domain.refusals import PRICE_LEDGERS

log = get_logger(__name__)

#: Ledgers for which a price is believed after it was asked for twice: surely no more when an
#: operation that was refused for that price may be asked for again.
_BELIEF = PRICE_LEDGERS // 2


@dataclass(frozen=True, kw_only=True)
class TemplateKey:
    """The properties that calls must have in common to need the same resources."""

    #: The calls' kind.
    kind: OperationKind
    #: Whether it burns a stake: a plant that does names the farmer's trustline, too.
    has_stake: bool
    #: Whether the block is not open yet: each of the calls may be the one that opens it.
    opens: bool
    #: Calls in the transaction; 0 for a call without a multicall.
    together: int = 0
    #: Farmers and blocks of these calls: the calls of one farmer write its trustline once, and
    #: those of one block read that block once.
    farmers: int = 0
    blocks: int = 0


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A resource template with the block that it was simulated in."""

    template: ResourceTemplate
    block_index: int


class TemplateBook:
    """The remembered resource templates; the network is asked once per key and block.

    For transactions with several calls the network is asked once per block, whatever their size, as
    long as its answer for one size is the same as before: then the known templates of other sizes
    have not changed.
    """

    def __init__(self, chain: Chain, rent: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Take `rent`, which tells whether calls are being asked for the farm's rent.

        Without `rent`, calls count as never being asked for it.
        """
        self._chain = chain
        self._rent = rent
        self._known: dict[TemplateKey, _Known] = {}
        #: By key without a size: the first and last block between which one size has not changed.
        self._unchanged: dict[TemplateKey, tuple[int, int]] = {}
        #: By kind: the ledger until which a price that is too high is not doubted again.
        self._believed_until: dict[OperationKind, int] = {}
        #: Whether the network agreed so far with templates derived for plants that open a block.
        self._opens_as_derived = True

    def known(self, key: TemplateKey, block_index: int) -> ResourceTemplate | None:
        """Return a template of this or an earlier block; the farm's entries keep their sizes.

        Where others open every block, no simulation ever shows the resources that opening takes. So
        the template is derived.
        """
        found = self._known.get(key)
        if found is not None:
            return found.template
        plain = self._known.get(replace(key, opens=False)) if key.opens else None
        if plain is None or not self._opens_as_derived or block_index < FIRST_ALIKE:
            return None
        return opening_template(plain.template)

    async def carries_rent(self) -> bool:
        """Tell whether a simulation now may ask for the farm's rent, which no farmer is to pay.

        The callers ask before and after a simulation: when somebody pays meanwhile, the second look
        no longer shows that rent was due.
        """
        return self._rent is not None and await self._rent()

    async def template(
        self, key: TemplateKey, load: Load, *, source: str, block_index: int
    ) -> ResourceTemplate | None:
        """Return the template for a block; simulate it with this load when none is known yet.

        Return an earlier block's template when the simulation comes too early: a node simulates at
        its latest ledger, not at the next. Return None while the farm's rent is due. Raises
        SimulationError, UnderivableError.
        """
        found = self._known.get(key)
        if found is not None and self._holds(key, found, block_index):
            self._known[key] = _Known(template=found.template, block_index=block_index)
            return found.template
        if await self.carries_rent():
            return None
        try:
            template = await self._chain.simulate(load, source=source)
        except SimulationError as error:
            if found is None or meaning(key.kind, error.error).action is not Action.WAIT:
                raise
            return found.template
        if await self.carries_rent():
            return None
        log.debug("simulated", kind=key.kind.value, together=key.together, opens=key.opens)
        self._known[key] = _Known(template=template, block_index=block_index)
        if found is not None and found.template == template:
            self._unchanged[_of_any_size(key)] = (found.block_index, block_index)
        return template

    def forget(self, kind: OperationKind) -> None:
        """Forget the templates of this kind, as the network disagreed with one of them.

        They are simulated again. If the kind opens blocks, no opening is derived any more.
        """
        self._opens_as_derived &= not OPERATION_KINDS[kind].opens_block
        self._known = {key: item for key, item in self._known.items() if key.kind is not kind}

    def doubt(self, kind: OperationKind, ledger: int) -> bool:
        """Tell whether to simulate this kind anew, because a call costs more than the cap.

        The answer is yes once; then the network's price stands for some ledgers.
        """
        if is_ahead(self._believed_until.get(kind, 0), ledger, most=_BELIEF):
            return False
        self._believed_until[kind] = ledger + _BELIEF
        self._known = {key: item for key, item in self._known.items() if key.kind is not kind}
        self._unchanged = {key: at for key, at in self._unchanged.items() if key.kind is not kind}
        return True

    def _holds(self, key: TemplateKey, found: _Known, block_index: int) -> bool:
        """Tell whether a known template is valid for this block, too.

        It is when it was found in this block, or in or after the block since which another size has
        not changed.
        """
        since, until = self._unchanged.get(_of_any_size(key), (block_index, -1))
        return block_index == found.block_index or (
            until == block_index and found.block_index >= since
        )


def pack_of(key: TemplateKey, operations: Sequence[QueuedOperation]) -> TemplateKey:
    """Return the key of these operations' calls in one transaction."""
    return replace(
        key,
        together=len(operations),
        farmers=len({item.wallet_id for item in operations}),
        blocks=len({item.block_index for item in operations}),
    )


def _of_any_size(key: TemplateKey) -> TemplateKey:
    """Return the key that all sizes of transactions with several such calls share.

    The key of a call without a multicall stays as it is.
    """
    one = min(key.together, 1)
    return replace(key, together=one, farmers=one, blocks=one)
