"""The table of operators' orders that take a second person, while SECOND_PERSON_SECONDS is set.

Each method that an operator may call stands in one of the two tables: a test compares them with
services/access.py, which is compared with the protos.
"""

from collections.abc import Mapping

from libs.common.grpc.second_person import Covered

_AGREEMENT = "/kalepool.wallet.v1.AgreementService"
_CUSTODY = "/kalepool.wallet.v1.CustodyService"
_REGISTRY = "/kalepool.registry.v1.RegistryService"
_LOGIN = "/kalepool.wallet.v1.LoginService"
_NOTIFICATION = "/kalepool.registry.v1.NotificationService"
_PAYOUTS = "/kalepool.harvest.v1.PayoutsService"
_REPORT = "/kalepool.report.v1.ReportService"
_TOKEN = "/kalepool.wallet.v1.TokenService"  # noqa: S105  (a service's name)
_WITHDRAWAL = "/kalepool.wallet.v1.WithdrawalService"

#: What an operator's certificate can move.
COVERED: Mapping[str, Covered] = {
    f"{_CUSTODY}/ExportKey": Covered(moves="a farmer's key, and all that it signs for"),
    f"{_CUSTODY}/ResumeSigning": Covered(moves="all that a pause holds back"),
    f"{_CUSTODY}/ReleaseOperation": Covered(moves="what an operation does, perhaps once more"),
    "/kalepool.wallet.v1.WalletService/SetStakeLimit": Covered(moves="how much a farmer stakes"),
    f"{_WITHDRAWAL}/SetPayoutAddress": Covered(moves="where a farmer's money goes"),
    f"{_AGREEMENT}/SetAgreement": Covered(moves="what is taken of a farmer's rewards"),
    f"{_AGREEMENT}/SetOwnerAccount": Covered(moves="who speaks for a farmer"),
    f"{_AGREEMENT}/MarkPooler": Covered(moves="where a pooler may have its farmers' money go"),
    f"{_WITHDRAWAL}/Withdraw": Covered(
        moves="a farmer's money",
        is_repeatable=True,
        named_by=("farmer_id", "request_id"),
        # The address that counts when it is used need not be the one that counted when somebody
        # agreed.
        needs=("destination",),
    ),
    # Everybody's money, to where it belongs: what moves little takes one operator.
    f"{_PAYOUTS}/RunPayouts": Covered(
        moves="what the pool owes, at once",
        is_repeatable=True,
        named_by=("request_id",),
        above="max_amount",
    ),
    f"{_PAYOUTS}/PayNow": Covered(
        moves="a farmer's money",
        is_repeatable=True,
        named_by=("farmer_id", "request_id"),
        above="amount",
    ),
    f"{_PAYOUTS}/SetPayoutSwitch": Covered(
        moves="all that waits to be paid", unless=frozenset({"is_off"})
    ),
    "/kalepool.wallet.v1.KeyService/RotateKeys": Covered(moves="all keys, to another KEK"),
    "/kalepool.wallet.v1.OrderService/SignOrders": Covered(moves="what wallet acts on"),
    "/kalepool.wallet.v1.OrderService/ReplaceRowKey": Covered(moves="the key of all orders"),
    "/kalepool.wallet.v1.EngineService/ReclaimReserves": Covered(
        moves="accounts of farmers, into the treasury"
    ),
    "/kalepool.wallet.v1.EngineService/DeployMulticall": Covered(moves="the treasury's XLM"),
    # What poolers do with what is theirs takes no second person, so a token of theirs has to.
    f"{_TOKEN}/CreateToken": Covered(
        moves="who may call the pool, and in whose name", unless=frozenset({"is_read_only"})
    ),
    # Each pooler has a budget of its own of the treasury's reserves.
    f"{_REGISTRY}/RegisterPooler": Covered(moves="reserves of the treasury, for as many farmers"),
    f"{_REGISTRY}/LeaveFarmer": Covered(moves="all that a farmer has, and its account"),
    f"{_REGISTRY}/LeavePooler": Covered(
        moves="all that a pooler's farmers have, and their accounts"
    ),
    f"{_REGISTRY}/PublishTerms": Covered(moves="what a pooler's new farmers agree to"),
    f"{_REGISTRY}/UpdatePooler": Covered(
        moves="how much of the treasury's reserves a pooler can use",
        fields=frozenset({"max_farmers"}),
    ),
}

_READS = "reads only"
_STOPS = "stops something, which must not wait"
#: What an operator may do alone, and why.
FREE: Mapping[str, str] = {
    "/kalepool.common.v1.InfoService/GetInfo": _READS,
    "/kalepool.common.v1.InfoService/GetStatus": _READS,
    f"{_REGISTRY}/GetPooler": _READS,
    f"{_REGISTRY}/ListPoolers": _READS,
    f"{_REGISTRY}/GetTerms": _READS,
    f"{_REGISTRY}/SuspendPooler": _STOPS,
    f"{_REGISTRY}/ResumePooler": "lets a pooler farm on, within its limits",
    f"{_REGISTRY}/Heartbeat": "moves nothing",
    f"{_REGISTRY}/RegisterFarmer": "costs a reserve, within the pooler's limits",
    f"{_REGISTRY}/GetFarmer": _READS,
    f"{_REGISTRY}/ListFarmers": _READS,
    f"{_REGISTRY}/UpdateFarmer": "moves nothing: stakes and addresses are wallet's to take",
    f"{_REGISTRY}/SuspendFarmer": _STOPS,
    f"{_REGISTRY}/ResumeFarmer": "lets a farmer be planted again",
    f"{_REGISTRY}/StayFarmer": "stops something: the farmer is planted again",
    f"{_REGISTRY}/StayPooler": "stops something: the farmers are planted again",
    f"{_NOTIFICATION}/CreateWebhook": "moves nothing: tells somebody what happens",
    f"{_NOTIFICATION}/ListWebhooks": _READS,
    f"{_NOTIFICATION}/DeleteWebhook": "moves nothing: what it told is still listed",
    f"{_NOTIFICATION}/EnableWebhook": "moves nothing: tells again whom it told before",
    f"{_NOTIFICATION}/TestWebhook": "moves nothing",
    f"{_NOTIFICATION}/ListDeliveries": _READS,
    f"{_NOTIFICATION}/ListNotifications": _READS,
    "/kalepool.plant.v1.PlantService/Plant": "stakes what was agreed, for the farmer itself",
    "/kalepool.plant.v1.PlantService/ListPlantings": _READS,
    "/kalepool.work.v1.WorkService/SubmitWork": "works for the farmer itself",
    "/kalepool.work.v1.WorkService/ListWorks": _READS,
    "/kalepool.harvest.v1.HarvestService/Harvest": "harvests for the farmer itself",
    "/kalepool.harvest.v1.HarvestService/HarvestPending": "harvests for the farmers themselves",
    "/kalepool.harvest.v1.HarvestService/ListHarvests": _READS,
    "/kalepool.harvest.v1.HarvestService/GetBalance": _READS,
    "/kalepool.harvest.v1.LedgerService/CheckLedger": _READS,
    "/kalepool.harvest.v1.LedgerService/GetLedgerStatus": _READS,
    "/kalepool.harvest.v1.StatementService/GetStatement": _READS,
    "/kalepool.harvest.v1.StatementService/CloseDay": "moves nothing: tells what there is now",
    "/kalepool.harvest.v1.StatementService/ListRoots": _READS,
    "/kalepool.harvest.v1.StatementService/GetProof": _READS,
    "/kalepool.harvest.v1.LedgerService/ListJournals": _READS,
    f"{_PAYOUTS}/GetPayoutPreview": _READS,
    f"{_PAYOUTS}/ListPayouts": _READS,
    f"{_PAYOUTS}/ListPending": _READS,
    f"{_PAYOUTS}/GetPayoutSwitch": _READS,
    "/kalepool.harvest.v1.MinerCreditService/CreditMiners": "divides what is the miners' already",
    "/kalepool.harvest.v1.MinerCreditService/GetMinerCredits": _READS,
    f"{_REPORT}/GetPoolSummary": _READS,
    f"{_REPORT}/GetPoolerSummary": _READS,
    f"{_REPORT}/GetFarmerSummary": _READS,
    f"{_REPORT}/ListBlockReports": _READS,
    f"{_REPORT}/ListPoolerBlockReports": _READS,
    f"{_REPORT}/GetBlockReport": _READS,
    f"{_REPORT}/ListPublicPoolers": _READS,
    f"{_REPORT}/ListEarnings": _READS,
    "/kalepool.report.v1.FeeService/ListFees": _READS,
    "/kalepool.wallet.v1.WalletService/GetWallet": _READS,
    "/kalepool.wallet.v1.WalletService/ListWallets": _READS,
    "/kalepool.wallet.v1.WalletService/GetBalances": _READS,
    "/kalepool.wallet.v1.WalletService/GetOperation": _READS,
    "/kalepool.wallet.v1.WalletService/ListOperations": _READS,
    "/kalepool.wallet.v1.WalletService/GetBlock": _READS,
    "/kalepool.wallet.v1.WalletService/WatchBlocks": _READS,
    "/kalepool.wallet.v1.WalletService/GetTreasury": _READS,
    f"{_AGREEMENT}/GetAgreementRules": _READS,
    f"{_AGREEMENT}/ListAgreements": _READS,
    f"{_AGREEMENT}/GetOwnerAccount": _READS,
    f"{_AGREEMENT}/DraftWish": _READS,
    f"{_AGREEMENT}/SignWish": "does what the farmer itself has signed",
    f"{_WITHDRAWAL}/GetPayoutAddress": _READS,
    f"{_WITHDRAWAL}/GetWithdrawal": _READS,
    f"{_WITHDRAWAL}/ListWithdrawals": _READS,
    "/kalepool.wallet.v1.EngineService/GetEngineStatus": _READS,
    f"{_CUSTODY}/PauseSigning": _STOPS,
    f"{_CUSTODY}/ListPauses": _READS,
    f"{_CUSTODY}/ListAuditRecords": _READS,
    f"{_CUSTODY}/VerifyAuditLog": _READS,
    f"{_LOGIN}/GetLogin": _READS,
    f"{_LOGIN}/StartLogin": _READS,
    f"{_LOGIN}/FinishLogin": "lets in who has signed, whoever brings it",
    f"{_TOKEN}/ListTokens": _READS,
    f"{_TOKEN}/RevokeToken": _STOPS,
    f"{_TOKEN}/ReplaceTokenKey": "moves nothing: what the key before has signed goes on to its end",
    "/kalepool.wallet.v1.KeyService/GetKeyStatus": _READS,
    "/kalepool.wallet.v1.OrderService/CheckOrders": _READS,
    "/kalepool.wallet.v1.ReconciliationService/Reconcile": "compares, and corrects records only",
    "/kalepool.wallet.v1.ReconciliationService/ListDifferences": _READS,
    "/kalepool.wallet.v1.ApprovalService/ListApprovals": _READS,
    "/kalepool.wallet.v1.ApprovalService/Approve": "is the second person's word",
}
