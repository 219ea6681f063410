"""Tables as text: GitHub markdown, and aligned columns for a terminal or a CI log."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# Control characters (colours and bold apart) and marks that turn the direction of text: a name must not steer a terminal.
_STEERING = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """`text` in one line that a terminal only prints: what would steer it is spelt out (`\\x1b`)."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def markup(text: str) -> str:
    """A user's text (a folder, a system, a transcript) for markdown: no part of it is read as markdown or HTML."""
    safe = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([`*\\]|\](?=\())", r"\\\1", safe)


def code(text: str) -> str:
    """A user's text as a code span of markdown, in which nothing is read as markup."""
    text = clean(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A GitHub table: the first `left` columns align left, the others right."""

    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(clean(cell).replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([row(head), "|" + ":--|" * left + "--:|" * (len(head) - left), *(row(line) for line in lines)])


def display_width(text: str) -> int:
    """Terminal cells that a text takes: no escape codes, no combining marks."""
    return sum(not unicodedata.combining(ch) for ch in _ANSI.sub("", text))


def _padded(text: str, width: int, left: bool) -> str:
    space = " " * (width - display_width(text))
    return text + space if left else space + text


def grid(head: Sequence[str], lines: Sequence[Sequence[str]], width: int = 120, keep: int = 1, left: Sequence[int] = (0,)) -> str:
    """Aligned columns. Where they do not fit `width`, several blocks, each repeating the first `keep` columns.

    left: columns aligned left; the others align right.
    """
    head, lines = [clean(cell) for cell in head], [[clean(cell) for cell in line] for line in lines]
    sizes = [max(display_width(line[c]) for line in [head, *lines]) for c in range(len(head))]
    fixed = list(range(min(keep, len(head))))
    blocks: list[list[int]] = [[]]
    used = base = sum(sizes[c] + 2 for c in fixed)
    for c in range(len(fixed), len(head)):
        if blocks[-1] and used + sizes[c] + 2 > width:
            blocks.append([])
            used = base
        blocks[-1].append(c)
        used += sizes[c] + 2
    out = []
    for block in blocks:
        picked = fixed + block
        for line in [head, ["-" * size for size in sizes], *lines]:
            out.append("  ".join(_padded(line[c], sizes[c], c in left) for c in picked).rstrip())
        out.append("")
    return "\n".join(out[:-1])
