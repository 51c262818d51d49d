"""The study on paper: ``results.write_results`` and ``costs.write_costs`` write Markdown."""
