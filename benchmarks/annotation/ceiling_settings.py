"""The product's settings, every one of them, with other addresses: what the pages are held against."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.annotation.ceiling"
