"""MLflow: what the journal holds, told as runs: an experiment, its branches below it, what each had and gave."""
