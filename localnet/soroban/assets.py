"""The classic assets behind asset contracts."""

from dataclasses import dataclass

from stellar_sdk import StrKey, scval, xdr

from localnet.soroban.values import address, record, symbol, vector

#: Number of letters of a short asset code, and of a long one.
_SHORT, _LONG = 4, 12
_NATIVE = "native"

ADMIN = vector(symbol("Admin"))
METADATA = symbol("METADATA")
_INFO = vector(symbol("AssetInfo"))


@dataclass(frozen=True, kw_only=True)
class ContractAsset:
    """An asset as its contract names it."""

    #: Asset code; empty for XLM.
    code: str = ""
    #: Account that issues the asset; empty for XLM.
    issuer: str = ""

    @staticmethod
    def from_xdr(asset: xdr.Asset) -> "ContractAsset":
        """Return the asset of XDR."""
        if asset.alpha_num4 is not None:
            alpha: xdr.AlphaNum4 | xdr.AlphaNum12 = asset.alpha_num4
            code = asset.alpha_num4.asset_code.asset_code4
        elif asset.alpha_num12 is not None:
            alpha, code = asset.alpha_num12, asset.alpha_num12.asset_code.asset_code12
        else:
            return ContractAsset()
        key = alpha.issuer.account_id.ed25519
        assert key is not None  # noqa: S101  (the union has one arm)
        issuer = StrKey.encode_ed25519_public_key(key.uint256)
        return ContractAsset(code=code.rstrip(b"\0").decode(), issuer=issuer)

    @staticmethod
    def from_name(name: str) -> "ContractAsset":
        """Return the asset that a contract's name() tells."""
        code, _, issuer = name.partition(":")
        return ContractAsset(code=code, issuer=issuer) if issuer else ContractAsset()

    @property
    def is_native(self) -> bool:
        """True for XLM."""
        return not self.issuer

    @property
    def symbol(self) -> str:
        """What the contract's symbol() tells."""
        return self.code or _NATIVE

    @property
    def name(self) -> str:
        """What the contract's name() tells."""
        return f"{self.code}:{self.issuer}" if self.issuer else _NATIVE

    @property
    def packed(self) -> bytes:
        """Asset or TrustLineAsset in XDR: both are written the same."""
        return packed_asset(self.code, self.issuer)

    def storage(self, admin: str) -> list[tuple[xdr.SCVal, xdr.SCVal]]:
        """Return the storage of the asset's contract; the contract of XLM has no admin."""
        metadata = record(
            {
                "decimal": scval.to_uint32(7),
                "name": scval.to_string(self.name),
                "symbol": scval.to_string(self.symbol),
            }
        )
        if self.is_native:
            return [(METADATA, metadata), (_INFO, vector(symbol("Native")))]
        letters = _letters(self.code)
        info = record(
            {
                "asset_code": scval.to_string(self.code.encode().ljust(letters, b"\0")),
                "issuer": scval.to_bytes(StrKey.decode_ed25519_public_key(self.issuer)),
            }
        )
        kind = symbol(f"AlphaNum{letters}")
        return [(METADATA, metadata), (ADMIN, address(admin)), (_INFO, vector(kind, info))]


def _letters(code: str) -> int:
    return _SHORT if len(code) <= _SHORT else _LONG


def packed_asset(code: str, issuer: str) -> bytes:
    """Return the XDR of an asset; XLM has no issuer."""
    if not issuer:
        return bytes(4)
    letters = _letters(code)
    kind = 1 if letters == _SHORT else 2
    raw = StrKey.decode_ed25519_public_key(issuer)
    return kind.to_bytes(4, "big") + code.encode().ljust(letters, b"\0") + bytes(4) + raw
