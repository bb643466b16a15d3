"""The table of who may call what, closed by default: a method without an entry is open to nobody.

Each kind of signing is open only to the service that records its events. Poolers see and touch only
what is theirs, owner accounts what is of farmers that they speak for: the fields that say to whom
it belongs are named next to each method.
"""

from collections.abc import Mapping
from dataclasses import replace

from libs.common.grpc.access import Access, Owned
from libs.common.grpc.standing import Allows, Limits, Standing
from libs.common.names import GATEWAY

_PLANT, _WORK, _HARVEST, _REGISTRY = "plant", "work", "harvest", "registry"

#: Access for operators, who run the pool, and nobody else.
OPERATORS = Access(operators=True)
#: Access for poolers and operators: such a method shows nothing of a single pooler. The gateway may
#: call it for everybody, without a token.
_PUBLIC = Access(
    services=frozenset({GATEWAY}),
    operators=True,
    poolers=True,
    owners=True,
    by_token=True,
    reads=True,
)


#: Access to a method that carries a farmer's signature, or what is to be signed: the signature
#: alone decides, so that anybody may bring it. It acts, so no read-only token is enough.
_SIGNED = Access(
    services=frozenset({GATEWAY}), operators=True, poolers=True, owners=True, by_token=True
)
#: Access to a method by which somebody logs in, who has nothing to show yet: anybody may call it.
_LOGS_IN = Access(services=frozenset({GATEWAY}), operators=True, poolers=True, strangers=True)


def _by_token(entry: Access) -> Access:
    """Return access to a method that may also be called by an access token."""
    return replace(entry, by_token=True)


def _reads(entry: Access) -> Access:
    """Return access to a method that may also be called by a token that is read-only."""
    return replace(entry, by_token=True, reads=True)


def _services(*names: str) -> Access:
    """Return access for the named services, and nobody else."""
    return Access(services=frozenset(names))


def _own(*services: str, **owned: Owned) -> Access:
    """Return access for operators, some services, and poolers for what is theirs."""
    return Access(services=frozenset(services), operators=True, poolers=True, owned=owned)


def _farmers(entry: Access, **own: Owned) -> Access:
    """Return access that owner accounts have, too, for what is of farmers of theirs."""
    return replace(entry, owners=True, owners_own=own)


def _acts(limits: Limits, entry: Access, *operator_fields: str) -> Access:
    """Return access to a method that acts, as far as the standings of its subject allow it.

    Only operators may set some of its fields.
    """
    return replace(entry, limits=limits, operator_fields=frozenset(operator_fields))


# What suspension, leaving and pauses allow, a row for each kind of act (docs/standing.md). A
# suspended pooler moves nothing, and nothing of it grows; what was planted is still worked and
# harvested. The money of a suspended farmer still reaches its address, by an operator's hand.
# Leaving is the farmer's own wish: its money may go where it always went.
_YES, _OPERATORS, _NOTHING = Allows.YES, Allows.OPERATORS, Allows.NOTHING
_LEAVES_OUT, _WAITS = Allows.LEAVES_OUT, Allows.WAITS


def _row(
    *, pooler: Allows, farmer: Allows, leaving: Allows, departed: Allows, paused: Allows
) -> Limits:
    return {
        Standing.POOLER_SUSPENDED: pooler,
        Standing.FARMER_SUSPENDED: farmer,
        Standing.FARMER_LEAVING: leaving,
        Standing.FARMER_DEPARTED: departed,
        Standing.SIGNING_PAUSED: paused,
    }


#: The pooler changes what is its own.
_CHANGES_POOLER = _row(pooler=_OPERATORS, farmer=_YES, leaving=_YES, departed=_YES, paused=_YES)
#: What somebody may call in the pooler's name ends.
_REVOKES = _row(pooler=_YES, farmer=_YES, leaving=_YES, departed=_YES, paused=_YES)
#: Whom the pool tells what happens: nothing moves by that.
_TELLS = _row(pooler=_YES, farmer=_YES, leaving=_YES, departed=_YES, paused=_YES)
#: What miners earned is theirs, whoever may plant no more; nothing is signed.
_CREDITS = _row(pooler=_YES, farmer=_YES, leaving=_YES, departed=_YES, paused=_YES)
#: What the farmer itself has signed: who suspends it, or leaves, takes nothing of that away.
_FARMERS_OWN = _row(pooler=_YES, farmer=_YES, leaving=_YES, departed=_YES, paused=_YES)
#: All that a farmer has goes to its own address, and nowhere else: leaving moves nothing that a
#: pause would not hold up where it is signed.
_LEAVES = _row(pooler=_OPERATORS, farmer=_OPERATORS, leaving=_YES, departed=_YES, paused=_YES)
#: A new farmer; its account is made once signing goes on.
_REGISTERS = _row(pooler=_NOTHING, farmer=_YES, leaving=_YES, departed=_YES, paused=_WAITS)
#: A farmer's stake, data, and where its money goes.
_CHANGES_FARMER = _row(
    pooler=_OPERATORS, farmer=_OPERATORS, leaving=_YES, departed=_OPERATORS, paused=_OPERATORS
)
_PLANTS = _row(
    pooler=_NOTHING,
    farmer=_LEAVES_OUT,
    leaving=_LEAVES_OUT,
    departed=_LEAVES_OUT,
    paused=_LEAVES_OUT,
)
#: What was planted goes on.
_GOES_ON = _row(pooler=_YES, farmer=_YES, leaving=_YES, departed=_YES, paused=_WAITS)
#: A farmer's money leaves. While signing is paused nobody may ask for that.
_PAYS_OUT = _row(
    pooler=_OPERATORS, farmer=_OPERATORS, leaving=_YES, departed=_OPERATORS, paused=_NOTHING
)


_METHODS: Mapping[str, Mapping[str, Access]] = {
    "kalepool.common.v1.InfoService": {
        "GetInfo": _PUBLIC,
        "GetStatus": _PUBLIC,
    },
    "kalepool.registry.v1.RegistryService": {
        "RegisterPooler": _by_token(OPERATORS),
        "GetPooler": _reads(_own(pooler_id=Owned.POOLER)),
        "ListPoolers": _reads(OPERATORS),
        "UpdatePooler": _by_token(
            _acts(_CHANGES_POOLER, _own(pooler_id=Owned.POOLER), "max_farmers")
        ),
        "SuspendPooler": _by_token(OPERATORS),
        "ResumePooler": _by_token(OPERATORS),
        "Heartbeat": _by_token(_own(pooler_id=Owned.POOLER)),
        "PublishTerms": _by_token(_acts(_CHANGES_POOLER, _own(pooler_id=Owned.POOLER))),
        "GetTerms": _PUBLIC,
        "RegisterFarmer": _by_token(_acts(_REGISTERS, _own(pooler_id=Owned.POOLER))),
        "JoinPool": Access(owners=True, by_token=True, owners_own={"owner_account": Owned.ACCOUNT}),
        "GetFarmer": _farmers(_reads(_own(farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER),
        "ListFarmers": _farmers(_reads(_own(pooler_id=Owned.POOLER)), owner_account=Owned.ACCOUNT),
        "UpdateFarmer": _by_token(_acts(_CHANGES_FARMER, _own(farmer_id=Owned.FARMER))),
        "SuspendFarmer": _by_token(OPERATORS),
        "ResumeFarmer": _by_token(OPERATORS),
        "LeaveFarmer": _by_token(_acts(_LEAVES, _own(farmer_id=Owned.FARMER))),
        "StayFarmer": _by_token(_acts(_LEAVES, _own(farmer_id=Owned.FARMER))),
        "LeavePooler": _by_token(OPERATORS),
        "StayPooler": _by_token(OPERATORS),
    },
    # A webhook is its pooler's, and so is what is sent to it: it names no farmer as its owner.
    "kalepool.registry.v1.NotificationService": {
        "CreateWebhook": _by_token(_acts(_TELLS, _own(pooler_id=Owned.POOLER))),
        "ListWebhooks": _reads(_own(pooler_id=Owned.POOLER)),
        "DeleteWebhook": _by_token(_acts(_TELLS, _own(webhook_id=Owned.WEBHOOK))),
        "EnableWebhook": _by_token(_acts(_TELLS, _own(webhook_id=Owned.WEBHOOK))),
        "TestWebhook": _by_token(_acts(_TELLS, _own(webhook_id=Owned.WEBHOOK))),
        "ListDeliveries": _reads(_own(webhook_id=Owned.WEBHOOK)),
        "ListNotifications": _reads(_own(pooler_id=Owned.POOLER, farmer_id=Owned.FARMER)),
    },
    "kalepool.plant.v1.PlantService": {
        "Plant": _by_token(_acts(_PLANTS, _own(pooler_id=Owned.POOLER))),
        "ListPlantings": _farmers(_reads(_own(pooler_id=Owned.POOLER)), farmer_id=Owned.FARMER),
    },
    "kalepool.work.v1.WorkService": {
        "SubmitWork": _by_token(_acts(_GOES_ON, _own(pooler_id=Owned.POOLER))),
        "ListWorks": _farmers(_reads(_own(pooler_id=Owned.POOLER)), farmer_id=Owned.FARMER),
    },
    "kalepool.harvest.v1.HarvestService": {
        "Harvest": _by_token(_acts(_GOES_ON, _own(pooler_id=Owned.POOLER))),
        "HarvestPending": _by_token(_acts(_GOES_ON, _own(pooler_id=Owned.POOLER))),
        "ListHarvests": _farmers(_reads(_own(pooler_id=Owned.POOLER)), farmer_id=Owned.FARMER),
        "GetBalance": _farmers(_reads(_own(farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER),
    },
    "kalepool.harvest.v1.LedgerService": {
        "CheckLedger": OPERATORS,
        "GetLedgerStatus": OPERATORS,
        "ListJournals": _farmers(_reads(_own(farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER),
    },
    "kalepool.harvest.v1.PayoutsService": {
        "GetPayoutPreview": _reads(OPERATORS),
        "RunPayouts": OPERATORS,
        "PayNow": _farmers(
            _by_token(_acts(_PAYS_OUT, _own(farmer_id=Owned.FARMER))), farmer_id=Owned.FARMER
        ),
        "ListPayouts": _farmers(
            _reads(_own(pooler_id=Owned.POOLER, farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER
        ),
        "ListPending": _farmers(
            _reads(_own(pooler_id=Owned.POOLER, farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER
        ),
        "GetPayoutSwitch": _reads(OPERATORS),
        "SetPayoutSwitch": OPERATORS,
    },
    "kalepool.harvest.v1.MinerCreditService": {
        "CreditMiners": _by_token(_acts(_CREDITS, _own(pooler_id=Owned.POOLER))),
        "GetMinerCredits": _reads(_own(pooler_id=Owned.POOLER)),
    },
    # Roots are for everybody; a leaf's salt is told to its owner alone.
    "kalepool.harvest.v1.StatementService": {
        "GetStatement": _farmers(
            _reads(_own(pooler_id=Owned.POOLER, farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER
        ),
        "CloseDay": OPERATORS,
        "ListRoots": _PUBLIC,
        "GetProof": _farmers(
            _reads(_own(pooler_id=Owned.POOLER, farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER
        ),
    },
    # What has no owner shows figures of the whole pool, or what the chain shows of a farmer.
    "kalepool.report.v1.ReportService": {
        "GetPoolSummary": _PUBLIC,
        "GetPoolerSummary": _reads(_own(pooler_id=Owned.POOLER)),
        "GetFarmerSummary": _PUBLIC,
        "ListBlockReports": _PUBLIC,
        "ListPoolerBlockReports": _reads(_own(pooler_id=Owned.POOLER)),
        "GetBlockReport": _PUBLIC,
        "ListPublicPoolers": _PUBLIC,
        "ListEarnings": _farmers(
            _reads(_own(pooler_id=Owned.POOLER, farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER
        ),
    },
    "kalepool.report.v1.FeeService": {
        "ListFees": _reads(_own(pooler_id=Owned.POOLER)),
    },
    "kalepool.wallet.v1.WalletService": {
        "CreateWallet": _services(_REGISTRY),
        "SetStakeLimit": _by_token(_acts(_CHANGES_FARMER, _own(farmer_id=Owned.FARMER))),
        "GetWallet": _farmers(
            _reads(_own(_REGISTRY, wallet_id=Owned.WALLET, farmer_id=Owned.FARMER)),
            wallet_id=Owned.WALLET,
            farmer_id=Owned.FARMER,
        ),
        "ListWallets": _reads(_own(pooler_id=Owned.POOLER)),
        "GetBalances": _farmers(_reads(_own(farmer_ids=Owned.FARMER)), farmer_ids=Owned.FARMER),
        "Plant": _services(_PLANT),
        "Work": _services(_WORK),
        "Harvest": _services(_HARVEST),
        "BatchPlant": _services(_PLANT),
        "BatchWork": _services(_WORK),
        "BatchHarvest": _services(_HARVEST),
        "JudgeOperations": _services(_PLANT, _WORK, _HARVEST),
        "ListMovements": _services(_HARVEST),
        "ListHoldings": _services(_HARVEST),
        "GetOperation": _farmers(
            _reads(_own(operation_id=Owned.OPERATION)), operation_id=Owned.OPERATION
        ),
        "ListOperations": _farmers(_reads(_own(farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER),
        "GetBlock": _PUBLIC,
        "WatchBlocks": _PUBLIC,
        "GetTreasury": _reads(OPERATORS),
    },
    "kalepool.wallet.v1.WithdrawalService": {
        "SetPayoutAddress": _by_token(_acts(_CHANGES_FARMER, _own(farmer_id=Owned.FARMER))),
        "GetPayoutAddress": _farmers(
            _reads(_own(_REGISTRY, farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER
        ),
        "Withdraw": _by_token(_acts(_PAYS_OUT, _own(farmer_id=Owned.FARMER))),
        "GetWithdrawal": _farmers(
            _reads(_own(withdrawal_id=Owned.WITHDRAWAL)), withdrawal_id=Owned.WITHDRAWAL
        ),
        "ListWithdrawals": _farmers(_reads(_own(farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER),
    },
    # Who is due is harvest's to say, and who may be asked about that is its.
    "kalepool.wallet.v1.PayoutService": {
        "CreatePoolerWallet": _services(_REGISTRY),
        "PayFarmers": _services(_HARVEST),
        "PayMiners": _services(_HARVEST),
        "PayPooler": _services(_HARVEST),
        "GetFeeState": _services(_HARVEST),
        "GetPoolerFees": _services(_HARVEST),
    },
    "kalepool.wallet.v1.AgreementService": {
        "GetAgreementRules": replace(_PUBLIC, services=frozenset({GATEWAY, _REGISTRY})),
        "SetAgreement": _farmers(
            _by_token(_acts(_CHANGES_FARMER, _own(farmer_id=Owned.FARMER))), farmer_id=Owned.FARMER
        ),
        "ListAgreements": _farmers(_reads(_own(farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER),
        "GetOwnerAccount": _farmers(_reads(_own(farmer_id=Owned.FARMER)), farmer_id=Owned.FARMER),
        "SetOwnerAccount": OPERATORS,
        "DraftWish": _SIGNED,
        "SignWish": _acts(_FARMERS_OWN, _SIGNED),
        "MarkPooler": OPERATORS,
    },
    "kalepool.wallet.v1.DataEntryService": {
        "GetDataEntry": _services(_HARVEST),
        "PublishRoot": _services(_HARVEST),
    },
    # Who leaves, and when nothing is left of it, is registry's to say.
    "kalepool.wallet.v1.ClosingService": {
        "CloseAccount": _services(_REGISTRY),
    },
    "kalepool.wallet.v1.EngineService": {
        "GetEngineStatus": _reads(OPERATORS),
        "DeployMulticall": OPERATORS,
        "ReclaimReserves": OPERATORS,
    },
    "kalepool.wallet.v1.CustodyService": {
        "PauseSigning": OPERATORS,
        "ResumeSigning": OPERATORS,
        "ReleaseOperation": OPERATORS,
        "ListPauses": _reads(OPERATORS),
        "ListAuditRecords": OPERATORS,
        "VerifyAuditLog": OPERATORS,
        "ExportKey": OPERATORS,
    },
    "kalepool.wallet.v1.ApprovalService": {
        "ListApprovals": OPERATORS,
        "Approve": OPERATORS,
        "UseApproval": _services(_REGISTRY, _HARVEST),
    },
    # No token makes tokens: whoever steals one has that one, until it ends or is revoked.
    "kalepool.wallet.v1.TokenService": {
        "CreateToken": _acts(_CHANGES_POOLER, _own(pooler_id=Owned.POOLER)),
        "ListTokens": _own(pooler_id=Owned.POOLER),
        "RevokeToken": _acts(_REVOKES, _own(token_id=Owned.TOKEN)),
        "ExchangeToken": Access(services=frozenset({GATEWAY}), strangers=True),
        "ListTokenKeys": _services(_PLANT, _WORK, _HARVEST, _REGISTRY, GATEWAY),
        "ReplaceTokenKey": OPERATORS,
    },
    # An account that is nobody's owner account may log in, too: it sees what is public.
    "kalepool.wallet.v1.LoginService": {
        "GetLogin": _LOGS_IN,
        "StartLogin": _LOGS_IN,
        "FinishLogin": _LOGS_IN,
    },
    "kalepool.wallet.v1.KeyService": {
        "GetKeyStatus": OPERATORS,
        "RotateKeys": OPERATORS,
    },
    "kalepool.wallet.v1.OrderService": {
        "CheckOrders": OPERATORS,
        "SignOrders": OPERATORS,
        "ReplaceRowKey": OPERATORS,
    },
    "kalepool.wallet.v1.ReconciliationService": {
        "Reconcile": OPERATORS,
        "ListDifferences": _reads(OPERATORS),
    },
}

#: Access by full method name: /kalepool.plant.v1.PlantService/Plant.
ACCESS: Mapping[str, Access] = {
    f"/{service}/{method}": entry
    for service, methods in _METHODS.items()
    for method, entry in methods.items()
}
