"""The journal: plain files on disk, the one place where the write side and the read side meet."""
