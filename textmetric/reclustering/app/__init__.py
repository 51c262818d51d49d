"""A page on this machine to correct clusters on; docs/recluster.md."""
