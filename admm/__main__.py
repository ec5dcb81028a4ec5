"""`python -m admm`."""

import sys

from admm.cli import main

sys.exit(main())
