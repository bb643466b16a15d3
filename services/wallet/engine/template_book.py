"""The templates of the calls that are being made: one simulation per kind and block, and per size
of a transaction until its size is known."""

from collections.abc import Awaitable, Callable
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
from services.wallet.domain.model import OperationKind
from services.wallet.domain.outcomes import Action, meaning

log = get_logger(__name__)

#: Ledgers for which a price is believed that was asked for twice.
_BELIEF = 60


@dataclass(frozen=True, kw_only=True)
class TemplateKey:
    """What calls must have in common to need the same."""

    #: What they do.
    kind: OperationKind
    #: A plant that burns a stake names the farmer's trustline, too.
    has_stake: bool
    #: The block is not open yet: each of them may be the one that opens it.
    opens: bool
    #: Calls in the transaction; 0 for a call without a multicall.
    together: int = 0


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A template with the block that it was simulated in."""

    template: ResourceTemplate
    block_index: int


class TemplateBook:
    """Remembers templates; the network's word is asked for once per key and block.

    Transactions with several calls are asked for once per block whatever their size, as long as the
    network says of one size what it said before: then the others that are known have not changed.
    """

    def __init__(self, chain: Chain, rent: Callable[[], Awaitable[bool]] | None = None) -> None:
        """`rent` tells whether calls are being asked for the farm's rent: never, without it."""
        self._chain = chain
        self._rent = rent
        self._known: dict[TemplateKey, _Known] = {}
        #: By key without a size: since which block one size has not changed until which.
        self._unchanged: dict[TemplateKey, tuple[int, int]] = {}
        #: By kind: the ledger until which a price that is too high is not doubted again.
        self._believed_until: dict[OperationKind, int] = {}
        #: Whether the network agreed, so far, with what is derived for plants that open a block.
        self._opens_as_derived = True

    def known(self, key: TemplateKey, block_index: int) -> ResourceTemplate | None:
        """A template of this or an earlier block; the farm's entries keep their sizes.

        Where others open every block, no simulation ever shows what that takes: it is derived.
        """
        found = self._known.get(key)
        if found is not None:
            return found.template
        plain = self._known.get(replace(key, opens=False)) if key.opens else None
        if plain is None or not self._opens_as_derived or block_index < FIRST_ALIKE:
            return None
        return opening_template(plain.template)

    async def carries_rent(self) -> bool:
        """Whether what is simulated now may ask for the farm's rent, which is not a farmer's.

        Asked before and after: whoever pays meanwhile hides it from the second look.
        """
        return self._rent is not None and await self._rent()

    async def template(
        self, key: TemplateKey, load: Load, *, source: str, block_index: int
    ) -> ResourceTemplate | None:
        """The template for a block, simulated with this load when nothing tells it yet.

        An earlier block's serves when the simulation comes too early (a node simulates at its
        latest ledger, not at the next); None while the farm's rent is due.
        Raises SimulationError, UnderivableError.
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
        """The network disagreed with a template of this kind: simulate again, derive no opening."""
        self._opens_as_derived &= not OPERATION_KINDS[kind].opens_block
        self._known = {key: item for key, item in self._known.items() if key.kind is not kind}

    def doubt(self, kind: OperationKind, ledger: int) -> bool:
        """Whether what calls of this kind need is to be simulated anew, as it costs more than it
        can: once, then the network's word stands for some ledgers."""
        if ledger < self._believed_until.get(kind, 0):
            return False
        self._believed_until[kind] = ledger + _BELIEF
        self._known = {key: item for key, item in self._known.items() if key.kind is not kind}
        self._unchanged = {key: at for key, at in self._unchanged.items() if key.kind is not kind}
        return True

    def _holds(self, key: TemplateKey, found: _Known, block_index: int) -> bool:
        """Whether what is known is this block's, too: found in it, or since the block from which on
        another size has not changed."""
        since, until = self._unchanged.get(_of_any_size(key), (block_index, -1))
        return block_index == found.block_index or (
            until == block_index and found.block_index >= since
        )


def pack_of(key: TemplateKey, together: int) -> TemplateKey:
    """The key of so many of these calls in one transaction."""
    return replace(key, together=together)


def _of_any_size(key: TemplateKey) -> TemplateKey:
    """What transactions with several such calls share; a call without a multicall stays itself."""
    return replace(key, together=min(key.together, 1))
