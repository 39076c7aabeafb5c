"""The image players: any shape, verdicts that do not depend on the batch, labels only where they belong."""

import pytest
import torch

from deepunsup_helpers.models import DCGANDiscriminator, DCGANGenerator

SHAPES = [(1, 28, 28), (1, 8, 8), (3, 9, 13), (3, 32, 32)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [0, 4])
def test_shapes_ranges_and_gradients(shape, classes):
    torch.manual_seed(0)
    G, D = (
        DCGANGenerator(shape, latent_dim=6, width=8, classes=classes),
        DCGANDiscriminator(shape, width=8, classes=classes),
    )
    y = torch.arange(5) % 4 if classes else None
    fake = G(torch.randn(5, 6), y)
    assert fake.shape == (5, *shape) and 0 <= fake.min() and fake.max() <= 1
    D(fake, y).sum().backward()
    assert all(p.grad is not None for p in [*G.parameters(), *D.parameters()])
    assert type(G)(**G.config).state_dict().keys() == G.state_dict().keys()


def test_a_verdict_and_a_sample_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    G, D = DCGANGenerator((1, 12, 12), latent_dim=4, width=8).eval(), DCGANDiscriminator((1, 12, 12), width=8)
    z = torch.randn(7, 4)
    torch.testing.assert_close(G(z)[3:4], G(z[3:4]), rtol=0, atol=1e-6)
    x = torch.rand(7, 1, 12, 12)
    torch.testing.assert_close(D(x)[3:4], D(x[3:4]), rtol=0, atol=1e-5)


def test_samples_repeat_from_a_generator_and_leave_the_mode_as_it_was():
    G = DCGANGenerator((1, 8, 8), latent_dim=4, width=8).train()
    first, again = (G.sample(600, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again) and G.training and not first.requires_grad
    assert torch.equal(first[:600], G.sample(600, generator=torch.Generator().manual_seed(1)))


def test_labels_are_asked_for_and_refused():
    with pytest.raises(ValueError, match="expected labels"):
        DCGANGenerator((1, 8, 8), classes=3)(torch.randn(2, 64))
    with pytest.raises(ValueError, match="expected no labels"):
        DCGANDiscriminator((1, 8, 8))(torch.rand(2, 1, 8, 8), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="at least 4x4"):
        DCGANDiscriminator((1, 3, 8))
