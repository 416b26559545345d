"""Seals: what lines of JSON say of the line before them, so that whoever changes or removes one is found out."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final


# Such as no application has.
FIELD: Final = "branchline.chain"

_SEAL: Final = r':"([0-9a-f]{16}):([1-9][0-9]{0,17}):([0-9a-f]{64})"}'
_SEALED: Final = re.compile(rf'({{.*),"{re.escape(FIELD)}"{_SEAL}', re.DOTALL)


@dataclass
class Seals:
    """What the seals of the lines so far say; lines come oldest first, file after file."""

    key: bytes | None
    altered: list[str] = field(default_factory=list)
    sealed: int = 0
    missing: int = 0
    removed: int = 0
    unsealed: int = 0
    # By chain: the number of its last line, and the seal of that.
    _chains: dict[str, tuple[int, str]] = field(default_factory=dict)

    def take(self, line: str, place: str) -> None:
        """Look at a *line*, which is at *place*."""
        found = _SEALED.fullmatch(line)
        if found is None:
            self.unsealed += 1
            return
        text, chain, number, seal = found[1], found[2], int(found[3]), found[4]
        is_first = chain not in self._chains
        last, before = self._chains.get(chain, (0, ""))
        if number <= last:
            self.altered.append(place)
            return
        self._chains[chain] = (number, seal)
        if number > last + 1:
            # What it was sealed with is gone: only that it was sealed can be told.
            self.removed += number - 1 if is_first else 0
            self.missing += 0 if is_first else number - last - 1
            self.sealed += 1
        elif hmac.compare_digest(seal, seal_of(self.key, chain, number, before, text)):
            self.sealed += 1
        else:
            self.altered.append(place)


def seal_of(key: bytes | None, chain: str, number: int, before: str, text: str) -> str:
    """Return the seal of *text*, the line of so high a *number* in *chain*, after the one whose seal is *before*."""
    said = f"{chain}:{number}:{before}:{text}".encode("utf-8", "backslashreplace")
    return hashlib.sha256(said).hexdigest() if key is None else hmac.new(key, said, hashlib.sha256).hexdigest()
