"""The terms under which a miner works: read before joining, and agreed to by their version."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b

from libs.kale.amounts import format_percentage

_PERSON = b"kale pool terms"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a miner agrees to."""

    #: Ten-thousandths of what a block's farmers earn that are divided among those who mined it.
    miners_bps: int
    #: Whether the pool's own hashes take part in that, as a miner's do.
    own_hashes_take_part: bool
    #: What else the operator says.
    note: str = ""

    @property
    def miners_part(self) -> str:
        """Return the miners' part of a block as a decimal from 0 to 1."""
        return format_percentage(self.miners_bps)

    @property
    def version(self) -> str:
        """Return what names these terms: other terms have another one."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return blake2b(text.encode(), digest_size=8, person=_PERSON).hexdigest()

    def content(self) -> Mapping[str, object]:
        """Return the terms as JSON shows them."""
        return {
            "version": self.version,
            "scheme": "by proven hashes, block by block",
            "minersPart": self.miners_part,
            "ownHashesTakePart": self.own_hashes_take_part,
            "note": self.note,
        }
