"""The only package of the pool that knows Stellar: XDR, JSON-RPC, envelopes, results.

Other packages import from this file only. node/ asks nodes, read/ makes facts of the nodes'
answers, build/ makes envelopes. The values that leave this package are dataclasses of
domain/chain_facts.py or the types listed here; the types of stellar_sdk stay inside.
"""

from services.wallet.chain.build.calls import FarmCall, raw
from services.wallet.chain.build.challenges import NONCE_BYTES, sign_challenge
from services.wallet.chain.build.closing import Closed, sign_closings
from services.wallet.chain.build.data_entries import sign_data_entry
from services.wallet.chain.build.deploy import (
    RENEW,
    Deployment,
    DeploymentStep,
    extension,
    multicall_deployment,
)
from services.wallet.chain.build.envelopes import raise_bid, replacing_bid, sign_bumped, sign_direct
from services.wallet.chain.build.loads import Load, alone, authorize, together
from services.wallet.chain.build.onboarding import (
    MAX_FARMERS,
    MAX_NEW_ACCOUNTS,
    Leaver,
    NewAccount,
    Newcomer,
    sign_new_accounts,
    sign_onboarding,
    sign_reclaim,
)
from services.wallet.chain.build.payments import MAX_ACCOUNTS, MAX_PAYMENTS, Payment, sign_payments
from services.wallet.chain.build.resource_templates import (
    FIRST_ALIKE,
    CarriedCall,
    ResourceTemplate,
    UnderivableError,
    opening_template,
)
from services.wallet.chain.build.wire import Resources
from services.wallet.chain.errors import (
    DisagreementError,
    FeeCapExceededError,
    NetworkMismatchError,
    RpcRejectedError,
    RpcUnavailableError,
    SimulationError,
    StaleAnswerError,
    UnknownAnswerError,
)
from services.wallet.chain.facade import Chain, Place
from services.wallet.chain.networks import Network, network_for
from services.wallet.chain.node.health import EndpointState, EndpointStatus
from services.wallet.chain.node.lists import LONGEST
from services.wallet.chain.opening import open_chain
from services.wallet.chain.read.challenges import check_signed, read_challenge
from services.wallet.chain.read.included import Included

__all__ = [
    "FIRST_ALIKE",
    "LONGEST",
    "MAX_ACCOUNTS",
    "MAX_FARMERS",
    "MAX_NEW_ACCOUNTS",
    "MAX_PAYMENTS",
    "NONCE_BYTES",
    "RENEW",
    "CarriedCall",
    "Chain",
    "Closed",
    "Deployment",
    "DeploymentStep",
    "DisagreementError",
    "EndpointState",
    "EndpointStatus",
    "FarmCall",
    "FeeCapExceededError",
    "Included",
    "Leaver",
    "Load",
    "Network",
    "NetworkMismatchError",
    "NewAccount",
    "Newcomer",
    "Payment",
    "Place",
    "ResourceTemplate",
    "Resources",
    "RpcRejectedError",
    "RpcUnavailableError",
    "SimulationError",
    "StaleAnswerError",
    "UnderivableError",
    "UnknownAnswerError",
    "alone",
    "authorize",
    "check_signed",
    "extension",
    "multicall_deployment",
    "network_for",
    "open_chain",
    "opening_template",
    "raise_bid",
    "raw",
    "read_challenge",
    "replacing_bid",
    "sign_bumped",
    "sign_challenge",
    "sign_closings",
    "sign_data_entry",
    "sign_direct",
    "sign_new_accounts",
    "sign_onboarding",
    "sign_payments",
    "sign_reclaim",
    "together",
]
