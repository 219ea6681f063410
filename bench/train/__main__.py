"""`python -m bench.train ...`"""

from __future__ import annotations

import sys

from bench.train.command import main

sys.exit(main())
