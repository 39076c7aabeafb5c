"""Images that belong to no class, and the small classifier that learns to refuse them."""

import pytest
import torch
from torch.nn import functional

from deepunsup_helpers.data import Batches, load
from deepunsup_helpers.data.impostors import blur, blurs, chimeras, noise_images
from deepunsup_helpers.models import ConvClassifier
from deepunsup_helpers.training import fit, update


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 9, 13)])
def test_shapes_ranges_and_seeds(shape):
    x, y = torch.rand(40, *shape, generator=seeded()), torch.arange(40) % 3
    for make in (
        lambda g: noise_images(40, shape, generator=g),
        lambda g: chimeras(x, y, generator=g),
        lambda g: blurs(x),
    ):
        first, again = make(seeded(1)), make(seeded(1))
        assert first.shape == x.shape and torch.equal(first, again)
        assert 0 <= first.min() and first.max() <= 1
    assert not torch.equal(noise_images(40, shape, generator=seeded(1)), noise_images(40, shape, generator=seeded(2)))


def test_blur_is_a_moving_average():
    x = torch.rand(2, 1, 6, 7, generator=seeded())
    torch.testing.assert_close(blur(x, 3)[0, 0, 2, 3], x[0, 0, 1:4, 2:5].mean())
    torch.testing.assert_close(blur(x, 3)[1, 0, 0, 0], x[1, 0, :2, :2].sum() / 9)


def test_a_chimera_holds_half_of_two_classes():
    y = torch.arange(60) % 4
    x = (0.2 * (y + 1)).reshape(-1, 1, 1, 1).expand(60, 1, 6, 8)  # each class is one shade
    made, kinds = chimeras(x, y, generator=seeded()), set()
    for image, mine in zip(made[:, 0], x[:, 0]):
        shades, counts = image.unique(return_counts=True)
        if len(shades) == 1:  # laid over each other: the mean of two classes
            partner = 2 * shades[0] - mine[0, 0]
            kinds.add("mean")
        else:
            assert counts.tolist() == [24, 24]
            partner = shades[(shades - mine[0, 0]).abs().argmax()]
            kinds.add("rows" if (image[0] == image[0, 0]).all() else "columns")
            assert image[0, 0] == mine[0, 0]
        assert abs(partner - mine[0, 0]) > 0.1, "the partner is of the same class"
        assert (0.2 * torch.arange(1, 5) - partner).abs().min() < 1e-5
    assert kinds == {"mean", "rows", "columns"}
    assert chimeras(x[:4], torch.zeros(4), generator=seeded()).shape == (
        4,
        1,
        6,
        8,
    )  # one class only: no endless search


def test_a_classifier_with_one_more_class_learns_to_refuse():
    torch.manual_seed(0)
    data, draw = load("digits"), seeded()
    judge = ConvClassifier(data.image_shape, 11, width=8)
    optimizer = torch.optim.Adam(judge.parameters(), 5e-3)

    def step(x, y):
        strange = torch.cat([noise_images(16, data.image_shape, generator=draw), blurs(x[:16])])
        logits = judge(torch.cat([x, strange]))
        loss = functional.cross_entropy(logits, torch.cat([y, torch.full((len(strange),), 10)]))
        update(optimizer, loss)
        return {"loss": loss.detach()}

    fit(
        step,
        Batches(data.x_train, data.y_train, batch_size=64),
        epochs=6,
        state={"judge": judge, "optimizer": optimizer},
        progress=False,
    )
    with torch.no_grad():
        assert (judge(data.x_test).argmax(1) == data.y_test).float().mean() > 0.85
        assert (judge(noise_images(200, data.image_shape, generator=seeded(5))).argmax(1) == 10).float().mean() > 0.9
    assert judge.features(data.x_test[:3]).shape == (3, 64)
    assert type(judge)(**judge.config).state_dict().keys() == judge.state_dict().keys()
