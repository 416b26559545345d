"""A flame as an SVG that needs nothing but itself: no script, no font, no network."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from decimal import Decimal
from html import escape
from typing import Final

from ..limits import amount
from ..read.flame import Frame, Weight
from .paint import seconds


_WIDTH: Final = 1200
_MARGIN: Final = 16
_TOP: Final = 76
_ROW: Final = 24
# What is thinner cannot be seen, and a thousand of them make a file that nobody can open.
_THINNEST: Final = 0.4
# Of a letter at this size, in the fonts that machines have.
_LETTER: Final = 6.9
# Hues: whatever runs is warm, what a model took is cool.
_WARM: Final = (4, 52)
_COOL: Final = (175, 228)

_STYLE: Final = """
  svg { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; background: #fff }
  .title { font: 600 20px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1c1917 }
  .sub { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #57534e }
  .frame text { fill: #1c1917; pointer-events: none }
  .frame .weight { fill: #57534e }
  .frame:hover rect { stroke: #1c1917; stroke-width: 1.2 }
  @media (prefers-color-scheme: dark) {
    svg { background: #1c1917 } .title { fill: #fafaf9 } .sub { fill: #a8a29e } .frame:hover rect { stroke: #fafaf9 }
  }
"""


def picture(root: Frame, weight: Weight, *, title: str, subtitle: str) -> str:
    """Return *root* as an SVG: its width is all of it, and what is inside of what stands below."""
    rows = list(_drawn(root, weight))
    height = _TOP + (max(depth for depth, _ in rows) + 1) * _ROW + _MARGIN
    about = _safe(f"{title}: {subtitle}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{about}">',
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="{_MARGIN}" y="34">{_safe(title)}</text>',
            f'<text class="sub" x="{_MARGIN}" y="57">{_safe(subtitle)}</text>',
            *(drawn for _, drawn in rows),
            "</svg>\n",
        ]
    )


def _drawn(root: Frame, weight: Weight) -> Iterator[tuple[int, str]]:
    """Yield every frame that can be seen, with its depth."""
    scale = Decimal(_WIDTH - 2 * _MARGIN) / root.total
    stack = [(root, Decimal(_MARGIN))]
    while stack:
        frame, left = stack.pop()
        width = frame.total * scale
        yield frame.depth, _rectangle(frame, float(left), float(width), weight, root.total)
        for child in frame.ordered:
            if child.total * scale >= _THINNEST:
                stack.append((child, left))
            left += child.total * scale


def _rectangle(frame: Frame, left: float, width: float, weight: Weight, whole: Decimal) -> str:
    top = _TOP + frame.depth * _ROW
    share = f"{frame.total * 100 / whole:.1f} %"
    told = said(frame.total, weight)
    times = f" ×{frame.count:,}" if frame.count > 1 else ""
    label = _label(f"{frame.name}{times}", f"{told} · {share}", width)
    text = f'<text x="{left + 6:.1f}" y="{top + 16}">{label}</text>' if label else ""
    about = f"{frame.kind} {frame.name}{times}\n{told}, {share}"
    if frame.own and frame.own != frame.total:
        about += f"\n{said(frame.own, weight)} of it own"
    return (
        f'<g class="frame"><title>{_safe(about)}</title>'
        f'<rect x="{left:.2f}" y="{top}" width="{max(width - 0.6, 0.3):.2f}" height="{_ROW - 1}" rx="2" '
        f'fill="{_colour(frame)}"/>{text}</g>'
    )


def said(value: Decimal, weight: Weight) -> str:
    """Return *value* as a person reads it."""
    if weight == "ms":
        return seconds(float(value) / 1000)
    return amount(value, "USD" if weight == "usd" else "tokens")


def _label(name: str, weight: str, width: float) -> str:
    room = int((width - 12) / _LETTER)
    if room >= len(name) + 2 + len(weight):
        return f'{_safe(name)}<tspan class="weight" dx="10">{_safe(weight)}</tspan>'
    if room >= len(name):
        return _safe(name)
    return _safe(name[: room - 1]) + "…" if room >= 3 else ""


def _colour(frame: Frame) -> str:
    """Return a colour that a name has in every picture."""
    number = zlib.crc32(frame.name.encode(errors="replace"))
    low, high = _COOL if frame.kind == "model" else _WARM
    if frame.kind == "run":
        return "hsl(40 12% 78%)"
    return f"hsl({low + number % (high - low)} {78 - number // 64 % 16}% {66 + number // 1024 % 10}%)"


def _safe(text: str) -> str:
    # Control characters are no XML, however they are written.
    return escape("".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text))
