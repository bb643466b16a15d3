"""python -m services.work [serve|migrate]"""

from services.main import main
from services.work.app import open_app
from services.work.config import WorkSettings

if __name__ == "__main__":
    main("work", WorkSettings, open_app)
