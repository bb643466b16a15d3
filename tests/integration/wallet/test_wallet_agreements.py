"""Agreements, owner accounts and signed wishes through a running wallet."""

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


async def test_a_farmer_agrees_is_paid_and_hands_over_by_its_own_signature(
    world: WalletWorld,
) -> None:
    """Of a pooler that farms for others, from the registration to the payout."""
    owner, pooler = Keypair.random(), str(new_id())
    async with open_channel(world.target) as channel, SorobanServerAsync(world.rpc_url) as rpc:
        say = agreement_pb2_grpc.AgreementServiceStub(channel)
        payouts = withdrawal_pb2_grpc.WithdrawalServiceStub(channel)
        address = await Outside(world, rpc).account()
        made = await world.stub.CreateWallet(
            wallet_pb2.CreateWalletRequest(
                farmer_id=str(new_id()),
                pooler_id=pooler,
                payout_address=address,
                stake_percentage="0.5",
                owner_account=owner.public_key,
                terms=TERMS,
                given_by="spiffe://kalepool/pooler/7",
                proof=agreement_pb2.AGREEMENT_PROOF_CERTIFICATE,
            )
        )
        farmer = made.wallet.farmer_id

        async def sign(wish: agreement_pb2.Wish, key: Keypair = owner) -> Any:
            draft = await say.DraftWish(agreement_pb2.DraftWishRequest(farmer_id=farmer, wish=wish))
            assert draft.owner_account == owner.public_key
            signature = key.sign(message_hash(draft.text))
            return await say.SignWish(
                agreement_pb2.SignWishRequest(farmer_id=farmer, wish=wish, signature=signature)
            )

        listed = agreement_pb2.ListAgreementsRequest(farmer_id=farmer)
        (first,) = (await say.ListAgreements(listed)).agreements
        assert (first.terms, first.given_by) == (TERMS, "spiffe://kalepool/pooler/7")
        assert first.state == agreement_pb2.AGREEMENT_STATE_IN_FORCE
        # The address of the registration counts for nothing yet.
        withdraw = withdrawal_pb2.WithdrawRequest(
            request_id="one",
            farmer_id=farmer,
            asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
            amount=KALE,
        )
        assert await refused(payouts.Withdraw(withdraw)) == "PAYOUT_ADDRESS_MISSING"
        change = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer, address=address)
        assert await refused(payouts.SetPayoutAddress(change)) == "PAYOUT_ADDRESS_NOT_YOURS"
        wish = agreement_pb2.Wish(payout_address=address)
        assert await refused(sign(wish, Keypair.random())) == "SIGNATURE_WRONG"
        # A dearer offer waits; the farmer takes it at once, and names where it is paid.
        dearer = agreement_pb2.AgreedTerms()
        dearer.CopyFrom(TERMS)
        dearer.pooler_fee = "0.1"
        offer = agreement_pb2.SetAgreementRequest(farmer_id=farmer, terms=dearer)
        announced = (await say.SetAgreement(offer)).agreement
        assert announced.state == agreement_pb2.AGREEMENT_STATE_TO_COME
        both = agreement_pb2.TermsWish(terms=dearer, payout_address=address)
        await sign(agreement_pb2.Wish(terms=both))
        page = agreement_pb2.ListAgreementsRequest(farmer_id=farmer, page_size=2)
        reply = await say.ListAgreements(page)
        assert [(one.number, one.state) for one in reply.agreements] == [
            (3, agreement_pb2.AGREEMENT_STATE_IN_FORCE),
            (2, agreement_pb2.AGREEMENT_STATE_PAST),
        ]
        page.page_token = reply.next_page_token
        assert [one.number for one in (await say.ListAgreements(page)).agreements] == [1]
        await world.wait_until_ready([farmer], pooler_id=pooler)
        await world.pay_kale([made.wallet.address], 2 * KALE)
        done = (await payouts.Withdraw(withdraw, timeout=PATIENCE)).withdrawal
        assert done.operation.state == wallet_pb2.OPERATION_STATE_SUCCEEDED
        assert await Outside(world, rpc).kale(address) == KALE
        # Another account speaks for it from now on.
        heir = Keypair.random().public_key
        await sign(agreement_pb2.Wish(owner_account=heir))
        whose = agreement_pb2.GetOwnerAccountRequest(farmer_id=farmer)
        assert (await say.GetOwnerAccount(whose)).owner_account == heir


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
