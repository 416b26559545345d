"""MLflow: the one client, what it takes, and what its errors mean; loaded by whoever is asked to log there."""
