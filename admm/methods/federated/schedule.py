"""Which clients are there in which round: drawn from the seed, alike in every process."""

from typing import NamedTuple

import numpy as np

from admm.methods.federated.options import FederatedOptions

# Separates these draws from those of batches.
_STREAM = 1


class Round(NamedTuple):
    """The clients of a round, by number from 0."""

    present: tuple[int, ...]  # they get the model
    answering: tuple[int, ...]  # of these, who answers


class Counts(NamedTuple):
    """What the rounds so far came to."""

    downloads: int
    answers: int
    skipped: int  # rounds with nobody to answer


class Availability:
    """The rounds of a run, drawn as far as they are asked for.

    A client is there with the probability `participation`, each by itself; of those that are, one
    drops out with the probability `dropouts` after it got the model. A late joiner is not there
    before its round. A round in which fewer than `least` would answer is skipped: nothing travels.

    Args:
        options: Of the run.
        clients: How many there are.
        least: Fewest clients that may answer in a round.

    Example:
        >>> rounds = Availability(FederatedOptions(participation=0.5), clients=6)
        >>> rounds[3].present == rounds[3].answering, len(rounds.answered(100))
        (True, 6)
    """

    def __init__(self, options: FederatedOptions, clients: int, least: int = 1) -> None:
        self._options, self._clients, self._least = options, clients, least
        self._rounds: list[Round] = []
        self._counts = [Counts(0, 0, 0)]
        self._answered: list[frozenset[int]] = [frozenset()]

    def __getitem__(self, number: int) -> Round:
        """A round, numbered from 1."""
        self._draw(number)
        return self._rounds[number - 1]

    def answering(self, number: int) -> tuple[int, ...]:
        """Who answers in a round."""
        return self[number].answering

    def counts(self, rounds: int) -> Counts:
        """Of the first rounds."""
        self._draw(rounds)
        return self._counts[rounds]

    def answered(self, rounds: int) -> frozenset[int]:
        """Who has answered in the first rounds."""
        self._draw(rounds)
        return self._answered[rounds]

    def _draw(self, rounds: int) -> None:
        options, numbers = self._options, np.arange(self._clients)
        while len(self._rounds) < rounds:
            number = len(self._rounds) + 1
            rng = np.random.default_rng([options.seed, _STREAM, number])
            there, stays = rng.random((2, self._clients))
            late = numbers >= self._clients - options.late_joiners
            present = (there < options.participation) & ~(
                late & (number < (options.join_round or 0))
            )
            answering = present & (stays >= options.dropouts)
            skipped = answering.sum() < self._least
            if skipped:
                present, answering = np.zeros_like(present), np.zeros_like(answering)
            found = Round(*(tuple(numbers[each].tolist()) for each in (present, answering)))
            before = self._counts[-1]
            self._rounds.append(found)
            self._counts.append(
                Counts(
                    before.downloads + len(found.present),
                    before.answers + len(found.answering),
                    before.skipped + int(skipped),
                )
            )
            self._answered.append(self._answered[-1].union(found.answering))
