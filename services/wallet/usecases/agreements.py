"""Use cases of agreements, and of whose word decides about a farmer: one coroutine per verb."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.grpc.identity import Caller, CallerKind
from libs.common.ids import FarmerId, PoolerId
from libs.common.log import get_security_logger
from services.wallet.domain.agreements import (
    Agreement,
    AgreementRules,
    Giver,
    LeaveWish,
    Objection,
    OwnerWish,
    PayoutWish,
    Proof,
    TermsWish,
    Wish,
    check_fees,
)
from services.wallet.store.agreements import AgreementStore
from services.wallet.store.own_say import OwnSayStore, text_of
from services.wallet.store.owners import OwnerAccounts, OwnerStore
from services.wallet.store.wallets import WalletStore

security = get_security_logger()


@dataclass(frozen=True, kw_only=True)
class Agreements:
    """Use cases of agreements, and the parts that they use."""

    wallets: WalletStore
    agreements: AgreementStore
    owners: OwnerStore
    own_say: OwnSayStore
    rules: AgreementRules

    async def set_terms(self, farmer_id: FarmerId, wish: TermsWish, caller: Caller) -> Agreement:
        """Record a farmer's terms in the name of the caller."""
        return await self._agree(farmer_id, wish, giver_of(caller), caller)

    async def _agree(
        self, farmer_id: FarmerId, wish: TermsWish, giver: Giver, caller: Caller
    ) -> Agreement:
        made = await self.own_say.agree(farmer_id, wish.terms, giver, address=wish.address)
        security.info(
            "agreement",
            farmer=str(farmer_id),
            number=made.number,
            pooler_bps=made.pooler_bps,
            by=made.given_by,
            actor=caller.actor,
        )
        return made

    async def set_address(self, farmer_id: FarmerId, address: str, caller: Caller) -> datetime:
        """Register a farmer's outside address in the name of the caller.

        Return the moment from which the address counts.
        """
        return await self._pay_to(farmer_id, address, giver_of(caller), caller)

    async def _pay_to(
        self, farmer_id: FarmerId, address: str, giver: Giver, caller: Caller
    ) -> datetime:
        moment = await self.own_say.set_address(farmer_id, address, giver)
        security.info(
            "payout address set",
            farmer=str(farmer_id),
            address=address,
            by=giver.proof.value,
            actor=caller.actor,
        )
        return moment

    async def set_owner(self, farmer_id: FarmerId, owner: str, caller: Caller) -> datetime:
        """Set the account that speaks for a farmer, in the name of the caller."""
        return await self._hand_over(farmer_id, owner, giver_of(caller), caller)

    async def _hand_over(
        self, farmer_id: FarmerId, owner: str, giver: Giver, caller: Caller
    ) -> datetime:
        moment = await self.own_say.set_owner(farmer_id, owner, giver)
        security.warning(
            "owner account set",
            farmer=str(farmer_id),
            owner=owner,
            by=giver.proof.value,
            actor=caller.actor,
        )
        return moment

    async def of_farmer(self, farmer_id: FarmerId) -> Sequence[Agreement]:
        """Return a farmer's agreements, in the order of their numbers."""
        return await self.agreements.of_wallet((await self.wallets.of_farmer(farmer_id)).id)

    async def owner_of(self, farmer_id: FarmerId) -> OwnerAccounts:
        """Return the account that speaks for a farmer, and the one that is to."""
        return await self.owners.accounts((await self.wallets.of_farmer(farmer_id)).id)

    async def mark(self, pooler_id: PoolerId, *, farms_for_itself: bool, actor: str) -> None:
        """Say whether a pooler farms for itself."""
        if await self.owners.mark(pooler_id, farms_for_itself=farms_for_itself, actor=actor):
            security.warning(
                "pooler marked",
                pooler=str(pooler_id),
                farms_for_itself=farms_for_itself,
                actor=actor,
            )

    # What a farmer signs ----------------------------------------------------------------------

    async def draft(self, farmer_id: FarmerId, wish: Wish) -> tuple[str, str]:
        """Return the text of a wish as it has to be signed now, and the account that signs it."""
        if isinstance(wish, TermsWish):
            check_fees(wish.terms, self.rules)
        held = await self.own_say.held(farmer_id)
        return text_of(held, wish, self.rules), held.parties.owner

    async def sign(
        self, farmer_id: FarmerId, wish: Wish, signature: bytes, caller: Caller
    ) -> datetime | None:
        """Do what a farmer wants by its signature, whoever brings it.

        Return from when on it counts; None: at once, as an objection, or a wish to leave.
        """
        giver = Giver(given_by=caller.actor, proof=Proof.SIGNATURE, signature=signature)
        match wish:
            case TermsWish():
                return (await self._agree(farmer_id, wish, giver, caller)).effective_at
            case PayoutWish(address=address):
                return await self._pay_to(farmer_id, address, giver, caller)
            case OwnerWish(owner=owner):
                return await self._hand_over(farmer_id, owner, giver, caller)
            case Objection():
                await self.own_say.object_to(farmer_id, giver)
                security.warning("objection", farmer=str(farmer_id), actor=caller.actor)
                return None
            case LeaveWish():
                if await self.own_say.wish_to_leave(farmer_id, giver):
                    security.warning("wish to leave", farmer=str(farmer_id), actor=caller.actor)
                return None


def giver_of(caller: Caller) -> Giver:
    """Return whose word a call is."""
    if caller.kind is CallerKind.OPERATOR:
        proof = Proof.OPERATOR
    elif caller.kind is CallerKind.OWNER:
        proof = Proof.OWNER
    elif caller.kind is CallerKind.UNKNOWN:
        proof = Proof.PLAINTEXT
    else:
        proof = Proof.CERTIFICATE if caller.grant is None else Proof.TOKEN
    return Giver(given_by=caller.actor, proof=proof)
