"""Keys of the ledger entries that the pool reads, as base64 XDR."""

from stellar_sdk import Address, Asset, Keypair, scval, xdr


def account_key(address: str) -> str:
    """An account."""
    account = Keypair.from_public_key(address).xdr_account_id()
    key = xdr.LedgerKey(
        xdr.LedgerEntryType.ACCOUNT, account=xdr.LedgerKeyAccount(account_id=account)
    )
    return key.to_xdr()


def trustline_key(address: str, asset: Asset) -> str:
    """An account's trustline."""
    line = xdr.LedgerKeyTrustLine(
        account_id=Keypair.from_public_key(address).xdr_account_id(),
        asset=asset.to_trust_line_asset_xdr_object(),
    )
    return xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=line).to_xdr()


def farm_key(farm: str) -> str:
    """The farm's instance, which holds its running state."""
    instance = xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)
    return _contract_data(farm, instance, xdr.ContractDataDurability.PERSISTENT)


def block_key(farm: str, index: int) -> str:
    """[sym Block, u32 index]."""
    key = scval.to_vec([scval.to_symbol("Block"), scval.to_uint32(index)])
    return _contract_data(farm, key, xdr.ContractDataDurability.TEMPORARY)


def pail_key(farm: str, farmer: str, index: int) -> str:
    """[sym Pail, address farmer, u32 index]."""
    key = scval.to_vec([scval.to_symbol("Pail"), scval.to_address(farmer), scval.to_uint32(index)])
    return _contract_data(farm, key, xdr.ContractDataDurability.TEMPORARY)


def _contract_data(contract: str, key: xdr.SCVal, durability: xdr.ContractDataDurability) -> str:
    data = xdr.LedgerKeyContractData(
        contract=Address(contract).to_xdr_sc_address(), key=key, durability=durability
    )
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()
