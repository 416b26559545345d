"""Files that are only ever appended to: rotation, retention, compression, archive and restore."""
