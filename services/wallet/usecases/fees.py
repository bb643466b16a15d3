"""Use cases of reports of fees."""

from collections.abc import Sequence

from libs.common.ids import PoolerId
from libs.common.spans import SpanPage, Starts
from services.wallet.domain.errors import PoolerNotFoundError
from services.wallet.domain.fee_reports import Fees
from services.wallet.store.fees import FeeStore


async def list_fees(
    store: FeeStore, pooler_id: PoolerId | None, page: SpanPage
) -> tuple[Sequence[Fees], Starts]:
    """List what the network was paid for a pooler's farmers, or for the pool.

    Return the beginnings on the page, too.
    """
    began = await store.began(pooler_id)
    if pooler_id is not None and began.registered_at is None:
        raise PoolerNotFoundError(f"no pooler {pooler_id}")
    starts = page.starts(now=began.now, registered_at=began.registered_at)
    return await store.fees(pooler_id, page.span, starts.page), starts
