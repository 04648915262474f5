"""The loop closed end to end, measured: labels, reward model, PPO, and fresh answers scored by the rule of the labels.

    python -m benchmarks.loop                 (or: make bench-loop)      about four minutes on two CPU cores
    python -m benchmarks.loop --seed 3 --out docs/results.md
    python -m benchmarks.loop --rounds 3                          `manage.py loop`: several rounds, one after another

Everything is the product's own: an embedded database in a folder of its own, the demo, simulated annotators through
the real queue, a frozen snapshot, a reward run and a policy run carried out by the same task that a worker carries
out. Only then is the rule asked: what it thinks of fresh answers, at temperature 1, to messages that stood in no data,
by the starter and by the tuned version. Intervals are 95 %, bootstrapped over messages.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings

from benchmarks.report import Report, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the annotators' noise and of both runs")
    parser.add_argument("--rounds", type=int, default=0, help="go so many rounds unattended instead of one")
    parser.add_argument("--out", type=Path, help="Markdown file whose part on the loop is replaced")
    arguments = parser.parse_args()

    # Not below a home folder: PostgreSQL's unprivileged account must be able to enter it.
    var = Path(tempfile.mkdtemp(prefix="plumbline-bench-"))
    var.chmod(0o755)
    os.environ |= {"PLUMBLINE_VAR": str(var), "DJANGO_SETTINGS_MODULE": "config.settings"}
    os.environ.pop("DATABASE_URL", None)
    django.setup()
    from benchmarks import loop_rounds, loop_steps  # noqa: PLC0415 - their models need Django set up

    report = Report()
    try:
        if arguments.rounds:
            loop_rounds.measure(report, seed=arguments.seed, rounds=arguments.rounds)
        else:
            loop_steps.measure(report, seed=arguments.seed)
    finally:
        settings.POSTGRES.stop()
        shutil.rmtree(var)
    rounds = f" --rounds {arguments.rounds}" if arguments.rounds else ""
    table = report.markdown(command=f"python -m benchmarks.loop --seed {arguments.seed}{rounds}")
    sys.stdout.write("\n" + table)
    if arguments.out:
        part, title = ("rounds", "Round after round, unattended") if rounds else ("loop", "The loop, end to end")
        write(arguments.out, table, part=part, title=title)


if __name__ == "__main__":
    main()
