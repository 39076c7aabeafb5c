"""Tables, spreads, guesses: what the learner reads beside the figures."""

import numpy as np
import pytest
import torch

from deepunsup_helpers import answer, show_table, spread
from deepunsup_helpers.printing import guessed, number


def test_numbers_keep_their_significant_digits():
    assert [number(v) for v in (19.944, 0.012345, 1234.5, 4.0, 0.0, 12, True, None, "PCA")] == [
        "19.9", "0.0123", "1,230", "4.00", "0", "12", "True", "", "PCA",
    ]  # fmt: skip
    assert number(1.234e-7) == "1.23e-07" and number(float("inf")) == "inf" and number(-0.5) == "-0.500"
    assert number(torch.tensor(2.5)) == number(np.float32(2.5)) == "2.50"


def test_a_spread_is_mean_and_range():
    assert spread([12.9, 13.1, 13.6]) == "13.2 (12.9 to 13.6)"
    assert spread(torch.tensor([2.0, 4.0]), digits=2) == "3.0 (2.0 to 4.0)"
    assert spread([7.0]) == "7.00"


def test_a_table_lines_its_columns_up(capsys):
    show_table({"PCA": {"error": 19.94, "kept": 30}, "a network": {"error": 121.4}}, caption="Errors")
    assert capsys.readouterr().out.splitlines() == [
        "Errors",
        "           error  kept",
        "PCA         19.9    30",
        "a network    121",
    ]
    with pytest.raises(ValueError, match="no rows"):
        show_table([])


@pytest.mark.parametrize(
    ("guess", "value"),
    [(12, 12), ("12", 12), (" 1,5 ", 1.5), ("12 %", 12), ("-3", -3), ("1,000,000", 1e6), (np.float32(2), 2), (None, None)]
    + [(torch.tensor(3.0), 3), ("twelve", None), ("", None), ([1, 2], None), (float("nan"), None), (10**400, None)],
)  # fmt: skip
def test_a_guess_may_be_written_in_any_way(guess, value):
    assert guessed(guess) == value


def test_the_answer_says_both_numbers(capsys):
    answer("12", 30, "components")
    answer(None, 30)
    answer("a lot", 0.1234, "nats")
    assert capsys.readouterr().out.splitlines() == [
        "You guessed 12; it is 30 components.",
        "No guess this time; it is 30.",
        "Your guess 'a lot' is no number, so it is not drawn; it is 0.123 nats.",
    ]
