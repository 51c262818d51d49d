"""Comparisons outside the pipeline: ``python -m studies.league --help``, ``studies.ablations``."""
