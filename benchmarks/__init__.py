"""Speed against what a user would otherwise pick: ``python -m benchmarks --help``."""
