"""The table of who may call what, closed by default: a method without an entry is open to nobody.

Each kind of signing is open only to the service that records its events. Poolers see and touch only
what is theirs: the fields that say to whom it belongs are named next to each method.
"""

from collections.abc import Mapping

from libs.common.grpc.access import Access, Owned

_PLANT, _WORK, _HARVEST, _REGISTRY = "plant", "work", "harvest", "registry"

#: Access for operators, who run the pool, and nobody else.
OPERATORS = Access(operators=True)
#: Access for poolers and operators: such a method shows nothing of a single pooler.
CLIENTS = Access(operators=True, poolers=True)


def _services(*names: str) -> Access:
    """Return access for the named services, and nobody else."""
    return Access(services=frozenset(names))


def _own(*services: str, **owned: Owned) -> Access:
    """Return access for operators, some services, and poolers for what is theirs."""
    return Access(services=frozenset(services), operators=True, poolers=True, owned=owned)


_METHODS: Mapping[str, Mapping[str, Access]] = {
    "kalepool.common.v1.InfoService": {
        "GetInfo": CLIENTS,
        "GetStatus": CLIENTS,
    },
    "kalepool.registry.v1.RegistryService": {
        "RegisterPooler": OPERATORS,
        "GetPooler": _own(pooler_id=Owned.POOLER),
        "ListPoolers": OPERATORS,
        "UpdatePooler": _own(pooler_id=Owned.POOLER),
        "SuspendPooler": OPERATORS,
        "ResumePooler": OPERATORS,
        "Heartbeat": _own(pooler_id=Owned.POOLER),
        "RegisterFarmer": _own(pooler_id=Owned.POOLER),
        "GetFarmer": _own(farmer_id=Owned.FARMER),
        "ListFarmers": _own(pooler_id=Owned.POOLER),
        "UpdateFarmer": _own(farmer_id=Owned.FARMER),
        "SuspendFarmer": OPERATORS,
        "ResumeFarmer": OPERATORS,
    },
    "kalepool.plant.v1.PlantService": {
        "Plant": _own(pooler_id=Owned.POOLER),
        "ListPlantings": _own(pooler_id=Owned.POOLER),
    },
    "kalepool.work.v1.WorkService": {
        "SubmitWork": _own(pooler_id=Owned.POOLER),
        "ListWorks": _own(pooler_id=Owned.POOLER),
    },
    "kalepool.harvest.v1.HarvestService": {
        "Harvest": _own(pooler_id=Owned.POOLER),
        "HarvestPending": _own(pooler_id=Owned.POOLER),
        "ListHarvests": _own(pooler_id=Owned.POOLER),
        "GetBalance": _own(farmer_id=Owned.FARMER),
    },
    "kalepool.wallet.v1.WalletService": {
        "CreateWallet": _services(_REGISTRY),
        "GetWallet": _own(wallet_id=Owned.WALLET, farmer_id=Owned.FARMER),
        "ListWallets": _own(pooler_id=Owned.POOLER),
        "GetBalances": _own(farmer_ids=Owned.FARMER),
        "Plant": _services(_PLANT),
        "Work": _services(_WORK),
        "Harvest": _services(_HARVEST),
        "BatchPlant": _services(_PLANT),
        "BatchWork": _services(_WORK),
        "BatchHarvest": _services(_HARVEST),
        "GetOperation": _own(operation_id=Owned.OPERATION),
        "ListOperations": _own(farmer_id=Owned.FARMER),
        "GetBlock": CLIENTS,
        "WatchBlocks": CLIENTS,
        "GetTreasury": OPERATORS,
    },
    "kalepool.wallet.v1.WithdrawalService": {
        "SetPayoutAddress": _own(_REGISTRY, farmer_id=Owned.FARMER),
        "GetPayoutAddress": _own(farmer_id=Owned.FARMER),
        "Withdraw": _own(farmer_id=Owned.FARMER),
        "GetWithdrawal": _own(withdrawal_id=Owned.WITHDRAWAL),
        "ListWithdrawals": _own(farmer_id=Owned.FARMER),
    },
    "kalepool.wallet.v1.EngineService": {
        "GetEngineStatus": OPERATORS,
        "DeployMulticall": OPERATORS,
    },
    "kalepool.wallet.v1.CustodyService": {
        "PauseSigning": OPERATORS,
        "ResumeSigning": OPERATORS,
        "ReleaseOperation": OPERATORS,
        "ListPauses": OPERATORS,
        "ListAuditRecords": OPERATORS,
        "VerifyAuditLog": OPERATORS,
        "ExportKey": OPERATORS,
    },
    "kalepool.wallet.v1.ApprovalService": {
        "ListApprovals": OPERATORS,
        "Approve": OPERATORS,
        "UseApproval": _services(_REGISTRY),
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
        "ListDifferences": OPERATORS,
    },
}

#: Access by full method name: /kalepool.plant.v1.PlantService/Plant.
ACCESS: Mapping[str, Access] = {
    f"/{service}/{method}": entry
    for service, methods in _METHODS.items()
    for method, entry in methods.items()
}
