"""`python -m slmtui`."""

import sys

from slmtui.cli import main

sys.exit(main())
