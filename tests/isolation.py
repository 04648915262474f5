"""Where tests write: loaded by pytest before Django reads its settings (`-p tests.isolation` in pyproject.toml).

A conftest.py would come too late: pytest-django sets Django up before it reads any, and tests would use the product's
own database server and folders. Where tests run side by side (pytest -n 2), each process has its own.
"""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")
VAR = REPO / "var" / "test" / PROCESS

os.environ["PLUMBLINE_VAR"] = str(VAR)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait starve each other
if PROCESS:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
