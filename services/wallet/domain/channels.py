"""What the operator wishes of the pool's channel accounts."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ChannelTerms:
    """The operator's wishes for the channel accounts."""

    #: The number of channel accounts to keep.
    count: int
    #: Stroops of XLM that each gets when it is made, and has at least after a top-up.
    funding: int
    #: Stroops of XLM below which a channel account is topped up.
    low: int
    #: Stroops of XLM that top-ups may take from the treasury within 24 hours.
    daily: int
