"""Measure what the documentation claims about speed: `python scripts/benchmark.py --help`."""

import os
import sys

# one thread each, set before the libraries that read it are imported
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

from benchmarks.command_line import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
