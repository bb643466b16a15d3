"""python -m services.plant [serve|migrate]"""

from services.main import main
from services.plant.app import open_app
from services.plant.config import PlantSettings

if __name__ == "__main__":
    main("plant", PlantSettings, open_app)
