"""Early stopping: on a script of validation numbers, whose right end is known."""

import pytest
import torch

from deepunsup_helpers import Batches, fit
from deepunsup_helpers.training import update

SCRIPT = [5.0, 3.0, 4.0, 2.5, float("nan"), 2.6, 2.5, 9.0, 1.0]  # the best of patience 3 is epoch 4, known in epoch 7


class Scripted:
    """One weight that counts the updates; each epoch has one."""

    def __init__(self, script=SCRIPT):
        self.model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.model.weight)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        self.script, self.looked = script, 0

    def step(self, x):
        loss = -self.model(x).mean()  # its gradient is -1: a step adds 1 to the weight
        update(self.optimizer, loss)
        return {"loss": loss}

    def validate(self):
        self.looked += 1
        return {"other": 0.0, "error": self.script[round(self.model.weight.item()) - 1]}

    def fit(self, **options):
        options = {"epochs": 9, "patience": 3, "watch": "error", "progress": False} | options
        state = {"model": self.model, "optimizer": self.optimizer}
        batches = Batches(torch.ones(1, 1), batch_size=1)
        return fit(self.step, batches, state=state, validate=self.validate, **options)


def test_it_stops_and_puts_the_best_weights_back(capsys):
    training = Scripted()
    history = training.fit()
    assert history.epochs == 7 and history.best_epoch == 4 and training.model.weight.item() == 4
    assert history.validation["error"][:4] == SCRIPT[:4] and not training.model.training
    assert "stopped after epoch 7; the weights are those of epoch 4" in capsys.readouterr().out


def test_a_training_that_goes_on_getting_better_runs_to_its_end(capsys):
    training = Scripted(SCRIPT[::-1])
    history = training.fit(patience=9)
    assert history.epochs == 9 and history.best_epoch == 1 and training.model.weight.item() == 1
    training = Scripted([9.0, 8, 7, 6, 5, 4, 3, 2, 1])
    history = training.fit(updates=6, epochs=None)
    assert (history.epochs, history.best_epoch, training.model.weight.item()) == (6, 6, 6)
    assert "stopped" not in capsys.readouterr().out


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 7])
def test_resuming_counts_on_as_if_never_stopped(cut, tmp_path):
    path = tmp_path / "c.pt"
    Scripted().fit(epochs=cut, checkpoint=path)
    training = Scripted()
    history = training.fit(checkpoint=path, resume=True)
    assert (history.epochs, history.best_epoch, training.model.weight.item()) == (7, 4, 4)


def test_what_it_needs_is_said():
    training = Scripted()
    for wrong in ({"patience": 0}, {"patience": None}):
        with pytest.raises(ValueError, match="early stopping needs patience"):
            training.fit(**wrong)
    with pytest.raises(ValueError, match=r"watch='loss': validate returned \['error', 'other'\]"):
        training.fit(watch="loss")
    with pytest.raises(ValueError, match="and validate"):
        fit(training.step, Batches(torch.ones(1, 1), batch_size=1), epochs=1, state={"m": training.model}, patience=1)
