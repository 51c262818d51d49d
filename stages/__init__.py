"""The stages of the pipeline: ``python -m stages.<name> --help``; dvc.yaml says what runs when."""
