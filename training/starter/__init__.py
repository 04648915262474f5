"""The starter model: a policy small enough for two CPU cores, its text, and the command that makes it."""
