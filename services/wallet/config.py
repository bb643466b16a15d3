"""Settings of wallet. Horizon is not needed: RPC's getLedgerEntries reads accounts, too."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from libs.common.config import (
    Count,
    Milliseconds,
    Port,
    ServiceSettings,
    Stroops,
    Unit,
    WholeSeconds,
)
from libs.kale.address import account_address, raw_key
from libs.kale.constants import MAX_I64
from services.wallet.chain import Network, network_for
from services.wallet.domain.agreements import AgreementRules
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.budget import FeeTerms, SponsorTerms
from services.wallet.domain.channels import ChannelTerms
from services.wallet.domain.logins import (
    LONGEST_HOME_DOMAIN,
    LONGEST_LOGIN,
    LONGEST_WEB_AUTH_DOMAIN,
    LoginTerms,
    is_host,
)
from services.wallet.domain.refusals import mark_of
from services.wallet.domain.withdrawals import Asset, CountLimits, DailyLimit, WithdrawalTerms
from services.wallet.key_settings import KeySettings
from services.wallet.keys.signer import load_treasury_seed


class WalletSettings(ServiceSettings, KeySettings):
    """Settings that wallet reads on top of the common ones."""

    #: Port to listen on; 0 lets the system choose.
    port: Port = 50_052
    #: JSON-RPC of Stellar nodes, comma separated, the preferred one first: when one is away, slow,
    #: behind or on another network, the next one is asked.
    stellar_rpc_urls: SecretStr = SecretStr("")
    #: The same for one node, when STELLAR_RPC_URLS is empty; empty means the network's public one
    #: (mainnet has none).
    stellar_rpc_url: SecretStr = SecretStr("")
    #: Where the treasury is funded for free; empty means the network's own, if it has one.
    friendbot_url: str = ""
    #: The KALE asset as CODE:ISSUER; empty means the network's own.
    kale_asset: str = ""
    #: File with the secret seed (S...) of an existing treasury account, for the first start.
    treasury_secret_file: Path | None = None
    #: Milliseconds of ledger time that one chain operation's envelope may live (whole seconds).
    operation_timeout: Milliseconds = 30_000
    #: Stroops of XLM that a transaction may cost at most for each operation that it carries.
    max_fee_stroops: Annotated[Stroops, Field(ge=200)] = 1_000_000
    #: Stroops of XLM below which the treasury counts as low: a warning, a figure, a line in the
    #: engine's status.
    treasury_low_balance_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 1_000_000_000
    #: Stroops of XLM that all transactions may cost within 24 hours; 0: no limit.
    fee_daily_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 0
    #: Stroops of XLM that the transactions of one pooler's farmers may cost within 24 hours; 0: no
    #: limit.
    fee_daily_per_pooler_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 0
    #: Stroops of XLM that plants leave alone for each work and harvest that is to follow.
    fee_reserve_stroops: Annotated[Stroops, Field(ge=0, le=10_000_000)] = 50_000
    #: Stroops of XLM that reserves of a pooler's new farmers may take within 24 hours, 15,000,000
    #: each; 0: no limit. Farmers beyond it get their accounts later.
    sponsored_daily_per_pooler_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 15_000_000_000
    #: Stroops of XLM that reserves of new farmers of all poolers, and of poolers' own accounts,
    #: may take together within 24 hours; 0: no limit.
    sponsored_daily_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 30_000_000_000
    #: Payer accounts of the pool to keep: each carries up to 19 withdrawals or payouts, or 99
    #: payments of poolers, at a time, in about a ledger: 5 pay 95 farmers a ledger, and 53 are
    #: what 1,000 farmers need to be paid in three (docs/payouts.md). Never less than there were: a
    #: payment belongs to its payer for ever.
    payer_accounts: Annotated[Count, Field(ge=1, le=100)] = 5
    #: Stroops of XLM that longer lives of the entries that calls need (the farm's instance and
    #: code, the token's instance, the multicall) may cost within 24 hours, apart from
    #: FEE_DAILY_STROOPS; 0: wallet pays no rent, and calls wait until somebody else does.
    rent_daily_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 1_000_000_000
    #: Channel accounts of the pool to keep: sources of works, harvests and multicalls. 0: none.
    channel_accounts: Annotated[Count, Field(ge=0, le=1000)] = 0
    #: Stroops of XLM that a channel account is made with, and gets with each top-up.
    channel_funding_stroops: Annotated[Stroops, Field(ge=20_000_000)] = 50_000_000
    #: Stroops of XLM below which a channel account is topped up.
    channel_low_balance_stroops: Annotated[Stroops, Field(ge=15_000_000)] = 20_000_000
    #: Stroops of XLM that top-ups of all channel accounts may take from the treasury within 24
    #: hours; 0: none is topped up.
    top_up_daily_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 10_000_000_000
    #: Contract id (C...) of the multicall contract; empty: every operation goes alone.
    multicall_contract_id: str = ""
    #: Milliseconds between two comparisons of records with the chain; 0: only when asked.
    reconcile_interval_ms: Annotated[int, Unit.MILLISECONDS, Field(ge=0)] = 300_000
    #: Milliseconds between two lines of the security log with the audit log's head.
    audit_head_interval_ms: Milliseconds = 300_000
    #: Whether a farmer's key may be given to its owner (kalepool custody export-key).
    key_export: bool = False
    #: Seconds between the end of a farmer's account that has left and that of its key
    #: (docs/leaving.md). Backups keep it for as long as they are kept.
    key_holding_seconds: Annotated[WholeSeconds, Field(ge=86_400)] = 2_592_000
    #: Milliseconds until a farmer's changed payout address counts.
    withdraw_cooling_ms: Milliseconds = 86_400_000
    #: Payout addresses that a farmer may have registered within 24 hours, or within
    #: WITHDRAW_COOLING_MS where that is longer. To have none does not count.
    withdraw_address_changes: Annotated[Count, Field(ge=1, le=100)] = 10
    #: The operator's part of each reward, in ten-thousandths, by agreements made from now on.
    operator_fee_bps: Annotated[Count, Field(ge=0, le=5_000)] = 0
    #: What the pooler's and the operator's parts of a reward may be together, in ten-thousandths,
    #: whoever agrees to more.
    max_fee_bps: Annotated[Count, Field(ge=0, le=5_000)] = 3_000
    #: Seconds until a change of an agreement counts that takes anything from the farmer.
    agreement_notice_seconds: Annotated[WholeSeconds, Field(ge=0, le=31_536_000)] = 604_800
    #: Agreements, and owner accounts, that a farmer may have recorded within 24 hours.
    agreement_changes: Annotated[Count, Field(ge=1, le=100)] = 20
    #: Seconds until a payout address, or an owner account, counts that an operator has set without
    #: the farmer's signature.
    operator_address_cooling_seconds: Annotated[WholeSeconds, Field(ge=0, le=31_536_000)] = (
        2_592_000
    )
    #: Stroops of KALE that a farmer may withdraw within 24 hours.
    withdraw_daily_kale_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 1_000_000_000_000
    #: Stroops of KALE that all farmers together may withdraw within 24 hours.
    withdraw_daily_kale_pool_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = (
        100_000_000_000_000
    )
    #: Stroops of XLM that a farmer may withdraw within 24 hours.
    withdraw_daily_xlm_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 1_000_000_000
    #: Stroops of XLM that all farmers together may withdraw within 24 hours.
    withdraw_daily_xlm_pool_stroops: Annotated[Stroops, Field(ge=0, le=MAX_I64)] = 10_000_000_000
    #: Withdrawals of a farmer that may be open at a time.
    withdraw_open_per_farmer: Annotated[Count, Field(ge=1, le=1000)] = 20
    #: Withdrawals of a farmer that ledgers may refuse within 24 hours; then it may ask for no more.
    withdraw_failures_per_farmer: Annotated[Count, Field(ge=1, le=1000)] = 5
    #: The same for all farmers of a pooler.
    withdraw_failures_per_pooler: Annotated[Count, Field(ge=1, le=100_000)] = 50
    #: Where the operator's part of fees goes (strkey G...), with KALE trustline; empty: it stays in
    #: farmers' accounts, as what they owe.
    operator_payout_address: str = ""
    #: The pool's name for wallets of farmers' owner accounts (SEP-10): the host of the gateway that
    #: serves /.well-known/stellar.toml, such as pool.example. Empty: nobody logs in.
    login_home_domain: str = ""
    #: The host at which they log in, where it is another one.
    login_web_auth_domain: str = ""
    #: Seconds that a login lasts.
    login_seconds: Annotated[WholeSeconds, Field(ge=60, le=LONGEST_LOGIN)] = 43_200
    #: Seconds of a KALE block: 300, unless a local network says otherwise.
    block_seconds: Annotated[WholeSeconds, Field(ge=1, le=86_400)] = 300
    #: Milliseconds between two looks for a new ledger.
    chain_poll_ms: Milliseconds = 1000
    #: Milliseconds that one request to the Stellar node may take.
    stellar_timeout_ms: Milliseconds = 10_000
    #: Milliseconds without an answer after which the next Stellar node is asked, too.
    stellar_hedge_ms: Milliseconds = 1000
    #: Operations that are simulated and signed at the same time.
    prepare_parallel: Annotated[Count, Field(ge=1, le=100)] = 10

    def network(self) -> Network:
        """Return the network, farm and asset to work with.

        Raises ValueError when they do not fit together.
        """
        return network_for(
            self.stellar_network,
            farm=self.kale_contract_id,
            asset=self.kale_asset,
            rpc_url=(self.stellar_rpc_urls or self.stellar_rpc_url).get_secret_value(),
            friendbot_url=self.friendbot_url,
        )

    def treasury_seed(self) -> bytes | None:
        """Return the seed of an existing treasury account, if one is given."""
        return load_treasury_seed(self.treasury_secret_file)

    def fees(self) -> FeeTerms:
        """Return the fee budgets."""
        return FeeTerms(
            daily=self.fee_daily_stroops,
            daily_per_pooler=self.fee_daily_per_pooler_stroops,
            reserve=self.fee_reserve_stroops,
            rent_daily=self.rent_daily_stroops,
        )

    def sponsored(self) -> SponsorTerms:
        """Return the budgets for reserves of new accounts."""
        return SponsorTerms(
            pooler=self.sponsored_daily_per_pooler_stroops, pool=self.sponsored_daily_stroops
        )

    def channels(self) -> ChannelTerms:
        """Return the operator's wishes for channel accounts."""
        return ChannelTerms(
            count=self.channel_accounts,
            funding=self.channel_funding_stroops,
            low=self.channel_low_balance_stroops,
            daily=self.top_up_daily_stroops,
        )

    def limits(self) -> OperatorLimits:
        """Return the operator's limits for one transaction."""
        return OperatorLimits(
            lifetime=max(1, self.operation_timeout // 1000),
            max_fee=self.max_fee_stroops,
            parallel=self.prepare_parallel,
            mark=mark_of(self.max_fee_stroops, self.fees()),
        )

    def withdrawals(self) -> WithdrawalTerms:
        """Return the operator's terms for withdrawals."""
        kale = DailyLimit(
            farmer=self.withdraw_daily_kale_stroops, pool=self.withdraw_daily_kale_pool_stroops
        )
        xlm = DailyLimit(
            farmer=self.withdraw_daily_xlm_stroops, pool=self.withdraw_daily_xlm_pool_stroops
        )
        return WithdrawalTerms(
            cooling=self.withdraw_cooling_ms / 1000,
            changes=self.withdraw_address_changes,
            limits={Asset.KALE: kale, Asset.XLM: xlm},
            counts=CountLimits(
                open=self.withdraw_open_per_farmer,
                failures=self.withdraw_failures_per_farmer,
                failures_of_pooler=self.withdraw_failures_per_pooler,
            ),
        )

    def agreements(self) -> AgreementRules:
        """Return the operator's rules for agreements, and for whose a payout address is."""
        return AgreementRules(
            operator_bps=self.operator_fee_bps,
            max_fee_bps=self.max_fee_bps,
            notice=self.agreement_notice_seconds,
            operator_cooling=self.operator_address_cooling_seconds,
            changes=self.agreement_changes,
        )

    def logins(self) -> LoginTerms | None:
        """Return the operator's terms for logins; None: nobody logs in.

        Raises ValueError for what is no host.
        """
        home, at = self.login_home_domain, self.login_web_auth_domain or self.login_home_domain
        if not home:
            if at:
                raise ValueError("LOGIN_WEB_AUTH_DOMAIN needs LOGIN_HOME_DOMAIN")
            return None
        for name, host, longest in (
            ("LOGIN_HOME_DOMAIN", home, LONGEST_HOME_DOMAIN),
            ("LOGIN_WEB_AUTH_DOMAIN", at, LONGEST_WEB_AUTH_DOMAIN),
        ):
            if not is_host(host, longest=longest):
                raise ValueError(
                    f"{name} must be a host in small letters of {longest} characters at most"
                )
        return LoginTerms(home_domain=home, web_auth_domain=at, seconds=self.login_seconds)

    def multicall(self) -> bytes | None:
        """Return the raw id of the multicall contract; None without one.

        Raises ValueError when the setting is no contract id.
        """
        return raw_key(self.multicall_contract_id) if self.multicall_contract_id else None

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        """Check the settings at the start, so that none fails only later."""
        self.network()
        self.treasury_seed()
        if self.multicall_contract_id and not self.channel_accounts:
            raise ValueError("MULTICALL_CONTRACT_ID needs CHANNEL_ACCOUNTS: they are its sources")
        self.multicall()
        self.logins()
        if self.operator_payout_address:
            account_address(self.operator_payout_address)
        if self.operator_fee_bps > self.max_fee_bps:
            raise ValueError("OPERATOR_FEE_BPS is more than MAX_FEE_BPS")
        return self
