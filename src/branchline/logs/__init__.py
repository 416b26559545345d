"""Log records: from the logging module, and events, to the run that is being recorded."""
