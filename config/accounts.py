"""Which account a server that refuses to be root runs as."""

import os
import pwd


def unprivileged_account() -> pwd.struct_passwd | None:
    """None for an ordinary user (servers run as them); as root the account `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("Running as root, but there is no account 'postgres' or 'nobody': run as an ordinary user.")
