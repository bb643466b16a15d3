"""Keys of the ledger entries that the pool reads, as base64 XDR.

Keys of accounts are cached, since farmers are the same in every block.
"""

import base64
from functools import lru_cache

from stellar_sdk import Address, xdr

from services.wallet.chain.build import wire
from services.wallet.chain.build.calls import Farm, raw

#: Accounts, contracts and codes whose keys are kept.
_KEPT = 16_384


@lru_cache(maxsize=_KEPT)
def account_key(address: str) -> str:
    """Return the key of an account."""
    return _text(wire.account_key(raw(address)))


@lru_cache(maxsize=_KEPT)
def trustline_key(address: str, asset: bytes) -> str:
    """Return the key of an account's trustline; `asset` is the TrustLineAsset."""
    return _text(wire.trustline_key(raw(address), asset))


@lru_cache(maxsize=_KEPT)
def instance_key(contract: str) -> str:
    """Return the key of a contract's instance; the farm's instance holds its running state."""
    data = xdr.LedgerKeyContractData(
        contract=Address(contract).to_xdr_sc_address(),
        key=xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        durability=xdr.ContractDataDurability.PERSISTENT,
    )
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()


@lru_cache(maxsize=_KEPT)
def code_key(code_hash: str) -> str:
    """Return the key of the code with this SHA-256 (hex)."""
    key = xdr.LedgerKeyContractCode(hash=xdr.Hash(bytes.fromhex(code_hash)))
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=key).to_xdr()


def block_key(farm: Farm, index: int) -> str:
    """Return the key of a block's record."""
    return _text(farm.block_key(index))


def pail_key(farm: Farm, farmer: str, index: int) -> str:
    """Return the key of a farmer's pail in a block."""
    return _text(farm.pail_key(raw(farmer), index))


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()
