"""The files of our pages, by their names."""

from pathlib import Path

from libs.http.files import StaticFile
from libs.http.reference.viewer import styled

FOLDER = Path(__file__).parent / "static"
#: Files of our pages, with their media types.
_FILES = {
    "pool.css": "text/css; charset=utf-8",
    "pool.js": "text/javascript; charset=utf-8",
    "uplot.css": "text/css; charset=utf-8",
    "uplot.js": "text/javascript; charset=utf-8",
    "wallet.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
#: The style sheet that begins as the reference's does.
_SHEET = "pool.css"


def static_files() -> dict[str, StaticFile]:
    """Return the files of our pages by their names."""
    return {
        name: StaticFile(path=f"/static/{name}", body=content_of(name), media_type=media_type)
        for name, media_type in _FILES.items()
    }


def content_of(name: str) -> bytes:
    """Return what is served as a file; our style sheet follows what all sheets share."""
    content = (FOLDER / name).read_bytes()
    return styled(content) if name == _SHEET else content
