"""The table of docs/compatibility.md: which call works on which Gradio, here and by gradio_client."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.compat.case import VERSIONS, Case
from tests.compat.cases import cases
from tests.compat.outcome import Outcome
from tests.page import as_row, put

HEAD = """Made by `make test-full`: each call below was made to a real app in a container, on each version
of Gradio that can express it, twice in a row (the second time may go past the app's queue). The apps are in
`tests/spaces/`, those of one version side by side in one container, each a process of its own; the calls with
their answers are in `tests/compat/`.

A cell is **yes** (the answer was right), **NO** (it was wrong; the notes say why) or · (that version cannot
express it; the notes say why). The last column is gradio_client 2.7.2 making the same calls, with the
endpoint given by hand: on which of these versions it was right.
"""


@dataclass(slots=True)
class Table:
    """What came of each (case, version)."""

    ours: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    official: dict[tuple[str, str], Outcome] = field(default_factory=dict)

    def note(self, case: Case, version: str, ours: Outcome, official: Outcome | None = None) -> None:
        """Note what came of a case."""
        self.ours[case.id, version] = ours
        if official is not None:
            self.official[case.id, version] = official

    def write(self) -> None:
        """Write the table, if every case was run."""
        wanted = {(case.id, v) for case in cases() for v in VERSIONS if v not in case.lacks}
        if wanted <= self.ours.keys():
            put("gradio", self.text())

    def text(self) -> str:
        """The table, with what it needs to be read."""
        notes: list[str] = []
        columns = ["Space", "what it shows", *VERSIONS, "gradio_client"]
        lines = [HEAD, as_row(columns), as_row(["---"] * len(columns))]
        lines += [self._case(case, notes) for case in cases()]
        total = f"{sum(o.right for o in self.ours.values())} of {len(self.ours)} calls here"
        theirs = f"{sum(o.right for o in self.official.values())} of {len(self.official)} by gradio_client"
        lines += ["", f"Right: {total}, {theirs}.", "", "### Notes", ""]
        lines += [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
        return "\n".join(lines)

    def _case(self, case: Case, notes: list[str]) -> str:
        cells = [self._cell(case, version, notes) for version in VERSIONS]
        return as_row([case.space, case.name, *cells, self._theirs(case, notes)])

    def _cell(self, case: Case, version: str, notes: list[str]) -> str:
        if version in case.lacks:
            return f"· {_noted(f'{case.lacks[version]}.', notes)}"
        outcome = self.ours[case.id, version]
        return "yes" if outcome.right else f"**NO** {_noted(outcome.why, notes)}"

    def _theirs(self, case: Case, notes: list[str]) -> str:
        known = {v: self.official[case.id, v] for v in VERSIONS if (case.id, v) in self.official}
        right = [version for version, outcome in known.items() if outcome.right]
        wrong = [f"{version}: {outcome.why}" for version, outcome in known.items() if not outcome.right]
        if not known:
            return "·"
        said = "all" if not wrong else ", ".join(right) or "none"
        return said if not wrong else f"{said} {_noted('gradio_client. ' + ' '.join(wrong), notes)}"


def _noted(note: str, notes: list[str]) -> str:
    if note not in notes:
        notes.append(note)
    return f"({notes.index(note) + 1})"
