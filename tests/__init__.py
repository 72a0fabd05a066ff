"""The tests; what is set here is set before anything loads numpy."""

import os

# The processes of `make test` share the processors: threads of BLAS that have none to run on spin for each other.
if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(processes))))
