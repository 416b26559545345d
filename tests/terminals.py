"""A terminal that remembers its screen, for tests of what is drawn on one."""

from __future__ import annotations

import os
import pty
import re
import termios
import threading


class Terminal:
    """A real pseudo-terminal and what would be on its screen: as much of one as the tree uses.

    It takes what is written at once, as every terminal does: one that nobody reads holds up whoever writes.
    """

    def __init__(self, columns=80, rows=24):
        self.master, slave = pty.openpty()
        settings = termios.tcgetattr(slave)
        settings[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        termios.tcsetwinsize(slave, (rows, columns))
        self.stream = os.fdopen(slave, "w", encoding="utf-8", buffering=1)
        self._unread = b""
        self._has_come = threading.Condition()
        self._reading = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reading.start()
        self.rows = [""]
        self.row = self.column = 0

    def _read(self):
        while True:
            try:
                came = os.read(self.master, 1 << 20)
            except OSError:  # the other end is closed
                return
            with self._has_come:
                self._unread += came
                self._has_come.notify_all()

    def close(self):
        self.stream.close()
        self._reading.join(30)
        os.close(self.master)

    def screen(self):
        # The kernel hands over what was written when it likes: a mark at the end tells that it is all here.
        mark = b"\x1b[9z"
        os.write(self.stream.fileno(), mark)
        with self._has_come:
            assert self._has_come.wait_for(lambda: mark in self._unread, 30)
            # Whoever draws from time to time may have gone on behind it.
            text, _, self._unread = self._unread.partition(mark)
        for token in re.findall(r"\x1b\[[?0-9]*[A-Za-z]|\x1b[78D]|[\r\n]|[^\x1b\r\n]+", text.decode()):
            self._take(token)
        return [row.rstrip() for row in self.rows]

    def _down(self):
        self.row += 1
        self.rows += [""] * (self.row + 1 - len(self.rows))

    def _take(self, token):
        if token == "\n":
            self._down()
            self.column = 0
        elif token == "\x1bD":
            self._down()
        elif token == "\x1b7":
            self.saved = (self.row, self.column)
        elif token == "\x1b8":
            self.row, self.column = self.saved
        elif token == "\r":
            self.column = 0
        elif up := re.fullmatch(r"\x1b\[(\d+)A", token):
            self.row -= int(up[1])
        elif token == "\x1b[K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif token == "\x1b[J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        elif not token.startswith("\x1b"):
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + token + row[self.column + len(token) :]
            self.column += len(token)
