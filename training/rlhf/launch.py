"""A run on several processes of this machine: torchrun started, told to stop, its end understood. No library needed.

    if config.processes > 1 and not is_launched():
        code = launch("policy", run, config.processes, stop)

torchrun starts `python -m training.rlhf` once more for every rank. Rank 0 holds the run's folder and says how it ended;
a rank that fails leaves its sentence here, for the one that waits. On Linux the kernel ends all ranks with whoever
started them, so that no kill leaves one behind.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from training.rlhf.rundir import EXIT_OUR_ERROR, EXIT_USER_ERROR, RunDir, StopCheck

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 600
"""How long torchrun lets the ranks finish a step and write a checkpoint before it kills them."""
ENDS_FILE = "PLUMBLINE_ENDS_FILE"
SIGNALS = {"cancelled": signal.SIGTERM, "interrupted": signal.SIGUSR1}
PR_SET_PDEATHSIG = 1


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return "RANK" in os.environ


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def end_with_parent() -> None:
    """From now on the kernel kills this process when the one that started it dies (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def launch(kind: str, run: RunDir, num_processes: int, stop: StopCheck) -> int:
    """Run on so many processes to the end; the exit code, as one process would have it."""
    with tempfile.TemporaryDirectory() as scratch:
        ends = Path(scratch) / "ends.jsonl"
        threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        torchrun = subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"),
                *("--signals-to-handle=SIGTERM,SIGINT,SIGUSR1", "-m", "training.rlhf", kind, str(run.path)),
            ],
            env={
                **os.environ,
                ENDS_FILE: str(ends),
                "OMP_NUM_THREADS": str(max(1, threads // num_processes)),
                "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(PATIENCE_SECONDS),  # torch 2.11 waits 30 s whatever it says
            },
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is ours to pass on
            preexec_fn=end_with_parent,
        )
        try:
            wait(torchrun, stop)
        finally:
            torchrun.kill()
            torchrun.wait()
        return understood(ends, run, num_processes)


def wait(torchrun: "subprocess.Popen[bytes]", stop: StopCheck) -> None:
    """Until it has ended; a reason to stop is passed on once."""
    told = False
    while torchrun.poll() is None:
        time.sleep(POLL_SECONDS)
        if not told and (reason := stop()):
            told = True
            torchrun.send_signal(SIGNALS[reason])


def note_end(code: int, sentence: str = "", *, owner: str = "") -> None:
    """By a rank that torchrun started: how it ended, for the process that waits for all of them."""
    if path := os.environ.get(ENDS_FILE):
        end = {"rank": rank(), "code": code, "sentence": sentence, "owner": owner}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(end) + "\n")


def understood(ends: Path, run: RunDir, num_processes: int) -> int:
    """Rank 0's exit code. Where it could not say how it ended, another's sentence goes into the events, or ours."""
    found: list[dict[str, Any]] = []
    with contextlib.suppress(FileNotFoundError):
        found = [json.loads(line) for line in ends.read_text(encoding="utf-8").splitlines()]
    for end in found:
        if end["rank"] == 0:
            return int(end["code"])
    sentence, owner, code = (
        f"One of the run's {num_processes} processes was ended from outside, as the system does when memory runs out. "
        "Rerun it with a smaller micro_batch_size (the result stays the same), lora_rank above 0, or a smaller model; "
        "stderr.txt in the run's folder has more.",
        "user",
        EXIT_USER_ERROR,
    )
    if found:
        sentence, owner, code = found[0]["sentence"], found[0]["owner"], int(found[0]["code"])
    with run.lock(), run.open_events() as events:
        events.error(sentence, owner="user" if owner == "user" else "plumbline")
    return code if code else EXIT_OUR_ERROR
