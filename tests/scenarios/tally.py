"""How much was played in this test run."""

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts of plays that passed."""

    scenarios: int = 0
    #: Appends before which a runner was killed, and behind which.
    before: int = 0
    after: int = 0
    #: The same, and the successor behind its own first append.
    twice: int = 0
    #: Appends at which a runner was told that the run is somebody else's.
    fenced: int = 0
    prefixes: int = 0

    def sentence(self) -> str:
        return (
            f"scenarios: {self.scenarios}, kill positions: {self.before} before an append, {self.after} after, "
            f"{self.twice} twice in a row, {self.fenced} fenced, all the same verdict; "
            f"{self.prefixes} journal prefixes, all the same state"
        )


TALLY = Tally()
