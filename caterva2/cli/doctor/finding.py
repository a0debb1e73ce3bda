"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a set-up.

    Parameters
    ----------
    level : str
        ``ok``; ``note`` for what may be meant; ``wrong`` for what needs to be changed.
    subject : str
        What it is about.
    text : str
        What it is.
    advice : str
        What to do, if something is to be done.
    """

    level: Level
    subject: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f": {self.advice}" if self.advice else ""
        return f"{self.level:5} {self.subject}: {self.text}{advice}"
