"""The sides of `benchmarks/parity.py`: slmtui's worker, llama.cpp's llama-bench, llama-cpp-python's streaming API."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # slmtui and its tests' GGUF writer, also when not installed
