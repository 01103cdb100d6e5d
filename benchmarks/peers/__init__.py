"""What the benchmarks share: the sides that they compare, and the files that they make."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

sys.path.insert(0, str(ROOT))  # slmtui and its tests' GGUF writer, also when slmtui is not installed
