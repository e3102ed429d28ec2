import json
import os
import sys
from pathlib import Path

words = sys.stdin.read().split()
inputs = json.loads(os.environ.get("SPACEDOCK_INPUTS", "{}"))
if inputs.get("unique"):
    words = sorted(set(words))

output = Path(os.environ["SPACEDOCK_OUTPUT_DIR"])
for file in sorted(Path(os.environ["SPACEDOCK_INPUT_DIR"]).iterdir()):
    print(f"counting {file.name}", file=sys.stderr)
    count = len(file.read_bytes().split())
    (output / f"{file.stem}.count.txt").write_text(f"{count}\n")

Path(os.environ["SPACEDOCK_OUTPUT_FILE"]).write_text(f"{len(words)} words\n")
