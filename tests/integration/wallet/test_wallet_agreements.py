"""Agreements, owner accounts and signed wishes through a running wallet."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from kalepool.wallet.v1 import (
    agreement_pb2,
    agreement_pb2_grpc,
    wallet_pb2,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)
from stellar_sdk import Keypair
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.grpc.client import open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.ids import new_id
from libs.kale.signed_message import message_hash
from tests.support.payers import KALE, Outside
from tests.support.wallet_world import PATIENCE, WalletWorld

TERMS = agreement_pb2.AgreedTerms(
    stake_percentage="0.5",
    pooler_fee="0.05",
    miners_part="0.2",
    payout_threshold=10**7,
    payout_interval_seconds=86_400,
    harvest_blocks=3,
    terms_version=2,
    terms_digest=b"\x07" * 32,
)


async def refused(call: Any) -> str:
    """The reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value).reason


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A farmer of a pooler that farms for others, and what it calls."""

    say: Any
    payouts: Any
    farmer_id: str
    #: Its custodial account, and where it wants to be paid.
    address: str
    outside: str
    pooler_id: str
    owner: Keypair = field(default_factory=Keypair.random)

    async def sign(self, wish: agreement_pb2.Wish, key: Keypair | None = None) -> None:
        """Have the owner, or another key, sign a wish."""
        request = agreement_pb2.DraftWishRequest(farmer_id=self.farmer_id, wish=wish)
        draft = await self.say.DraftWish(request)
        assert draft.owner_account == self.owner.public_key
        signature = (key or self.owner).sign(message_hash(draft.text))
        await self.say.SignWish(
            agreement_pb2.SignWishRequest(farmer_id=self.farmer_id, wish=wish, signature=signature)
        )

    async def agreements(self, size: int = 0, token: str = "") -> Any:
        """A page of its agreements."""
        return await self.say.ListAgreements(
            agreement_pb2.ListAgreementsRequest(
                farmer_id=self.farmer_id, page_size=size, page_token=token
            )
        )

    async def withdraw(self) -> withdrawal_pb2.Withdrawal:
        """Ask for 1 KALE, always by the same request."""
        request = withdrawal_pb2.WithdrawRequest(
            request_id="one",
            farmer_id=self.farmer_id,
            asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
            amount=KALE,
        )
        reply = await self.payouts.Withdraw(request, timeout=PATIENCE)
        made: withdrawal_pb2.Withdrawal = reply.withdrawal
        return made


@pytest.fixture
async def joined(world: WalletWorld) -> AsyncIterator[Joined]:
    """Register a farmer with an owner account, terms and an address."""
    owner, pooler = Keypair.random(), str(new_id())
    async with open_channel(world.target) as channel, SorobanServerAsync(world.rpc_url) as rpc:
        outside = await Outside(world, rpc).account()
        request = wallet_pb2.CreateWalletRequest(
            farmer_id=str(new_id()),
            pooler_id=pooler,
            payout_address=outside,
            stake_percentage="0.5",
            owner_account=owner.public_key,
            terms=TERMS,
            given_by="spiffe://kalepool/pooler/7",
            proof=agreement_pb2.AGREEMENT_PROOF_CERTIFICATE,
        )
        made = (await world.stub.CreateWallet(request)).wallet
        yield Joined(
            say=agreement_pb2_grpc.AgreementServiceStub(channel),
            payouts=withdrawal_pb2_grpc.WithdrawalServiceStub(channel),
            farmer_id=made.farmer_id,
            address=made.address,
            outside=outside,
            pooler_id=pooler,
            owner=owner,
        )


async def test_a_farmer_is_paid_where_its_owner_account_has_signed(
    world: WalletWorld, joined: Joined
) -> None:
    """The address of the registration counts for nothing before."""
    await world.wait_until_ready([joined.farmer_id], pooler_id=joined.pooler_id)
    await world.pay_kale([joined.address], 2 * KALE)
    assert await refused(joined.withdraw()) == "PAYOUT_ADDRESS_MISSING"
    change = withdrawal_pb2.SetPayoutAddressRequest(
        farmer_id=joined.farmer_id, address=joined.outside
    )
    assert await refused(joined.payouts.SetPayoutAddress(change)) == "PAYOUT_ADDRESS_NOT_YOURS"
    wish = agreement_pb2.Wish(payout_address=joined.outside)
    assert await refused(joined.sign(wish, Keypair.random())) == "SIGNATURE_WRONG"
    await joined.sign(wish)
    done = await joined.withdraw()
    assert done.operation.state == wallet_pb2.OPERATION_STATE_SUCCEEDED
    assert done.destination == joined.outside


async def test_a_dearer_offer_waits_unless_the_farmer_takes_it(joined: Joined) -> None:
    (first,) = (await joined.agreements()).agreements
    assert (first.terms, first.given_by) == (TERMS, "spiffe://kalepool/pooler/7")
    assert first.state == agreement_pb2.AGREEMENT_STATE_IN_FORCE
    dearer = agreement_pb2.AgreedTerms()
    dearer.CopyFrom(TERMS)
    dearer.pooler_fee = "0.1"
    offer = agreement_pb2.SetAgreementRequest(farmer_id=joined.farmer_id, terms=dearer)
    free = agreement_pb2.AgreedTerms()
    free.CopyFrom(TERMS)
    free.pooler_fee = "0"
    wish = agreement_pb2.Wish(terms=agreement_pb2.TermsWish(terms=free))
    assert await refused(joined.sign(wish)) == "TERMS_NOT_OFFERED"
    announced = (await joined.say.SetAgreement(offer)).agreement
    assert announced.state == agreement_pb2.AGREEMENT_STATE_TO_COME
    both = agreement_pb2.TermsWish(terms=dearer, payout_address=joined.outside)
    await joined.sign(agreement_pb2.Wish(terms=both))
    reply = await joined.agreements(size=2)
    assert [(one.number, one.state) for one in reply.agreements] == [
        (3, agreement_pb2.AGREEMENT_STATE_IN_FORCE),
        (2, agreement_pb2.AGREEMENT_STATE_PAST),
    ]
    (last,) = (await joined.agreements(size=2, token=reply.next_page_token)).agreements
    assert last.number == 1
    asked = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=joined.farmer_id)
    assert (await joined.payouts.GetPayoutAddress(asked)).address == joined.outside


async def test_an_owner_account_hands_over(joined: Joined) -> None:
    heir = Keypair.random().public_key
    await joined.sign(agreement_pb2.Wish(owner_account=heir))
    whose = agreement_pb2.GetOwnerAccountRequest(farmer_id=joined.farmer_id)
    assert (await joined.say.GetOwnerAccount(whose)).owner_account == heir


async def test_the_rules_are_told_and_fees_beyond_them_refused(world: WalletWorld) -> None:
    farmer = next(iter(await world.create_farmers(1)))
    async with open_channel(world.target) as channel:
        say = agreement_pb2_grpc.AgreementServiceStub(channel)
        assert await say.GetAgreementRules(
            agreement_pb2.GetAgreementRulesRequest()
        ) == agreement_pb2.GetAgreementRulesResponse(
            operator_fee="0",
            max_fee="0.3",
            notice_seconds=604_800,
            operator_cooling_seconds=2_592_000,
        )
        everything = agreement_pb2.AgreedTerms()
        everything.CopyFrom(TERMS)
        everything.pooler_fee = "1"
        asked = agreement_pb2.SetAgreementRequest(farmer_id=farmer, terms=everything)
        assert await refused(say.SetAgreement(asked)) == "FEE_TOO_HIGH"
        wish = agreement_pb2.Wish(payout_address=Keypair.random().public_key)
        draft = agreement_pb2.DraftWishRequest(farmer_id=farmer, wish=wish)
        assert await refused(say.DraftWish(draft)) == "OWNER_ACCOUNT_MISSING"
