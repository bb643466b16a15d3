"""The trust table: how many nodes' words each decision needs.

SECURITY.md tells what can happen all the same.

`chain` takes one node's word and the next node's when that node fails; `chain.agreed` takes what
two nodes say alike. With one node configured there is nobody else to ask, and its word counts for
both. What moves money rests on the ledger's own rules then, too (a payer's number, a pail that is
there).
"""

from collections.abc import Mapping
from enum import Enum, unique


@unique
class Needed(Enum):
    """Evidence that a decision rests on."""

    #: The statement of one node: a lie costs a ledger or two of time.
    ONE_WORD = "one word"
    #: Two nodes that say the same. When there is only one that can be asked, it counts after
    #: ONE_NODE_AFTER: a lie of the last one left may cost time and records, which heal, and no
    #: money.
    TWO_WORDS = "two words"
    #: The sequence number of the payment's own payer account, past the last bound: whatever used
    #: that number, the ledger refuses a second payment.
    PAYER_NUMBER = "the payer's number"
    #: The ledger's state, whoever says which transaction caused it.
    STATE = "the state"


@unique
class Decision(Enum):
    """Decisions that depend on what nodes say."""

    FOLLOW_HEAD = "follow the head"
    TURN_HEAD_BACK = "turn the head back"
    IDENTIFY_NETWORK = "identify the network"
    PUBLISH_BLOCK = "publish the block"
    READ_LIMITS = "read the limits"
    BID_FOR_INCLUSION = "bid for inclusion"
    USE_NUMBER = "use a sequence number"
    PAY_RENT = "pay rent"
    TOP_UP = "top up a channel account"
    BRING_BACK = "bring a farmer back onto the chain"
    SETTLE_PAYMENT = "settle a payment"
    SETTLE_CALL = "settle a call of the farm"
    SETTLE_FUNDING = "settle an account that is there"
    SETTLE_DATA_ENTRY = "settle a root that stands in the data entry"
    CLOSE_ACCOUNT = "close an account"
    DESTROY_KEY = "destroy the key of a closed account"
    EXCLUDE_ENVELOPE = "exclude an envelope"
    SETTLE_BY_PAIL = "settle by a pail"
    REFUSE_BY_SIMULATION = "refuse by a simulation"
    REFUSE_ACCOUNT = "refuse an account"
    REFUSE_DESTINATION = "refuse a destination"
    RECORD_FOUND = "record what reconciliation found"
    RECORD_FORGOTTEN = "record what no node remembers"
    LOG_IN = "let an account log in"
    SHOW_BALANCES = "show balances"


#: Seconds without a second node that can be asked, after which the only node left is believed, for
#: decisions that need TWO_WORDS.
ONE_NODE_AFTER = 10.0

TRUST: Mapping[Decision, Needed] = {
    # The head has to be within what clock and pace allow since two nodes showed a ledger
    # (domain/heights.py).
    Decision.FOLLOW_HEAD: Needed.ONE_WORD,
    # A kept head, a block or a clock that was a lie is turned back when two nodes say so for a
    # while.
    Decision.TURN_HEAD_BACK: Needed.TWO_WORDS,
    # Passphrase, farm, code and token: another network is never farmed on.
    Decision.IDENTIFY_NETWORK: Needed.TWO_WORDS,
    # Index, time, entropy and bounds; stakes and weights may differ from ledger to ledger.
    Decision.PUBLISH_BLOCK: Needed.TWO_WORDS,
    # Too large a limit makes transactions that no ledger takes; too small a limit, none at all.
    # Both cost time.
    Decision.READ_LIMITS: Needed.TWO_WORDS,
    # One node's word is enough for an ordinary bid. For a bid of ten times the minimum a second
    # node is asked. The cap holds in any case.
    Decision.BID_FOR_INCLUSION: Needed.ONE_WORD,
    # The next number of an account that signs. A wrong one moves nothing, but nobody takes the
    # envelope, and an account waits until that one has expired.
    Decision.USE_NUMBER: Needed.TWO_WORDS,
    # How long the farm's entries live: the treasury pays for more, or calls wait until it has.
    Decision.PAY_RENT: Needed.TWO_WORDS,
    # What a channel account has: the treasury pays it more, within a budget.
    Decision.TOP_UP: Needed.TWO_WORDS,
    # That a farmer's account or line is gone: it is made anew, which fails when it is there.
    Decision.BRING_BACK: Needed.TWO_WORDS,
    # Whether a payment was made, is still to be made, or failed.
    Decision.SETTLE_PAYMENT: Needed.PAYER_NUMBER,
    # A second plant or harvest is refused by the farm: a wrong end costs a fee, and the record of
    # it heals by the pail.
    Decision.SETTLE_CALL: Needed.TWO_WORDS,
    # An account that nodes claim to exist is not made; one that seems missing costs a fee.
    Decision.SETTLE_FUNDING: Needed.TWO_WORDS,
    # A root that nodes claim to stand in the data entry is not written, until a day later; one that
    # seems missing costs a fee.
    Decision.SETTLE_DATA_ENTRY: Needed.TWO_WORDS,
    # What an account holds that is to be closed, and that it is gone. The ledger refuses to remove
    # a line with KALE, and to merge an account that has anything else.
    Decision.CLOSE_ACCOUNT: Needed.TWO_WORDS,
    # That an account is still gone. A key that was destroyed never comes back.
    Decision.DESTROY_KEY: Needed.TWO_WORDS,
    # "No ledger has it and none may", by the words of each node (domain/exclusion.py): the farm
    # refuses a second plant or harvest, so a wrong end costs a fee.
    Decision.EXCLUDE_ENVELOPE: Needed.TWO_WORDS,
    # When it is planted already, or a better work is there, the operation ends without a
    # transaction.
    Decision.SETTLE_BY_PAIL: Needed.TWO_WORDS,
    # A refusal that ends an operation for good.
    Decision.REFUSE_BY_SIMULATION: Needed.TWO_WORDS,
    # A farmer's account that no longer obeys the pool's key, or whose line takes nothing: its plant
    # or harvest ends, and nothing is signed.
    Decision.REFUSE_ACCOUNT: Needed.TWO_WORDS,
    # A destination that does not exist, or takes no KALE: the withdrawal ends.
    Decision.REFUSE_DESTINATION: Needed.TWO_WORDS,
    # Plants, works, harvests and balances that no record has.
    Decision.RECORD_FOUND: Needed.TWO_WORDS,
    # The result of a transaction whose ledger no node has any more.
    Decision.RECORD_FORGOTTEN: Needed.STATE,
    # Who signs for an account, and that it is not there: whoever logs in sees its farmers, and has
    # them paid out where they say themselves.
    Decision.LOG_IN: Needed.TWO_WORDS,
    # The balances that are shown are read again with the next ledger.
    Decision.SHOW_BALANCES: Needed.ONE_WORD,
}
