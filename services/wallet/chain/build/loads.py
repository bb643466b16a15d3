"""The loads of transactions: one call of a farmer, or several through the multicall contract."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.wallet.chain.build import wire
from services.wallet.chain.build.calls import FarmCall
from services.wallet.chain.build.resource_templates import CarriedCall
from services.wallet.chain.build.wire import Invocation
from services.wallet.chain.networks import Network
from services.wallet.domain.chain_facts import Signer


@dataclass(frozen=True, kw_only=True)
class Load:
    """One invocation with the authorisations that it needs."""

    #: The invocation that the transaction makes.
    invocation: Invocation
    #: The farmers' calls in the invocation, in order.
    carried_calls: tuple[CarriedCall, ...]
    #: SorobanAuthorizationEntries.
    authorizations: tuple[bytes, ...] = ()


def alone(call: FarmCall) -> Load:
    """Make a load of one call; a farmer that has to agree must be the transaction's source."""
    agreed = (wire.source_authorization(call.authorized()),) if call.needs_farmer else ()
    return Load(
        invocation=call.invocation, carried_calls=(CarriedCall(call=call),), authorizations=agreed
    )


def together(
    multicall: bytes, carried_calls: Sequence[CarriedCall], authorizations: Sequence[bytes] = ()
) -> Load:
    """Make a load of several farmers' calls through the multicall contract (raw id).

    A call that fails does not make the other calls fail.
    """
    calls = [
        wire.sc_vec(
            [
                wire.sc_contract(carried_call.call.invocation.contract),
                wire.sc_symbol(carried_call.call.invocation.function),
                wire.sc_vec(carried_call.call.invocation.arguments),
            ]
        )
        for carried_call in carried_calls
    ]
    return Load(
        invocation=Invocation(contract=multicall, function="exec", arguments=(wire.sc_vec(calls),)),
        carried_calls=tuple(carried_calls),
        authorizations=tuple(authorizations),
    )


def authorize(
    carried_call: CarriedCall, signer: Signer, *, network: Network, expiration: int
) -> bytes:
    """Sign the farmer's authorisation of its call until a ledger, for another account as source.

    The nonce is that of `carried_call`. The nonce's entry lives until `expiration` and is paid for
    until then.
    """
    if carried_call.nonce is None:
        raise ValueError(f"the call of {carried_call.call.farmer} has no nonce")
    invocation = carried_call.call.authorized()
    payload = wire.authorization_hash(
        network.id, nonce=carried_call.nonce, expiration=expiration, invocation=invocation
    )
    return wire.authorization(
        carried_call.call.key,
        nonce=carried_call.nonce,
        expiration=expiration,
        signature=signer.sign(payload),
        invocation=invocation,
    )
