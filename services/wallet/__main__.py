"""python -m services.wallet [serve|migrate]"""

from services.main import main
from services.wallet.app import open_app
from services.wallet.config import WalletSettings

if __name__ == "__main__":
    main("wallet", WalletSettings, open_app)
