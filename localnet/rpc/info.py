"""Methods about the node itself.

These are getHealth, getNetwork, getVersionInfo, getLatestLedger and getFeeStats.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from localnet.ledger.settings import PROTOCOL_VERSION
from localnet.rpc.context import Params, RpcContext
from localnet.rpc.encoding import base64

#: Number of ledgers that the Soroban fee statistics cover.
_SOROBAN_FEE_LEDGERS = 50
#: Number of ledgers that the classic fee statistics cover.
_CLASSIC_FEE_LEDGERS = 10
_PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)


async def get_health(rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """Answer that the node is healthy; this holds also for a node that lags behind.

    Such a node does not know that it lags.
    """
    return {
        "status": "healthy",
        "latestLedger": rpc.latest.sequence,
        "latestLedgerCloseTime": str(rpc.latest.close_time),
        "oldestLedger": rpc.oldest.sequence,
        "oldestLedgerCloseTime": str(rpc.oldest.close_time),
        "ledgerRetentionWindow": rpc.settings.retention_ledgers,
    }


async def get_network(rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """Return the passphrase, the protocol version and the URL of the friendbot."""
    answer: dict[str, Any] = {
        "passphrase": rpc.settings.passphrase,
        "protocolVersion": PROTOCOL_VERSION,
    }
    if rpc.friendbot_url:
        answer["friendbotUrl"] = rpc.friendbot_url
    return answer


async def get_version_info(_rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """Return the version of the software."""
    return {
        "version": "27.1.1-localnet",
        "commitHash": "",
        "buildTimestamp": "",
        "captiveCoreVersion": "v27.1.0-localnet",
        "protocolVersion": PROTOCOL_VERSION,
    }


async def get_latest_ledger(rpc: RpcContext, _params: Params) -> dict[str, Any]:
    """Return the newest ledger."""
    return {
        "id": rpc.latest.hash.hex(),
        "protocolVersion": PROTOCOL_VERSION,
        "sequence": rpc.latest.sequence,
        "closeTime": str(rpc.latest.close_time),
        "headerXdr": base64(rpc.latest.header),
        "metadataXdr": base64(rpc.latest.close_meta()),
    }


def _distribution(fees: Sequence[int], ledgers: int) -> dict[str, Any]:
    """Return the distribution of fees.

    Numbers are text, like the 64-bit numbers of the real RPC.
    """
    ordered = sorted(fees)

    def percentile(percent: int) -> int:
        """Return the percentile by the nearest rank."""
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
    """Return the inclusion fees of the last ledgers."""
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
