"""Where miners of others are: one in Python that is always there, and real ones."""

import os
import sys
from pathlib import Path

#: Command of a miner that behaves as kale-miner does; its arguments follow.
OTHER_MINER = f"{sys.executable} {Path(__file__).with_name('other_miner.py')} zeros"
#: The real programs, where somebody has them: their paths.
KALE_MINER, KALE_FARMER = os.environ.get("KALE_MINER", ""), os.environ.get("KALE_FARMER", "")
