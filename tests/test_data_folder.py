"""One's own images: every file in its class and part, pixels unchanged, and nothing dropped in silence."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from deepunsup_helpers.data import Batches, DataError, DataWarning, FolderImages, Streaming, load
from deepunsup_helpers.data.decode import decode

pytestmark = [
    pytest.mark.filterwarnings("error::deepunsup_helpers.data.DataWarning"),
    pytest.mark.filterwarnings("ignore:.*training (example|part)"),  # small folders, copied files
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(path, value: int = 0, *, shape=(6, 8, 3), mode: str | None = None) -> np.ndarray:
    """An image file of random pixels whose first pixel is `value` throughout."""
    pixels = np.random.default_rng(value).integers(0, 256, shape, dtype=np.uint8)
    pixels[0, 0] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)
    return pixels


def values(x: torch.Tensor) -> list[int]:
    """The number that `save` put into the first pixel."""
    return (255 * x[:, 0, 0, 0]).round().int().tolist()


def pets(root) -> None:
    """20 cats (0 to 19), of which half lie deeper, and 10 dogs (100 to 109)."""
    for i in range(20):
        save(root / "cat" / ("young" if i % 2 else "") / f"{i}.png", i)
    for i in range(10):
        save(root / "dog" / f"{i}.PNG", 100 + i)


def test_subfolders_are_classes_and_the_split_is_seeded_and_stratified(here):
    pets(here / "pets")
    data = load("folder:pets")
    assert data.class_names == ("cat", "dog") and data.image_shape == (3, 6, 8) and data.value_range == (0.0, 1.0)
    assert torch.bincount(data.y_test).tolist() == [4, 2] and torch.bincount(data.y_train).tolist() == [16, 8]
    everything = values(torch.cat([data.x_train, data.x_test]))
    assert sorted(everything) == [*range(20), *range(100, 110)]
    labels = torch.cat([data.y_train, data.y_test]).tolist()
    assert [int(value >= 100) for value in everything] == labels
    assert values(load("folder:pets").x_test) == values(data.x_test) != values(load("folder:pets", seed=1).x_test)
    fewer = load("folder:pets", train_size=6)
    assert values(fewer.x_test) == values(data.x_test) and torch.bincount(fewer.y_train).tolist() == [4, 2]
    assert values(load(f"folder:{here}/pets/").x_train) == values(data.x_train)


def test_pixels_arrive_unchanged(here):
    for i in range(3):
        pixels = save(here / "a" / f"{i}.png", i)
    data = load("folder:a", test_size=0)
    own = values(data.x_train).index(2)
    expected = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    assert torch.equal(data.x_train[own], expected) and data.y_train is None and data.class_names is None


def test_train_and_test_folders_are_the_parts(here):
    pets(here / "all" / "train")
    for i in range(3):
        save(here / "all" / "test" / "dog" / f"{i}.png", 200 + i)
    with pytest.warns(DataWarning, match="cat: in train/ only"):
        data = load("folder:all")
    assert values(data.x_train) == [*range(0, 20, 2), *range(1, 20, 2), *range(100, 110)]  # natural order: 2 before 10
    assert values(data.x_test) == [200, 201, 202] and data.y_test.tolist() == [1, 1, 1]
    assert data.ids_test.tolist() == [f"test/dog/{i}.png" for i in range(3)]
    save(here / "all" / "test" / "cat" / "1.png", 203)
    assert sorted(values(load("folder:all", train_size=3, test_size=1).x_test))[0] >= 200
    with pytest.raises(DataError, match="test_size=5 asks for more than the 4"):
        load("folder:all", test_size=5)
    shutil.rmtree(here / "all" / "test")
    with pytest.warns(DataWarning, match="no test/"):
        assert len(load("folder:all").x_test) == 6
    save(here / "all" / "test" / "unknown.png", 7)  # a test part without labels
    with pytest.warns(DataWarning, match="test/ has no class folders"):
        data = load("folder:all")
    assert data.y_test is None and data.class_names == ("cat", "dog") and len(data.y_train) == 30


def test_classes_in_natural_order(here):
    for name in ("10", "9", "2"):
        save(here / "n" / name / "1.png"), save(here / "n" / name / "2.png")
    assert load("folder:n").class_names == ("2", "9", "10")


def test_hidden_files_are_passed_over_and_all_else_is_told(here):
    pets(here / "pets")
    whole = (here / "pets" / "dog" / "0.PNG").read_bytes()
    (here / "pets" / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    (here / "pets" / "dog" / "fake.jpg").write_text("no image")
    (here / "pets" / "cat" / "empty.png").touch()
    (here / "pets" / "cat" / "notes.txt").write_text("Mimi")
    save(here / "pets" / "beside.png")
    (here / "pets" / "cat" / ".hidden.png").write_text("hidden")
    save(here / "pets" / "__MACOSX" / "cat" / "1.png"), save(here / "pets" / ".thumbnails" / "1.png")
    with pytest.warns(DataWarning) as record:
        data = load("folder:pets")
    said = " ".join(str(warning.message) for warning in record)
    assert all(
        name in said
        for name in ("dog/half.png (", "dog/fake.jpg (no image)", "cat/empty.png", "notes.txt", "beside.png")
    )
    assert not any(name in said for name in ("hidden", "MACOSX", "thumbnails"))
    assert all(warning.filename == __file__ for warning in record)  # the caller's line, not ours
    assert len(data.x_train) + len(data.x_test) == 30


def test_images_of_several_sizes_keep_them_until_one_is_needed(here):
    pixels = {f"wide{i}.png": save(here / "m" / f"wide{i}.png", i, shape=(4, 12, 3)) for i in range(4)}
    pixels |= {f"square{i}.png": save(here / "m" / f"square{i}.png", i, shape=(9, 9, 3)) for i in range(3)}
    data = load("folder:m")
    assert data.is_image and len(data.x_train) == 6 and "several sizes" in repr(data)
    for x, name in zip(data.x_train, data.ids_train, strict=True):
        assert torch.equal(x, torch.from_numpy(pixels[name]).permute(2, 0, 1) / 255)
    assert len(data.x_train[:2]) == 2 and data.x_train[0].ndim == 3
    for needing in (lambda: data.x_train.to("cpu"), lambda: data.x_train.shape, lambda: data.image_shape):
        with pytest.raises(DataError, match="folder:m has images of 2 sizes .*4x12.*image_size="):
            needing()
    with pytest.raises(DataError, match="2 sizes"):
        FolderImages("m")
    assert load("folder:m", image_size=(5, 7)).x_train.shape == (6, 3, 5, 7)


def test_grey_and_colour_become_what_most_are_or_what_is_asked_for(here):
    for i in range(3):
        save(here / "m" / f"colour{i}.png"), save(here / "m" / f"grey{i}.png", shape=(6, 8))
    save(here / "m" / "colour3.png")
    with pytest.warns(DataWarning, match="all become colour, as 4 of 7 are; choose with channels="):
        assert load("folder:m").image_shape == (3, 6, 8)
    assert load("folder:m", channels=1).image_shape == (1, 6, 8)


def test_images_are_cropped_at_the_centre_not_stretched(here):
    pixels = np.zeros((4, 12), np.uint8)
    pixels[:, 4:8] = 255  # the middle third is white
    Image.fromarray(pixels).save(here / "a.png")
    assert (decode(here / "a.png", (4, 4), 1) == 255).all()
    assert decode(here / "a.png", (2, 2), 1).min() > 200  # its edges see a little of the black; stretched: 85
    assert (decode(here / "a.png", (8, 8), 1)[0, :, 2:6] == 255).all()


@pytest.mark.parametrize(
    "mode, channels", [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3), ("I;16", 1)]
)
def test_every_mode_keeps_its_brightness(here, mode, channels):
    grey = np.repeat(np.array([[0, 85, 170, 255]], np.uint8), 4, 0)
    if mode == "1":
        grey = (grey > 127).astype(np.uint8) * 255
    image = Image.fromarray(grey)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode != "L":
        image = (image if mode in ("1", "LA", "P") else image.convert("RGB")).convert(mode)
    assert image.mode == mode
    for i in range(2):
        image.save(here / f"{i}.{'tif' if mode == 'CMYK' else 'png'}")
    data = load(f"folder:{here}")
    assert data.image_shape == (channels, 4, 4)
    for channel in range(channels):
        np.testing.assert_allclose(255 * data.x_train[0, channel].numpy(), grey, atol=1)


def test_what_is_transparent_becomes_white(here):
    Image.fromarray(np.zeros((2, 2, 4), np.uint8)).save(here / "a.png")
    assert (decode(here / "a.png", (2, 2), 3) == 255).all()


def test_photographs_stand_upright(here):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    for name in "ab":
        Image.fromarray(pixels).save(here / f"{name}.png", exif=exif)
    data = load(f"folder:{here}")
    assert data.image_shape == (3, 16, 8)
    assert data.x_train[0, :, :8].max() == 0 and data.x_train[0, :, 8:].min() == 1


def test_a_spare_takes_the_place_of_an_unreadable_file(here):
    for i in range(10):
        save(here / "s" / f"{i}.png", i)
    plain = load("folder:s", train_size=3, test_size=2)
    bad = values(plain.x_train)[0]
    whole = (here / "s" / f"{bad}.png").read_bytes()
    (here / "s" / f"{bad}.png").write_bytes(whole[:-30])  # the header stays whole
    with pytest.warns(DataWarning, match=f"{bad}.png"):
        data = load("folder:s", train_size=3, test_size=2)
    assert len(data.x_train) == 3 and values(data.x_train)[:2] == values(plain.x_train)[1:]
    with pytest.raises(DataError, match="too few"):
        load("folder:s", train_size=8, test_size=2)


def test_streaming_a_folder_equals_loading_it(here):
    pets(here / "pets")
    data = load("folder:pets", image_size=5, channels=1)
    for train, x, y in ((True, data.x_train, data.y_train), (False, data.x_test, data.y_test)):
        images = FolderImages("pets", train=train, image_size=5, channels=1)
        assert images.image_shape == (1, 5, 5) and images.class_names == data.class_names
        resident = Batches(x, y, batch_size=7, seed=1)
        for (a, b), (c, d) in zip(resident, Streaming(images, batch_size=7, seed=1), strict=True):
            assert torch.equal(a, c) and torch.equal(b, d)
    unlabelled = FolderImages("pets/dog", train_size=4)
    assert len(unlabelled) == 4 and unlabelled[0].shape == (3, 6, 8)


def test_streaming_leaves_out_and_names_what_cannot_be_decoded(here):
    for i in range(10):
        save(here / "s" / f"{i}.png", i)
    whole = (here / "s" / "4.png").read_bytes()
    (here / "s" / "4.png").write_bytes(whole[:-30])
    batches = Streaming(FolderImages("s", test_size=0), batch_size=4, shuffle=False)
    with pytest.warns(DataWarning, match="4.png"):
        assert sorted(values(torch.cat(list(batches)))) == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_links_are_followed_once(here):
    pets(here / "pets")
    (here / "pets" / "cat" / "loop").symlink_to(here / "pets", target_is_directory=True)
    (here / "pets" / "bird").symlink_to(here / "birds", target_is_directory=True)
    save(here / "birds" / "1.png", 50), save(here / "birds" / "2.png", 51)
    data = load("folder:pets")
    assert data.class_names == ("bird", "cat", "dog") and len(data.x_train) + len(data.x_test) == 32


def test_bad_folders_are_told_in_one_line(here):
    (here / "empty" / "class").mkdir(parents=True)
    (here / "broken").mkdir()
    (here / "broken" / "a.png").write_text("nothing")
    (
        save(here / "one" / "a.png"),
        save(here / "deep" / "set" / "a" / "1.png"),
        save(here / "deep" / "set" / "b" / "1.png"),
    )
    expected = {
        "empty": ["no readable image", "*.png"],
        "broken": ["no readable image", "a.png (no image)"],
        "one": ["at least 2"],
        "nowhere": ["does not exist"],
        "one/a.png": ["is a file"],
    }
    for name, words in expected.items():
        with pytest.raises(DataError) as error:
            load(f"folder:{name}")
        message = str(error.value)
        assert "\n" not in message and all(word in message for word in [f"folder:{name}", *words]), message
    with pytest.warns(DataWarning) as record:
        load("folder:deep")
    said = [str(warning.message) for warning in record]
    assert f"load folder:{here}/deep/set" in said[0] and any("of one class, 'set'" in text for text in said)
    with pytest.raises(DataError, match="memory.*Streaming"):
        load("folder:deep/set", image_size=1_000_000)


def test_nothing_is_said_when_all_is_well(here):
    pets(here / "pets")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("folder:pets")
