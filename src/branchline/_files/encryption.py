"""Encryption of files that nobody writes to any more: with a key, block by block, so that none is changed or left out.

A file begins with what the key for it is made of, and with a check by which another key is recognised.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, cast

from ..errors import ArchiveError, ConfigError, missing_extra
from .places import open_to_replace, remove


ENCRYPTED: Final = ".enc"
KEY_VARIABLE: Final = "BRANCHLINE_LOG_KEY"

_MAGIC: Final = b"branchline.enc.1"
_SALT: Final = 16
_HEADER: Final = len(_MAGIC) + 3 * _SALT
_BLOCK: Final = 1 << 16
_TAG: Final = 16
_SHORTEST: Final = 16
# What OWASP asks for a password; it costs a quarter of a second, once a process and once for each whose files are read.
_COST: Final = {"n": 1 << 14, "r": 8, "p": 5}


class Key:
    """A secret text that files are encrypted with; it shows itself nowhere."""

    def __init__(self, secret: bytes) -> None:
        """Encrypt with what is made of *secret*."""
        self._secret = secret
        self._salt = os.urandom(_SALT)

    def __repr__(self) -> str:
        return "<Key>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self._secret)

    def header(self) -> bytes:
        """Return how a new file begins."""
        salts = self._salt + os.urandom(_SALT)
        return _MAGIC + salts + self._check(salts)

    def fits(self, header: bytes) -> bool:
        """Whether the file that begins with *header* was encrypted with this key."""
        salts = header[len(_MAGIC) : -_SALT]
        return hmac.compare_digest(self._check(salts), header[-_SALT:])

    def cipher(self, header: bytes) -> Any:
        """Return what encrypts and decrypts the blocks of the file that begins with *header*."""
        salts = header[len(_MAGIC) : -_SALT]
        made = hmac.new(_derived(self._secret, salts[:_SALT])[:32], salts[_SALT:], hashlib.sha256).digest()
        return _aes()(made)

    def _check(self, salts: bytes) -> bytes:
        return hmac.new(_derived(self._secret, salts[:_SALT])[32:], salts, hashlib.sha256).digest()[:_SALT]


@lru_cache(maxsize=64)
def _derived(secret: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(secret, salt=salt, dklen=64, **_COST)


def key_of(said: object) -> Key | None:
    """Return the key that somebody *said*; None is none.

    Raises:
        ConfigError: for what cannot be one; the message does not repeat it.
        MissingExtraError: without cryptography.
    """
    if said is None or said is False:
        return None
    if isinstance(said, Key):
        return said
    secret = said.encode() if isinstance(said, str) else said
    if not isinstance(secret, bytes) or len(secret) < _SHORTEST:
        msg = f"encryption is not accepted; accepted: a secret text, or bytes, of at least {_SHORTEST} signs"
        raise ConfigError(msg)
    _aes()
    return Key(secret)


def _aes() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        feature = "encryption of log files"
        raise missing_extra(feature, extra="crypto", package="cryptography") from None
    return AESGCM


def encrypt(plain: Path, key: Key) -> Path:
    """Encrypt *plain*, which goes last: as long as it is there, it is the one that counts. Raises OSError."""
    target = plain.with_name(plain.name + ENCRYPTED)
    temporary = plain.with_name(f".{target.name}.tmp")
    try:
        status = plain.stat()
        with plain.open("rb") as source, os.fdopen(open_to_replace(temporary, status.st_mode & 0o777), "wb") as file:
            for block in _encrypted(source, key):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        # It is as old as what is in it.
        os.utime(temporary, ns=(status.st_mtime_ns, status.st_mtime_ns))
        temporary.replace(target)
    except BaseException:
        remove(temporary)
        raise
    plain.unlink()
    return target


def _encrypted(source: IO[bytes], key: Key) -> Iterator[bytes]:
    header = key.header()
    cipher = key.cipher(header)
    yield header
    block, number = source.read(_BLOCK), 0
    while True:
        following = source.read(_BLOCK)
        yield cipher.encrypt(_nonce(number, is_last=not following), block, header)
        if not following:
            return
        block, number = following, number + 1


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


@contextmanager
def decrypted(path: Path, key: Key | None) -> Iterator[IO[bytes]]:
    """Open the encrypted file at *path* as what it was.

    Raises:
        ArchiveError: without its key.
        OSError, ValueError: there, or while reading, for what cannot be read, was changed or is cut off.
    """
    with path.open("rb") as raw:
        header = raw.read(_HEADER)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            msg = f"{path.name} is not encrypted as its name says, or cut off"
            raise ValueError(msg)
        if key is None or not key.fits(header):
            why = "needs its key" if key is None else "was encrypted with another key"
            msg = f"{path.name} {why}"
            raise ArchiveError(msg)
        with io.BufferedReader(_Decrypted(raw, header, key)) as file:
            yield cast("IO[bytes]", file)


class _Decrypted(io.RawIOBase):
    """What was encrypted, at any place of it: some kinds of compression begin to read at the end."""

    def __init__(self, raw: IO[bytes], header: bytes, key: Key) -> None:
        self._raw = raw
        self._header = header
        self._cipher = key.cipher(header)
        size = raw.seek(0, os.SEEK_END) - _HEADER
        self._blocks = max(-(-size // (_BLOCK + _TAG)), 1)
        self._size = max(size - self._blocks * _TAG, 0)
        self._at = 0
        self._held: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        number, within = divmod(self._at, _BLOCK)
        # The last block is looked at though there is nothing in it: that the file ends there is said by it.
        found = self._block(number)[within : within + len(buffer)] if number < self._blocks else b""
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _block(self, number: int) -> bytes:
        if self._held[0] != number:
            # It raises, for what was changed, an error without a word in it.
            from cryptography.exceptions import InvalidTag

            self._raw.seek(_HEADER + number * (_BLOCK + _TAG))
            nonce = _nonce(number, is_last=number == self._blocks - 1)
            try:
                plain = self._cipher.decrypt(nonce, self._raw.read(_BLOCK + _TAG), self._header)
            except InvalidTag:
                msg = f"block {number} was changed, or the file is cut off"
                raise ValueError(msg) from None
            self._held = (number, plain)
        return self._held[1]
