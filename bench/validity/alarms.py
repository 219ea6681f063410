"""Alarms over rows: columns that cannot honestly disagree, and facts that no codec should show.

An alarm says "look here", never "this score is wrong"; scores stay as they are and the table shows a mark. The
thresholds are far outside of what working codecs show: see each alarm's meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.stats.scores import GROUP, system_labels

if TYPE_CHECKING:
    import pandas as pd

INTELLIGIBLE_DWER = 0.2
UNCORRELATED_STOI = 0.4
PESQ_FLOOR = 1.1
HIGH_MOS = {"utmos": 4.0, "distillmos": 4.0, "dnsmos_p808": 3.6, "dnsmos_ovrl": 3.3}
IMPOSTOR = {"sim_resemblyzer": 0.6, "sim_wavlm": 0.75, "sim_ecapa": 0.25}
"""Cosine that different speakers reach easily under each model; matched by the start of the column's name."""
UNPAIRED_ENVELOPE = {"clean": 0.65, "noisy": 0.4}
DELAY_MS = 10.0
LEVEL_DB = 3.0
SHORT_S = 0.05
LOST_TAIL_S = 0.15
LOST_SHARE = 0.1
SILENT_DBFS = -70.0


@dataclass(frozen=True)
class Alarm:
    """kind: its name in rows and tables. mark: one letter beside the codec. share: least share of utterances that
    earns the mark (0: one is enough)."""

    kind: str
    mark: str
    meaning: str
    share: float = 0.0


ALARMS = {alarm.kind: alarm for alarm in (
    Alarm("silent", "S", "decoded audio is silent"),
    Alarm("identical", "X", "different inputs gave identical output"),
    Alarm("truncated", "T", "the end of the speech is missing"),
    Alarm("dropouts", "O", "a tenth or more of the speech is missing", 0.1),
    Alarm("unpaired", "W", "the output's level does not follow the original's: wrong pairing or wrong rate", 0.02),
    Alarm("rate", "R", "the output runs at another speed: read at the wrong sample rate", 0.02),
    Alarm("delayed", "D", "delay of half a 20 ms frame or more: STOI, SI-SDR and spectral scores are not comparable", 0.1),
    Alarm("polarity", "P", "polarity is inverted", 0.02),
    Alarm("level", "L", "level differs by 3 dB or more", 0.1),
    Alarm("uncorrelated", "U", "intelligible, yet uncorrelated with the original (dWER <= 0.2, STOI < 0.4)", 0.1),
    Alarm("unaligned", "A", "PESQ near perfect, STOI poor: PESQ has aligned a delay away", 0.1),
    Alarm("floor", "F", "PESQ at its floor with a high MOS: natural speech, but not this speech", 0.1),
    Alarm("impostor", "I", "speaker similarity at the level of other speakers", 0.1),
)}


def alarms(rows: pd.DataFrame) -> pd.DataFrame:
    """Every alarm of every utterance: columns task, condition, dataset, dataset_sha256, system, codec, weights,
    utterance, alarm, mark, detail, meaning. Empty when nothing is odd."""
    import pandas as pd

    columns = [*GROUP, "system", "codec", "weights", "utterance", "alarm", "mark", "detail", "meaning"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    found: list[dict[str, Any]] = []
    labelled = rows.assign(system=system_labels(rows))
    for key, part in labelled.groupby([*GROUP, "system", "codec", "weights"], sort=False, dropna=False):
        head = dict(zip([*GROUP, "system", "codec", "weights"], key, strict=True))
        wide = _wide(part)
        limits = {"envelope": UNPAIRED_ENVELOPE.get(str(head["condition"]), 0.65)}
        for kind, (hit, detail) in _checks(wide, limits).items():
            for utterance in wide.index[hit]:
                found.append(_found(head, utterance, kind, detail(wide.loc[utterance])))
        for utterance, detail_text in _identical(part).items():
            found.append(_found(head, utterance, "identical", detail_text))
    return pd.DataFrame(found, columns=columns)


def marks(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Alarms per system that are frequent enough for a mark in the table: columns task, condition, dataset,
    dataset_sha256, system, alarm, mark, count, total, meaning."""
    import pandas as pd

    columns = [*GROUP, "system", "alarm", "mark", "count", "total", "meaning"]
    if found.empty:
        return pd.DataFrame(columns=columns)
    keys = [*GROUP, "system"]
    totals = rows.assign(system=system_labels(rows)).groupby(keys, dropna=False)["utterance"].nunique()
    out = found.groupby([*keys, "alarm", "mark", "meaning"], sort=False, dropna=False)["utterance"].nunique()
    table = out.rename("count").reset_index()
    table["total"] = [int(totals.loc[tuple(line)]) for line in table[keys].itertuples(index=False)]
    least = table["alarm"].map(lambda kind: ALARMS[kind].share)
    return table.loc[table["count"] >= least * table["total"], columns].reset_index(drop=True)


def _found(head: dict[str, Any], utterance: object, kind: str, detail: str) -> dict[str, Any]:
    alarm = ALARMS[kind]
    return {**head, "utterance": utterance, "alarm": kind, "mark": alarm.mark, "detail": detail,
            "meaning": alarm.meaning}


def _wide(part: pd.DataFrame) -> pd.DataFrame:
    """Values [utterance, column]; a ratio counts as its own quotient. -inf (silence) is kept."""
    import pandas as pd

    value = pd.to_numeric(part["value"], errors="coerce").astype(float)
    num, den = (pd.to_numeric(part[name], errors="coerce").astype(float) for name in ("num", "den"))
    value = (num / den.where(den > 0)).where(den.notna(), value)
    flat = pd.DataFrame({"u": part["utterance"].astype(str), "c": part["column"].astype(str), "v": value})
    return flat.drop_duplicates(["u", "c"], keep="last").pivot(index="u", columns="c", values="v")


Detail = Callable[["pd.Series[Any]"], str]


def _checks(wide: pd.DataFrame, limits: dict[str, float]) -> dict[str, tuple[Any, Detail]]:
    """Alarm -> (hit [utterances], one line of detail for an utterance). Comparisons with NaN are False."""
    import pandas as pd

    def get(name: str) -> pd.Series[Any]:
        return wide[name] if name in wide else pd.Series(np.nan, index=wide.index)

    def smallest(*starts: str) -> pd.Series[Any]:
        names = [c for c in wide.columns if c.startswith(starts)]
        return wide[names].min(axis=1) if names else pd.Series(np.nan, index=wide.index)

    def show(*names: str) -> Detail:
        return lambda row: ", ".join(f"{n} {row[n]:.3g}" for n in names if n in row.index and row[n] == row[n])

    silent = (get("deg_dbfs") < SILENT_DBFS) | (get("gain_db") < -40)
    missing = get("length_diff_s").fillna(get("length_diff") / 16000)
    truncated = ~silent & ((missing < -SHORT_S) | (get("lost_tail_s") >= LOST_TAIL_S) | (get("zero_tail_s") >= 0.1))
    rate = get("rate_ratio").notna() & (get("rate_ratio") != 1)
    stoi, pesq, dwer = get("stoi"), get("pesq_wb"), smallest("dwer")
    high = pd.Series(False, index=wide.index)
    for start, limit in HIGH_MOS.items():
        for name in (c for c in wide.columns if c.startswith(start)):
            high |= wide[name] >= limit
    impostor = pd.Series(False, index=wide.index)
    for start, limit in IMPOSTOR.items():
        for name in (c for c in wide.columns if c.startswith(start)):
            impostor |= wide[name] < limit
    similarity = [c for c in wide.columns if c.startswith(tuple(IMPOSTOR))]
    mos = [c for c in wide.columns if c.startswith(tuple(HIGH_MOS))]
    intelligible = [c for c in wide.columns if c.startswith("dwer")]
    return {
        "silent": (silent, show("deg_dbfs", "gain_db")),
        "truncated": (truncated, show("length_diff", "lost_tail_s", "zero_tail_s")),
        "dropouts": (~silent & ~truncated & ~rate & (get("lost_share") >= LOST_SHARE)
                     & (get("envelope") >= limits["envelope"]), show("lost_share")),
        "unpaired": (~silent & (get("envelope") < limits["envelope"]), show("envelope", "correlation")),
        "rate": (rate, show("rate_ratio", "length_diff")),
        "delayed": (get("delay_ms").abs() >= DELAY_MS, show("delay_ms")),
        "polarity": (get("polarity") < 0, show("correlation")),
        "level": (~silent & (get("gain_db").abs() >= LEVEL_DB), show("gain_db")),
        "uncorrelated": ((dwer <= INTELLIGIBLE_DWER) & (stoi < UNCORRELATED_STOI), show(*intelligible, "stoi")),
        "unaligned": ((pesq >= 4.0) & (stoi < 0.8), show("pesq_wb", "stoi", "delay_ms")),
        "floor": ((pesq <= PESQ_FLOOR) & high, show("pesq_wb", *mos)),
        "impostor": (impostor, show(*similarity)),
    }


def _identical(part: pd.DataFrame) -> dict[str, str]:
    """Utterances whose codes or decoded wave (hash in `detail` of the columns codes, wave) another one shares."""
    out: dict[str, str] = {}
    for column in ("codes", "wave"):
        hashes = part.loc[part["column"] == column, ["utterance", "detail"]].dropna()
        hashes = hashes[hashes["detail"].astype(str) != ""]
        for sha, same in hashes.groupby("detail", sort=False):
            ids = sorted(set(same["utterance"].astype(str)))
            if len(ids) > 1:
                for one in ids:
                    other = next(i for i in ids if i != one)
                    out.setdefault(one, f"same {column} as {other} ({str(sha)[:8]}), {len(ids)} alike")
    return out
