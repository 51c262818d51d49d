"""Comparisons beside the pipeline: ``python -m studies.league --help``, ``studies.ablations``."""
