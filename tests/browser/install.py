"""Fetch a Chromium for the browser tests where this machine may: `python -m tests.browser.install`.

On Debian and Ubuntu as root the distribution's package is installed. Elsewhere a sentence says what is missing; the
browser tests then say the same when they are skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "Browser tests are SKIPPED: no Chromium was found. Install one (Debian, Ubuntu: apt-get install chromium; "
    "macOS: brew install --cask chromium) or name it: CHROMIUM=/path/to/chromium make test"
)


def find_chromium() -> str | None:
    """Path of a Chromium: the variable CHROMIUM, else PATH, else macOS's application folder."""
    if named := os.environ.get("CHROMIUM"):
        if not Path(named).exists():
            raise SystemExit(f"CHROMIUM names {named}, which is not there.")
        return named
    mac = Path("/Applications/Chromium.app/Contents/MacOS/Chromium")
    return next(filter(None, map(shutil.which, NAMES)), str(mac) if mac.exists() else None)


def main() -> None:
    if find_chromium():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)  # type: ignore[call-overload]
        packages = ["chromium", "fonts-noto-cjk"]
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
            **quiet,  # type: ignore[call-overload]
        )
    if not find_chromium():
        sys.stderr.write(MISSING + "\n")


if __name__ == "__main__":
    main()
