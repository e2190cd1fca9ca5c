"""``python -m lvtune``, also for ``accelerate launch -m lvtune adapt``."""

from __future__ import annotations

import sys

from lvtune.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
