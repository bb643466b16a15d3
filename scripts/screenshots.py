"""Takes the pictures of docs/images from a pool that farms.

python -m scripts.screenshots [FOLDER]
"""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser

from scripts.browsing import Shown, open_browser, open_farming_pool, sign_in, sign_in_by_account

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
#: Where the pool's data are.
_DIRECTORY = ROOT / "var" / "screenshots"
#: Blocks that are harvested before the pictures are taken, and farmers.
_BLOCKS, _FARMERS = 6, 12
#: Milliseconds in which a page reads its first event and draws its plots.
_SETTLE = 1500

Scheme = Literal["light", "dark"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a page is looked at."""

    #: Ends the picture's name.
    name: str
    #: What the person prefers.
    scheme: Scheme
    #: Pixels of the window.
    width: int
    height: int


LOOKS = (
    Look(name="light", scheme="light", width=1200, height=1400),
    Look(name="dark", scheme="dark", width=1200, height=1400),
    Look(name="phone", scheme="light", width=360, height=740),
)
#: Pages of which there are pictures, each with who looks.
PICTURES = {
    "overview": "",
    "block": "",
    "farmer": "",
    "pooler": "pooler",
    "operator": "operator",
    "own": "owner",
}
#: Pages with all looks; the others have the first.
_IN_ALL = frozenset({"overview", "operator"})


def pictures() -> Iterator[tuple[str, str, Look]]:
    """Yield each picture: the page, who looks, and how."""
    for page, who in PICTURES.items():
        for look in LOOKS if page in _IN_ALL else LOOKS[:1]:
            yield page, who, look


async def shoot(browser: Browser, shown: Shown, folder: Path) -> list[Path]:
    """Take all pictures; return where they are."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    url = shown.stack.gateway_url
    tokens = {"operator": shown.operator_token, "pooler": shown.pooler_token}
    made = []
    for name, who, look in pictures():
        context = await browser.new_context(
            color_scheme=look.scheme,
            viewport={"width": look.width, "height": look.height},
            locale="en-GB",
        )
        if who == "owner":
            await sign_in_by_account(context, url, shown.owner)
        elif who:
            await sign_in(context, url, tokens[who])
        page = await context.new_page()
        await page.goto(f"{url}{shown.paths[name]}")
        await page.wait_for_timeout(_SETTLE)
        path = folder / f"{name}-{look.name}.png"
        await page.screenshot(path=path)
        await context.close()
        made.append(path)
    return made


async def main(folder: Path) -> None:
    """Run the command."""
    async with (
        open_browser() as browser,
        open_farming_pool(_DIRECTORY, farmers=_FARMERS, harvested=_BLOCKS) as shown,
    ):
        made = await shoot(browser, shown, folder)
    sys.stdout.write("".join(f"{path}\n" for path in made))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
