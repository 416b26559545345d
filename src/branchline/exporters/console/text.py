"""Text on a terminal or in a pipe: styled rows, glyphs, durations, and names made harmless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple, Protocol

from rich.cells import cell_len, set_cell_size

from ...money import CONTEXT


Piece = tuple[str, str]
"""A text and its style: one of the keys of `_SGR`."""

Row = tuple[Piece, ...]

_SGR = {"": "", "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}

# Joiners of emoji and wide spaces: not "printable" for Python, harmless on a screen.
_HARMLESS = frozenset("\u200d\ufe0f\u00a0\u3000")


class Glyphs(NamedTuple):
    """The signs that one stream can show."""

    success: str
    failed: str
    skipped: str
    cancelled: str
    interrupted: str
    start: str
    times: str
    dot: str
    inside: str
    more: str
    tee: str
    bend: str
    bar: str
    spinner: str

    def outcome(self, outcome: str | None) -> Piece:
        """Return the sign for how something ended; what has no outcome ended well."""
        match outcome:
            case "failed" | "lost":
                return self.failed, "red"
            case "skipped":
                return self.skipped, "yellow"
            case "cancelled":
                return self.cancelled, "yellow"
            case "interrupted":
                return self.interrupted, "magenta"
        return self.success, "green"


UNICODE = Glyphs("✓", "✗", "↷", "⊘", "⚡", "▸", "×", "·", "›", "…", "├─ ", "└─ ", "│  ", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
ASCII = Glyphs("+", "x", "~", "-", "!", ">", "x", "|", ">", "...", "|- ", "`- ", "|  ", "|/-\\")


def glyphs_for(encoding: str | None) -> Glyphs:
    """Return the glyphs that *encoding* can carry."""
    try:
        "".join(UNICODE).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def safe(text: str, limit: int = 80) -> str:
    """Return *text* on one line, cut to *limit* characters, with nothing in it that could steer a terminal."""
    cut = text[: limit - 1] + "…" if len(text) > limit else text
    if cut.isprintable():
        return cut
    return "".join(
        char if char.isprintable() or char in _HARMLESS else char.encode("unicode_escape").decode() for char in cut
    )


def duration(nanoseconds: int) -> str:
    """Return a length of time with the digits that a person reads: `3.1 ms`, `1.24 s`, `2 m 05 s`."""
    if nanoseconds < 999_500:
        return f"{max(nanoseconds, 0) / 1e3:.0f} µs"
    if nanoseconds < 9_950_000:
        return f"{nanoseconds / 1e6:.1f} ms"
    if nanoseconds < 999_500_000:
        return f"{nanoseconds / 1e6:.0f} ms"
    if nanoseconds < 59_995_000_000:
        return f"{nanoseconds / 1e9:.2f} s"
    seconds = round(nanoseconds / 1e9)
    if seconds < 3600:
        return f"{seconds // 60} m {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} m"


def elapsed(nanoseconds: int) -> str:
    """Return the time that something still open has taken: steadier than *duration*, it changes on every redraw."""
    return f"{max(nanoseconds, 0) / 1e9:.1f} s" if nanoseconds < 59_950_000_000 else duration(nanoseconds)


def figure(value: float) -> str:
    """Return a measured *value* with the digits that a person reads: `6,000`, `0.9167`, `1.2e-05`, `nan`."""
    if value - value or abs(value) >= 1e15:
        return f"{value:.4g}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def dollars(amount: Decimal) -> str:
    """Return an *amount* of money with the digits that a person reads: `$1,204.50`, `$0.1029`, `$0.000055`."""
    size = abs(amount)
    # Below a dollar, four digits that say something: cents are too much for a token.
    places = 2 if not size or size >= 1 else max(3 - size.adjusted(), 2)
    text = f"{CONTEXT.quantize(size, Decimal(1).scaleb(-places)):,f}"
    head, _, tail = text.partition(".")
    return f"{'-' if amount < 0 else ''}${head}.{tail.rstrip('0'):0<2}"


class Spent(Protocol):
    """What some calls of models came to."""

    @property
    def total_tokens(self) -> int:
        """Input and output."""

    @property
    def cost(self) -> Decimal | None:
        """In US dollars, as far as it is known."""

    @property
    def priced_ratio(self) -> float:
        """The part of the tokens that had a price."""


def spending(spent: Spent) -> str:
    """Return what was *spent* in words: `900 tokens $0.1029`, `900 tokens $0.10 (92 % priced)`, `9 tokens unpriced`."""
    tokens = plural(spent.total_tokens, "token")
    if spent.cost is None:
        return f"{tokens} unpriced"
    # Down, so that only what is wholly priced looks so.
    known = "" if spent.priced_ratio >= 1 else f" ({int(spent.priced_ratio * 100)} % priced)"
    return f"{tokens} {dollars(spent.cost)}{known}"


def plural(count: int, noun: str) -> str:
    """Return *count* of *noun* in words: `1 step`, `1,204 steps`, `2 branches`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}{'es' if noun.endswith(('ch', 's')) else 's'}"


def cells(row: Iterable[Piece]) -> int:
    """Return how many columns *row* takes."""
    return sum(cell_len(text) for text, _ in row)


def plain(row: Iterable[Piece]) -> str:
    """Return *row* without its styles."""
    return "".join(text for text, _ in row).rstrip()


def ansi(row: Iterable[Piece], width: int, *, is_coloured: bool) -> str:
    """Return *row* with its styles as escape sequences, cut to *width* columns."""
    pieces = cut(row, width)
    if not is_coloured:
        return plain(pieces)
    return "".join(f"\x1b[{_SGR[style]}m{text}\x1b[0m" if style else text for text, style in pieces)


def cut(row: Iterable[Piece], width: int) -> Iterator[Piece]:
    """Yield *row* as far as *width* columns go, wide characters counted as two."""
    room = width
    for text, style in row:
        length = cell_len(text)
        if length > room:
            yield set_cell_size(text, max(room - 1, 0)) + "…", style
            return
        room -= length
        yield text, style


def for_encoding(text: str, encoding: str | None) -> str:
    """Return *text* with what *encoding* cannot carry written as escapes."""
    if text.isascii():
        return text
    try:
        return text.encode(encoding or "ascii", "backslashreplace").decode(encoding or "ascii")
    except LookupError:
        return text.encode("ascii", "backslashreplace").decode("ascii")
