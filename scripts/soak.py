"""Stop, damage and confuse runs until something gives: `python scripts/soak.py --help`."""

import os
import sys

# set before the libraries that read it are imported; a process with threads cannot be forked
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"

from soaks.command_line import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
