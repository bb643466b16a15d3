"""getHealth, getNetwork, getVersionInfo, getLatestLedger, getFeeStats: the node about itself."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from localnet.ledger.settings import PROTOCOL_VERSION
from localnet.rpc.context import Params, RpcContext
from localnet.rpc.encoding import base64

#: Ledgers that the Soroban fee statistics look back.
_SOROBAN_FEE_LEDGERS = 50
#: Ledgers that the classic fee statistics look back.
_CLASSIC_FEE_LEDGERS = 10
_PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)


async def get_health(rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """Always healthy: a node that lags behind does not know it."""
    return {
        "status": "healthy",
        "latestLedger": rpc.latest.sequence,
        "latestLedgerCloseTime": str(rpc.latest.close_time),
        "oldestLedger": rpc.oldest.sequence,
        "oldestLedgerCloseTime": str(rpc.oldest.close_time),
        "ledgerRetentionWindow": rpc.settings.retention_ledgers,
    }


async def get_network(rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """Passphrase, protocol, and where the friendbot is."""
    answer: dict[str, Any] = {
        "passphrase": rpc.settings.passphrase,
        "protocolVersion": PROTOCOL_VERSION,
    }
    if rpc.friendbot_url:
        answer["friendbotUrl"] = rpc.friendbot_url
    return answer


async def get_version_info(_rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """What software this is."""
    return {
        "version": "24.0.0-localnet",
        "commitHash": "",
        "buildTimestamp": "",
        "captiveCoreVersion": "localnet",
        "protocolVersion": PROTOCOL_VERSION,
    }


async def get_latest_ledger(rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """The newest ledger."""
    return {
        "id": rpc.latest.hash.hex(),
        "protocolVersion": PROTOCOL_VERSION,
        "sequence": rpc.latest.sequence,
        "closeTime": str(rpc.latest.close_time),
        "headerXdr": base64(rpc.latest.header),
        "metadataXdr": base64(rpc.latest.close_meta()),
    }


def _distribution(fees: Sequence[int], ledgers: int) -> dict[str, Any]:
    """Numbers are text, as the real thing's 64-bit numbers are."""
    ordered = sorted(fees)

    def percentile(percent: int) -> int:
        """Nearest rank."""
        return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else 0

    mode = Counter(ordered).most_common(1)[0][0] if ordered else 0
    values = {"max": max(ordered, default=0), "min": min(ordered, default=0), "mode": mode}
    values |= {f"p{p}": percentile(p) for p in _PERCENTILES}
    return {
        **{name: str(value) for name, value in values.items()},
        "transactionCount": str(len(ordered)),
        "ledgerCount": ledgers if ordered else 0,
    }


async def get_fee_stats(rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """What inclusion cost in the last ledgers."""
    latest = rpc.latest.sequence

    def window(ledgers: int, *, soroban: bool) -> dict[str, Any]:
        seen = list(rpc.node.history.range(latest - ledgers + 1, latest))
        fees = [
            t.inclusion_fee for ledger in seen for t in ledger.transactions if t.soroban == soroban
        ]
        return _distribution(fees, len(seen))

    return {
        "sorobanInclusionFee": window(_SOROBAN_FEE_LEDGERS, soroban=True),
        "inclusionFee": window(_CLASSIC_FEE_LEDGERS, soroban=False),
        "latestLedger": latest,
    }
