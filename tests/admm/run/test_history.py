"""Which rows the progress table shows."""

import pytest

from admm.run.history import shown_epochs


@pytest.mark.parametrize("epochs", [1, 9, 10, 11, 30, 99])
@pytest.mark.parametrize("every", [1, 2, 7, 10, 11, 100])
def test_the_first_in_or_after_every_tenth(epochs, every):
    tenth = max(1, epochs // 10)
    measured = [*range(every, epochs, every), epochs]
    assert shown_epochs(epochs, every) == [
        epoch
        for before, epoch in zip([0, *measured], measured, strict=False)
        if not before or epoch // tenth > before // tenth or epoch == epochs
    ]


def test_a_run_that_is_to_be_stopped_needs_no_list_of_its_epochs():
    assert len(shown_epochs(10**15, 1)) == 11
