"""python -m services.harvest [serve|migrate]"""

from services.harvest.app import open_app
from services.harvest.config import HarvestSettings
from services.main import main

if __name__ == "__main__":
    main("harvest", HarvestSettings, open_app)
