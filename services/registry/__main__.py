"""python -m services.registry [serve|migrate]"""

from services.main import main
from services.registry.app import open_app
from services.registry.config import RegistrySettings

if __name__ == "__main__":
    main("registry", RegistrySettings, open_app)
