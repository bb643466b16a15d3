"""python -m services.wallet [serve|migrate]"""

from libs.common.dumps import forbid_dumps
from services.main import main
from services.wallet.app import open_app
from services.wallet.config import WalletSettings

if __name__ == "__main__":
    forbid_dumps()  # seeds are in its memory
    main("wallet", WalletSettings, open_app)
