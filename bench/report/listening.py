"""A static page to listen to: every utterance with its original and what each system made of it, scores beside them.

Clips of an utterance are brought to the level of its first one, as a listening test would (ITU-R BS.1534-3, section 5.5),
and the gain is told. In the blind view names, pictures, gains and scores are hidden and the order is drawn anew.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import audio
from bench.metrics import Column
from bench.report.columns import heading, number

Wave = NDArray[np.float32]
SILENT_DBFS = -80.0
FRAME, RANGE_DB, TALL, WIDE = 512, 80.0, 128, 360


@dataclass(frozen=True)
class Clip:
    """One system's audio [T] at `rate_hz`; `wave` None with the reason in `failure`. scores: column -> value."""

    system: str
    wave: Wave | None
    rate_hz: int
    scores: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class Item:
    """One utterance. The first clip is the one that the others are levelled to."""

    utterance: str
    speaker: str
    text: str
    clips: tuple[Clip, ...]


def levelled(waves: Sequence[Wave]) -> tuple[list[Wave], list[float]]:
    """Waves at the RMS level of the first one -> (waves, gains in dB). Should one of them clip, all are turned down alike.

    Silence keeps its level.
    """
    levels = [audio.level_dbfs(wave) for wave in waves]
    gains = [levels[0] - level if min(level, levels[0]) > SILENT_DBFS else 0.0 for level in levels]
    raised = [wave * np.float32(10 ** (gain / 20)) for wave, gain in zip(waves, gains, strict=True)]
    down = max(1.0, *(float(np.abs(wave).max(initial=0.0)) for wave in raised))
    return [np.asarray(wave / np.float32(down), np.float32) for wave in raised], gains


def spectrogram(wave: Wave) -> NDArray[np.uint8]:
    """A picture [TALL, WIDE] of a wave [T]: bands from 0 to half its rate upwards, 80 dB below the loudest in 256 steps."""
    padded = np.pad(wave, (0, max(0, FRAME - len(wave))))
    starts = np.linspace(0, len(padded) - FRAME, WIDE).astype(int)
    frames = padded[starts[:, None] + np.arange(FRAME)] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames))[:, : FRAME // 2] ** 2
    bands = power.T.reshape(TALL, -1, WIDE).mean(axis=1)
    db = 10 * np.log10(bands + 1e-10)
    shade = np.clip((db - db.max()) / RANGE_DB + 1, 0, 1)
    return np.asarray(255 * shade[::-1], np.uint8)


def write(folder: Path, title: str, facts: Sequence[str], items: Sequence[Item], columns: Mapping[str, Column]) -> Path:
    """Write `folder`/index.html with the clips (16-bit FLAC) and their spectrograms beside it -> the page's path."""
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    for old in [*media.glob("*.flac"), *media.glob("*.png")]:
        old.unlink()  # of an earlier page
    shown = [name for name in columns if any(name in clip.scores for item in items for clip in item.clips)]
    body = "\n".join(_item(item, shown, columns, media) for item in items)
    notes = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    page = _PAGE.format(title=escape(title), notes=notes, body=body)
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def embedded(items: Sequence[Item], columns: Mapping[str, Column]) -> str:
    """The same tables with sounds and pictures inside the HTML, for a page that is one file."""
    shown = [name for name in columns if any(name in clip.scores for item in items for clip in item.clips)]
    return "\n".join(_item(item, shown, columns, None) for item in items)


def _item(item: Item, shown: Sequence[str], columns: Mapping[str, Column], media: Path | None) -> str:
    heard = [clip for clip in item.clips if clip.wave is not None]
    waves, gains = levelled([clip.wave for clip in heard if clip.wave is not None])
    top = max((clip.rate_hz for clip in heard), default=0)  # pictures of one utterance share their axes
    played = {clip.system: (wave, gain) for clip, wave, gain in zip(heard, waves, gains, strict=True)}
    lines = []
    for clip in item.clips:
        cells = [f'<th scope="row"><span class="name">{escape(clip.system)}</span></th>']
        if clip.system in played:
            wave, gain = played[clip.system]
            sound, picture = _media(wave, clip.rate_hz, top, media)
            cells.append(f'<td><audio controls preload="none" src="{sound}" aria-label="{escape(clip.system)}"></audio></td>')
            axis = f"0 to {top / 2000:g} kHz"
            cells.append(f'<td><img src="{picture}" alt="spectrogram, {axis}" title="{axis}" loading="lazy"></td>')
            cells.append(f'<td class="told">{gain:+.1f} dB</td>')
        else:
            cells.append(f'<td colspan="3" class="failed">{escape(clip.failure)}</td>')
        for name in shown:
            value = clip.scores.get(name)
            text = "–" if value is None else number(value, columns[name])
            cells.append(f'<td class="told">{text}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    heads = ["", "clip", "spectrogram", "gain", *(heading(columns[name]) for name in shown)]
    head = "".join(f"<th>{escape(text)}</th>" if text else "<td></td>" for text in heads)
    said = f"<p>{escape(item.text)}</p>" if item.text else ""
    return (
        f"<section><h2>{escape(item.utterance)}</h2>{said}"
        f'<p class="speaker">speaker {escape(item.speaker)}</p>'
        f'<div class="wide" role="region" tabindex="0" aria-label="clips of {escape(item.utterance)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></section>"
    )


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as a link that needs no file; `kind`: their MIME type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _media(wave: Wave, rate_hz: int, top_hz: int, media: Path | None) -> tuple[str, str]:
    """Links of the sound and its picture. Names are by content: they tell a listener nothing of the system."""
    from matplotlib import image

    data = audio.to_flac(wave, rate_hz)
    stem = hashlib.sha256(data).hexdigest()[:12]
    drawn = io.BytesIO()
    image.imsave(drawn, spectrogram(audio.resample(wave, rate_hz, top_hz)), cmap="magma", vmin=0, vmax=255, format="png")
    if media is None:
        return data_uri("audio/flac", data), data_uri("image/png", drawn.getvalue())
    (media / f"{stem}.flac").write_bytes(data)
    (media / f"{stem}.png").write_bytes(drawn.getvalue())
    return f"media/{stem}.flac", f"media/{stem}.png"


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 96rem; padding: 0 1rem; }}
header {{ position: sticky; top: 0; background: Canvas; padding: .4rem 0; border-bottom: 1px solid #8886; z-index: 1; }}
h1 {{ font-size: 1.3rem; margin: 0; }} h2 {{ font-size: 1.05rem; margin: 2rem 0 0; }}
p {{ margin: .2rem 0; }} .speaker, ul {{ color: #888; }}
section {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }} th, td {{ padding: .25rem .5rem; text-align: right; white-space: nowrap; }}
th[scope=row] {{ text-align: left; }} tbody tr {{ border-top: 1px solid #8883; }}
audio {{ height: 2.2rem; width: 14rem; display: block; }} img {{ display: block; width: 15rem; height: 4rem; }}
.failed {{ text-align: left; color: #c33; }}
.blind .name, .blind .told, .blind img {{ visibility: hidden; }}
.blind th[scope=row]::before {{ content: attr(data-letter); }}
</style></head><body>
<header><h1>{title}</h1>
<label><input type="checkbox" id="blind"> blind: hide names, pictures, gains and scores, in an order drawn anew</label></header>
<ul>{notes}</ul>
{body}
<script>
const clips = [...document.querySelectorAll("audio")];
clips.forEach(one => one.addEventListener("play", () => clips.forEach(other => other !== one && other.pause())));
const bodies = [...document.querySelectorAll("tbody")].map(part => [part, [...part.rows]]);
document.getElementById("blind").addEventListener("change", event => {{
  document.body.classList.toggle("blind", event.target.checked);
  for (const [part, rows] of bodies) {{
    const order = [...rows];
    if (event.target.checked) for (let i = order.length - 1; i > 0; i--) {{
      const j = Math.floor(Math.random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }}
    order.forEach((row, i) => {{ row.cells[0].dataset.letter = String.fromCharCode(65 + i); part.append(row); }});
  }}
}});
</script>
</body></html>
"""
