"""What others load by name: tiny modules."""
