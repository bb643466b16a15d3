"""Every envelope that wallet signs, on one network: no node is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.wallet.chain.envelopes import (
    Terms,
    raise_bid,
    replacing_bid,
    sign_bumped,
    sign_direct,
)
from services.wallet.chain.loads import Load, authorize
from services.wallet.chain.model import SignedEnvelope, Signer
from services.wallet.chain.networks import Network
from services.wallet.chain.onboarding import Newcomer, Opening, sign_onboarding, sign_openings
from services.wallet.chain.payouts import Payment, sign_payments
from services.wallet.chain.shapes import Seat
from services.wallet.chain.wire import Resources


@dataclass(frozen=True, kw_only=True)
class Bid:
    """What one envelope may cost and how long it lives."""

    #: Close time (unix seconds) after which no ledger may take it.
    max_time: int
    #: Stroops bid per operation for inclusion.
    inclusion_fee: int
    #: Stroops that the network may charge at most.
    max_fee: int


class Signing:
    """Signs for one network."""

    def __init__(self, network: Network) -> None:
        self.network = network

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

    def sign_openings(
        self, openings: Sequence[Opening], *, treasury: Signer, sequence: int, bid: Bid
    ) -> SignedEnvelope:
        """Sign a transaction that creates up to 100 accounts of the pool."""
        return sign_openings(openings, treasury=treasury, sequence=sequence, terms=self._terms(bid))

    def sign_payments(
        self,
        payments: Sequence[Payment],
        *,
        payer: Signer,
        treasury: Signer,
        sequence: int,
        bump_to: int,
        bid: Bid,
    ) -> SignedEnvelope:
        """Sign a payer's transaction under the treasury's fee bump. FeeCapExceededError."""
        return sign_payments(
            payments,
            payer=payer,
            treasury=treasury,
            sequence=sequence,
            bump_to=bump_to,
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

    def _terms(self, bid: Bid) -> Terms:
        return Terms(
            passphrase=self.network.passphrase,
            max_time=bid.max_time,
            inclusion_fee=bid.inclusion_fee,
            max_fee=bid.max_fee,
        )
