"""The work of the stages over the grid of families, roles, splits, samplers and seeds."""
