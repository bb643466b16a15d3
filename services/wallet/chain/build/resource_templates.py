"""Resource templates: learned from one simulation, applied to all calls of the same kind.

The farm's storage keys (KALE_CONTRACT section 3) tell which entries of a simulated footprint belong
to the farmer, to the block, or to everybody. The footprint of another call has the keys of another
farmer (and of another block) in their places. Sizes are the same, and so are the resources.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import unique

from stellar_sdk import xdr

from services.wallet.chain.build import wire
from services.wallet.chain.build.calls import Farm, FarmCall
from services.wallet.chain.build.wire import Resources
from services.wallet.domain.model import KeyEnum

#: Stroops added to the resource fee, for the entries that another plant may make meanwhile (a plant
#: that opens a block costs about 6,200 more). The unused part is refunded.
RESOURCE_FEE_MARGIN = 15_000


#: Additional CPU instructions of the plant that opens a block (recordings of a plant for block 3
#: and of one that opens block 4: 1,549,748 and 1,582,253; both write 1,440 bytes).
_OPENING_INSTRUCTIONS = 33_000
#: The first block that is opened like all later blocks: the farm's instance is shorter before it.
FIRST_ALIKE = 2


class UnderivableError(Exception):
    """No rule explains an entry of the farmer in the footprint: each call must be simulated."""


@unique
class Role(KeyEnum):
    """The owner of an entry of a footprint."""

    FIXED = "fixed"
    BLOCK = "block"
    PREVIOUS_BLOCK = "previous block"
    ACCOUNT = "account"
    TRUSTLINE = "trustline"
    PAIL = "pail"
    NONCE = "nonce"


@dataclass(frozen=True, kw_only=True)
class CarriedCall:
    """One call in a transaction."""

    #: The call.
    call: FarmCall
    #: Nonce of the farmer's authorisation; None when the farmer is the source or need not agree.
    nonce: int | None = None


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place in a footprint."""

    #: The owner of the entry.
    role: Role
    #: The LedgerKey, when the role is FIXED.
    key: bytes = b""


@dataclass(frozen=True, kw_only=True)
class ResourceTemplate:
    """Footprint and resources of a transaction with a number of calls of one kind."""

    #: Entries that are read.
    read_only: tuple[Slot, ...]
    #: Entries that are written.
    read_write: tuple[Slot, ...]
    #: CPU instructions.
    instructions: int
    #: Bytes read from disk.
    disk_read_bytes: int
    #: Bytes written.
    write_bytes: int
    #: Stroops for the resources, margin included.
    resource_fee: int


def opening_template(template: ResourceTemplate) -> ResourceTemplate:
    """Return the resource template of plants of which any may have to open its block.

    The given template is that of plants in a block that is open. An opening plant also reads the
    block before (KALE_CONTRACT section 6, plant step 6). From FIRST_ALIKE on, an opening plant
    writes as much as others, and the cost of a new Block is within the margin.
    """
    return replace(
        template,
        read_only=(*template.read_only, Slot(role=Role.PREVIOUS_BLOCK)),
        instructions=template.instructions + _OPENING_INSTRUCTIONS,
    )


def exactly(data: xdr.SorobanTransactionData, fee: int) -> Resources:
    """Return the resources that a simulation found, unchanged but for the margin on the fee.

    `fee` is the simulation's resource fee in stroops.
    """
    found = data.resources
    return Resources(
        read_only=tuple(key.to_xdr_bytes() for key in found.footprint.read_only),
        read_write=tuple(key.to_xdr_bytes() for key in found.footprint.read_write),
        instructions=found.instructions.uint32,
        disk_read_bytes=found.disk_read_bytes.uint32,
        write_bytes=found.write_bytes.uint32,
        fee=fee + RESOURCE_FEE_MARGIN,
    )


class TemplateReader:
    """A reader that learns resource templates from simulations and applies them to other calls."""

    def __init__(self, farm: Farm, *, asset: bytes) -> None:
        """Create a reader for one farm; `asset` is KALE as TrustLineAsset."""
        self._farm = farm
        self._asset = asset

    def learn(
        self, data: xdr.SorobanTransactionData, fee: int, carried_calls: Sequence[CarriedCall]
    ) -> ResourceTemplate:
        """Return the resource template of a simulated transaction with these calls.

        `fee` is the simulation's resource fee in stroops. Raises UnderivableError when a key has no
        role.
        """
        roles = self._roles(carried_calls)
        keys = [carried_call.call.key for carried_call in carried_calls]
        footprint, resources = data.resources.footprint, data.resources
        return ResourceTemplate(
            read_only=_slots(footprint.read_only, roles, keys),
            read_write=_slots(footprint.read_write, roles, keys),
            instructions=resources.instructions.uint32,
            disk_read_bytes=resources.disk_read_bytes.uint32,
            write_bytes=resources.write_bytes.uint32,
            resource_fee=fee + RESOURCE_FEE_MARGIN,
        )

    def apply(self, template: ResourceTemplate, carried_calls: Sequence[CarriedCall]) -> Resources:
        """Return the resources of as many calls of the same kind."""
        return Resources(
            read_only=self._keys(template.read_only, carried_calls),
            read_write=self._keys(template.read_write, carried_calls),
            instructions=template.instructions,
            disk_read_bytes=template.disk_read_bytes,
            write_bytes=template.write_bytes,
            fee=template.resource_fee,
        )

    def _keys(
        self, slots: Sequence[Slot], carried_calls: Sequence[CarriedCall]
    ) -> tuple[bytes, ...]:
        found: dict[bytes, None] = {}  # no key may occur twice
        for slot in slots:
            keys = [slot.key] if slot.key else (self._key(slot.role, one) for one in carried_calls)
            found |= dict.fromkeys(keys)
        return tuple(found)

    def _key(self, role: Role, carried_call: CarriedCall) -> bytes:
        call, farm = carried_call.call, self._farm
        match role:
            case Role.BLOCK:
                return farm.block_key(call.block_index)
            case Role.PREVIOUS_BLOCK:
                return farm.block_key(call.block_index - 1)
            case Role.ACCOUNT:
                return wire.account_key(call.key)
            case Role.TRUSTLINE:
                return wire.trustline_key(call.key, self._asset)
            case Role.PAIL:
                return farm.pail_key(call.key, call.block_index)
            case Role.NONCE if carried_call.nonce is not None:
                return wire.nonce_key(call.key, carried_call.nonce)
        raise UnderivableError(f"{role.value} of {call.farmer}")

    def _roles(self, carried_calls: Iterable[CarriedCall]) -> Mapping[bytes, Role]:
        # Of calls of several blocks, one's block is another's previous one: it is a block.
        roles = {
            self._key(Role.PREVIOUS_BLOCK, carried_call): Role.PREVIOUS_BLOCK
            for carried_call in carried_calls
            if carried_call.call.block_index > 0
        }
        for carried_call in carried_calls:
            wanted = [Role.BLOCK, Role.ACCOUNT, Role.TRUSTLINE, Role.PAIL]
            if carried_call.nonce is not None:
                wanted.append(Role.NONCE)
            roles |= {self._key(role, carried_call): role for role in wanted}
        return roles


def _slots(
    keys: Sequence[xdr.LedgerKey], roles: Mapping[bytes, Role], farmers: Sequence[bytes]
) -> tuple[Slot, ...]:
    """Return one slot per role: with several calls, each farmer has the same roles."""
    found: dict[Slot, None] = {}
    for key in keys:
        encoded = key.to_xdr_bytes()
        role = roles.get(encoded, Role.FIXED)
        if role is Role.FIXED and any(farmer in encoded for farmer in farmers):
            raise UnderivableError(f"an entry of the farmer's own: {encoded.hex()}")
        found[Slot(role=role, key=encoded if role is Role.FIXED else b"")] = None
    return tuple(found)
