"""What a transaction carries: one call of a farmer, or several through the multicall contract."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.wallet.chain.build import wire
from services.wallet.chain.build.calls import FarmCall
from services.wallet.chain.build.resource_templates import Seat
from services.wallet.chain.build.wire import Invocation
from services.wallet.chain.networks import Network
from services.wallet.domain.chain_facts import Signer


@dataclass(frozen=True, kw_only=True)
class Load:
    """One invocation with the authorisations that it needs."""

    #: What the transaction calls.
    invocation: Invocation
    #: The farmers' calls in it, in order.
    seats: tuple[Seat, ...]
    #: SorobanAuthorizationEntries.
    authorizations: tuple[bytes, ...] = ()


def alone(call: FarmCall) -> Load:
    """One call; a farmer that has to agree must be the transaction's source."""
    agreed = (wire.source_authorization(call.authorized()),) if call.needs_farmer else ()
    return Load(invocation=call.invocation, seats=(Seat(call=call),), authorizations=agreed)


def together(multicall: bytes, seats: Sequence[Seat], authorizations: Sequence[bytes] = ()) -> Load:
    """Calls of several farmers through the multicall contract (raw id): one fails for itself."""
    calls = [
        wire.sc_vec(
            [
                wire.sc_contract(seat.call.invocation.contract),
                wire.sc_symbol(seat.call.invocation.function),
                wire.sc_vec(seat.call.invocation.arguments),
            ]
        )
        for seat in seats
    ]
    return Load(
        invocation=Invocation(contract=multicall, function="exec", arguments=(wire.sc_vec(calls),)),
        seats=tuple(seats),
        authorizations=tuple(authorizations),
    )


def authorize(seat: Seat, signer: Signer, *, network: Network, expiration: int) -> bytes:
    """The farmer's authorisation of its call until a ledger, for a source that is not its own.

    The nonce is the seat's; its entry lives until `expiration` and is paid for until then.
    """
    if seat.nonce is None:
        raise ValueError(f"the call of {seat.call.farmer} has no nonce")
    invocation = seat.call.authorized()
    payload = wire.authorization_hash(
        network.id, nonce=seat.nonce, expiration=expiration, invocation=invocation
    )
    return wire.authorization(
        seat.call.key,
        nonce=seat.nonce,
        expiration=expiration,
        signature=signer.sign(payload),
        invocation=invocation,
    )
