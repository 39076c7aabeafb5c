"""Notebook 16 on samples that somebody brings: a folder against a folder, with floors and ceiling."""

import pytest
from test_notebooks import ROOT, smoke, write_colour_folder

NOTEBOOK = ROOT / "notebooks" / "16_evaluating_generators.ipynb"


@pytest.mark.slow
def test_a_folder_is_scored_against_a_folder(tmp_path):
    """More images of the same kind, in one folder without classes: nearer to the real ones than the floor of noise."""
    real, fake = write_colour_folder(tmp_path / "real"), tmp_path / "fake"
    fake.mkdir()
    for k, path in enumerate(sorted(write_colour_folder(tmp_path / "more").rglob("*.png"))[::2]):
        path.rename(fake / f"{k}.png")
    metrics = smoke(NOTEBOOK, tmp_path, f"dataset=folder:{real}", f"generated=folder:{fake}")
    for measure in ("frechet_distance", "kid", "precision", "recall", "coverage", "accepted"):
        assert {f"{measure}_yours", f"{measure}_real", f"{measure}_floor"} <= set(metrics)
    assert metrics["frechet_distance_yours"] < metrics["frechet_distance_floor"]
    assert (tmp_path / "run" / "tables" / "scores.csv").read_text(encoding="utf-8").count("yours") == 1


@pytest.mark.slow
def test_too_few_samples_are_said(tmp_path):
    from PIL import Image

    fake = tmp_path / "fake"
    fake.mkdir()
    for k in range(12):
        Image.new("RGB", (10, 12), (20 * k, 0, 0)).save(fake / f"{k}.png")
    with pytest.raises(AssertionError, match="at least 32"):
        smoke(NOTEBOOK, tmp_path, "dataset=digits", f"generated=folder:{fake}")
