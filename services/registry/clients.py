"""Client of wallet for registry.

wallet makes wallets, and pays out to one address of each farmer.
"""

from uuid import UUID

import grpc
from kalepool.wallet.v1 import (
    agreement_pb2,
    agreement_pb2_grpc,
    approval_pb2,
    approval_pb2_grpc,
    closing_pb2,
    closing_pb2_grpc,
    payout_pb2,
    payout_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)

from libs.common.grpc.client import call
from libs.common.grpc.health import is_serving
from libs.common.grpc.second_person import Order
from libs.common.ids import FarmerId, PoolerId, WalletId
from libs.kale.amounts import format_percentage, parse_percentage
from services.registry.domain.model import Farmer
from services.registry.domain.terms import FeeRules, Terms

#: Seconds for one call.
TIMEOUT = 15.0
#: By what whoever registered a farmer was known.
_PROOFS = {
    name.removeprefix("AGREEMENT_PROOF_").lower(): number
    for name, number in agreement_pb2.AgreementProof.items()
}


class WalletClient:
    """Typed calls of wallet."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(
            channel
        )
        self._withdrawals: withdrawal_pb2_grpc.WithdrawalServiceAsyncStub = (
            withdrawal_pb2_grpc.WithdrawalServiceStub(channel)
        )
        self._agreements: agreement_pb2_grpc.AgreementServiceAsyncStub = (
            agreement_pb2_grpc.AgreementServiceStub(channel)
        )
        self._payouts: payout_pb2_grpc.PayoutServiceAsyncStub = payout_pb2_grpc.PayoutServiceStub(
            channel
        )
        self._closings: closing_pb2_grpc.ClosingServiceAsyncStub = (
            closing_pb2_grpc.ClosingServiceStub(channel)
        )
        self._approvals: approval_pb2_grpc.ApprovalServiceAsyncStub = (
            approval_pb2_grpc.ApprovalServiceStub(channel)
        )

    async def is_serving(self) -> bool:
        """Tell whether wallet is serving, for the health check."""
        return await is_serving(self._channel)

    async def create_wallet(self, farmer: Farmer, terms: Terms | None) -> tuple[WalletId, str]:
        """Return the farmer's wallet and its address; make the wallet when there is none.

        The farmer agrees to `terms` by that. A repeated call returns the same wallet.
        """
        request = wallet_pb2.CreateWalletRequest(
            farmer_id=str(farmer.farmer_id),
            pooler_id=str(farmer.pooler_id),
            payout_address=farmer.payout_wallet_address,
            stake_percentage=format_percentage(farmer.stake_bps),
            owner_account=farmer.owner_account,
            terms=None if terms is None else _agreed(terms),
            given_by=farmer.registered_by,
            proof=_PROOFS.get(farmer.proof, agreement_pb2.AGREEMENT_PROOF_UNSPECIFIED),
        )
        response = await call(self._stub.CreateWallet, request, timeout=TIMEOUT)
        return WalletId(UUID(response.wallet.wallet_id)), response.wallet.address

    async def fee_rules(self) -> FeeRules:
        """Return the pool's rules for fees."""
        request = agreement_pb2.GetAgreementRulesRequest()
        found = await call(self._agreements.GetAgreementRules, request, timeout=TIMEOUT)
        return FeeRules(
            operator_bps=parse_percentage(found.operator_fee),
            max_fee_bps=parse_percentage(found.max_fee),
        )

    async def create_pooler_wallet(self, pooler_id: PoolerId, address: str) -> None:
        """Have a pooler's custodial account made, which pays the pooler to this address.

        A repeated call changes nothing.
        """
        request = payout_pb2.CreatePoolerWalletRequest(
            pooler_id=str(pooler_id), pooler_address=address
        )
        await call(self._payouts.CreatePoolerWallet, request, timeout=TIMEOUT)

    async def close_account(self, owner_id: UUID, *, is_pooler: bool) -> bool:
        """Have the account of a farmer or a pooler closed; tell whether it is gone.

        Raise FailedPreconditionError for what keeps it open.
        """
        request = closing_pb2.CloseAccountRequest(
            farmer_id="" if is_pooler else str(owner_id),
            pooler_id=str(owner_id) if is_pooler else "",
        )
        found = await call(self._closings.CloseAccount, request, timeout=TIMEOUT)
        return found.state == wallet_pb2.OPERATION_STATE_SUCCEEDED

    async def stake_limit(self, farmer_id: FarmerId) -> int:
        """Return what a farmer may stake at most, in ten-thousandths of its balance."""
        request = wallet_pb2.GetWalletRequest(farmer_id=str(farmer_id))
        found = await call(self._stub.GetWallet, request, timeout=TIMEOUT)
        return parse_percentage(found.wallet.stake_limit)

    async def newest_payout_address(self, farmer_id: FarmerId) -> str:
        """Return the address that was set last, whether or not it counts already; "" for none."""
        request = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=str(farmer_id))
        found = await call(self._withdrawals.GetPayoutAddress, request, timeout=TIMEOUT)
        return found.pending_address if found.HasField("pending_effective_at") else found.address

    async def use_approval(self, order: Order) -> None:
        """Return when an operator's order may be carried out; its approval is used up then.

        Raise FailedPreconditionError (SECOND_PERSON) while no other operator has approved it.
        """
        request = approval_pb2.UseApprovalRequest(
            method=order.method,
            digest=order.digest,
            request=order.request,
            asked_by=order.asked_by,
            actor=order.actor,
        )
        await call(self._approvals.UseApproval, request, timeout=TIMEOUT)


def _agreed(terms: Terms) -> agreement_pb2.AgreedTerms:
    """Return what a farmer agrees to by joining under terms."""
    return agreement_pb2.AgreedTerms(
        stake_percentage=format_percentage(terms.stake_bps),
        pooler_fee=format_percentage(terms.pooler_bps),
        miners_part=format_percentage(terms.miners_bps),
        payout_threshold=terms.payout_threshold,
        payout_interval_seconds=terms.payout_interval_seconds,
        harvest_blocks=terms.harvest_blocks,
        terms_version=terms.version,
        terms_digest=terms.digest,
    )
