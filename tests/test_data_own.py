"""One's own images and arrays: values, parts, stacks and names as their owner means them; new data like the old."""

import json
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deepunsup_helpers.data import DataError, DataWarning, FolderImages, check_needs, load, load_new
from deepunsup_helpers.data.decode import decode
from deepunsup_helpers.data.downloads import torchvision_arrays

pytestmark = [
    pytest.mark.filterwarnings("error::deepunsup_helpers.data.DataWarning"),
    pytest.mark.filterwarnings("ignore:.*training (example|part)"),  # the folders here are small
]
RANDOM = np.random.default_rng(0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(path, pixels: np.ndarray, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def fill(folder, n: int = 12, *, below: int = 256, shape=(6, 8), kind=np.uint8, suffix: str = "png") -> np.ndarray:
    """Random images 0.png, 1.png, ...; returns their pixels."""
    pixels = RANDOM.integers(0, below, (n, *shape)).astype(kind)
    for i, image in enumerate(pixels):
        save(folder / f"{i}.{suffix}", image)
    return pixels


def by_id(data) -> dict:
    return dict(zip([*data.ids_train, *data.ids_test], torch.cat([data.x_train, data.x_test]), strict=True))


def matches(data, pixels: np.ndarray, white: float) -> bool:
    found = by_id(data)
    return all(np.allclose(found[f"{i}.png"][0], image / white, atol=1e-6) for i, image in enumerate(pixels))


# --- what is white --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "below, kind, white, told",
    [
        (256, np.uint8, 255, None),
        (2, np.uint8, 1, "its 8-bit images hold 0 and 1 only"),
        (3, np.uint8, 255, "the brightest pixel of all images is 0.00784 of white"),
        (256, np.uint16, 255, "its 16-bit images hold at most 255"),
        (65536, np.uint16, 65535, None),
        (4096, np.uint16, 65535, "the brightest pixel of all images is 0.0625 of white"),
        (2, np.uint16, 1, "its 16-bit images hold 0 and 1 only"),
    ],
)
def test_white_is_read_from_the_values(here, below, kind, white, told):
    pixels = fill(here / "f", 15, below=below, kind=kind)
    pixels[3, 0, 0] = below - 1
    save(here / "f" / "3.png", pixels[3])
    np.savez(here / "f.npz", X=pixels)
    for name in ("folder:f", "npz:f.npz"):
        if told:
            with pytest.warns(DataWarning, match=told):
                data = load(name)
        else:
            data = load(name)
        assert torch.cat([data.x_train, data.x_test]).max() == np.float32((below - 1) / white)
        if name == "folder:f":
            assert matches(data, pixels, white)


def test_white_is_read_before_images_are_made_smaller(here):
    for i in range(6):
        stars = np.zeros((64, 64), np.uint16)
        stars[i * 9, 5 * i] = 65535
        save(here / "sky" / f"{i}.png", stars), save(here / "sky8" / f"{i}.png", (stars // 257).astype(np.uint8))
    for name, told in (("folder:sky", "the brightest pixel"), ("folder:sky8", "of one value throughout")):
        with pytest.warns(DataWarning, match=told):
            data = load(name, image_size=2, test_size=0)
        assert data.x_train.max() < 0.01  # the star's light is spread over a quarter of the sky


def test_black_and_white_keeps_its_shades_when_scaled(here):
    pixels = fill(here / "m", below=2, shape=(32, 32))
    with pytest.warns(DataWarning, match="0 and 1 only"):
        data = load("folder:m", image_size=8)
    blocks = pixels.reshape(12, 8, 4, 8, 4).mean((2, 4))
    found = by_id(data)
    for i, block in enumerate(blocks):  # a triangle of weights instead of a square block: alike, not the same
        assert np.corrcoef(found[f"{i}.png"][0].flatten(), block.flatten())[0, 1] > 0.8
    assert len(data.x_train.unique()) > 50


def test_fractions_from_0_to_1_are_taken_and_others_named(here):
    pixels = RANDOM.random((12, 4, 5)).astype(np.float32)
    for i, image in enumerate(pixels):
        save(here / "f" / f"{i}.tif", image)
    assert torch.allclose(by_id(load("folder:f"))["5.tif"][0], torch.from_numpy(pixels[5]), atol=1e-6)
    save(here / "f" / "9.tif", 300 * pixels[9])
    with pytest.warns(DataWarning, match=r"9.tif \(fractions from .* expected 0 to 1\)"):
        assert "9.tif" not in by_id(load("folder:f"))


def png_of_16_bits(pixels: np.ndarray, exif: bytes = b"") -> bytes:
    """A PNG of 16 bits a colour, (H, W, 3 or 4), which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, colours = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[colours], 0, 0, 0))
    turned = chunk(b"eXIf", exif) if exif else b""
    return b"\x89PNG\r\n\x1a\n" + header + turned + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_16_bits(here):
    (here / "c").mkdir()
    pixels = RANDOM.integers(0, 256, (12, 5, 7, 3))
    for i, image in enumerate(pixels):
        (here / "c" / f"{i}.png").write_bytes(png_of_16_bits(image))
    with pytest.warns(DataWarning, match="divided by 255"):
        found = by_id(load("folder:c"))
    assert all(np.allclose(found[f"{i}.png"], image.transpose(2, 0, 1) / 255) for i, image in enumerate(pixels))
    turn = Image.Exif()
    turn[0x0112] = 6
    wide = RANDOM.integers(0, 65536, (4, 9, 3))
    (here / "turned.png").write_bytes(png_of_16_bits(wide, turn.tobytes()[6:]))
    assert np.array_equal(decode(here / "turned.png", None, 3), np.rot90(wide, -1).transpose(2, 0, 1))
    see_through = np.zeros((2, 2, 4), int)
    (here / "clear.png").write_bytes(png_of_16_bits(see_through))
    assert (decode(here / "clear.png", None, 1) == 65535).all()


# --- which files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, test_folder, told",
    [
        (("Train", "Test"), "Test", None),
        (("TRAINING", "testing"), "testing", None),
        (("train", "val"), "val", "there is no test/: val/ is the test part"),
        (("train", "Validation"), "Validation", "Validation/ is the test part"),
        (("train", "test", "valid"), "test", "left out, as beside train/, test/: valid/"),
        (("train", "test", "notes"), "test", "left out, as beside train/, test/: notes/"),
    ],
)
def test_parts_by_their_usual_names(here, names, test_folder, told):
    for part in names:
        for kind in "ab":
            fill(here / "d" / part / kind, 6)
    if told:
        with pytest.warns(DataWarning, match=told):
            data = load("folder:d")
    else:
        data = load("folder:d")
    assert data.class_names == ("a", "b")
    assert {own.split("/")[0] for own in data.ids_test} == {test_folder} and len(data.ids_test) == 12
    assert {own.split("/")[0] for own in data.ids_train} == {names[0]} and len(data.ids_train) == 12


def test_a_class_of_trains_is_a_class(here):
    for kind in ("train", "bus"):
        fill(here / "v" / kind)
    with pytest.warns(DataWarning, match="train/ is taken for a class like bus/"):
        assert load("folder:v").class_names == ("bus", "train")


def test_parts_that_cannot_be_told_apart_are_refused(here):
    for part in ("train", "Training"):
        fill(here / "two" / part)
    with pytest.raises(DataError, match="has both Training/ and train/"):
        load("folder:two")
    for part in ("val", "test"):
        fill(here / "none" / part)
    with pytest.raises(DataError, match="no train/"):
        load("folder:none")


def test_labels_in_one_part_only(here):
    for kind in "ab":
        fill(here / "x" / "train" / kind, 6), fill(here / "y" / "test" / kind, 6)
    fill(here / "x" / "test"), fill(here / "y" / "train")
    with pytest.warns(DataWarning, match="test/ has no class folders as train/ has"):
        data = load("folder:x")
    assert data.y_test is None and data.y_train.tolist() == [0] * 6 + [1] * 6 and data.class_names == ("a", "b")
    with pytest.warns(DataWarning, match="train/ has no class folders as test/ has"):
        data = load("folder:y")
    assert data.y_train is None and data.y_test.tolist() == [0] * 6 + [1] * 6


def test_class_names_are_compared_after_composition(here):
    for kind in ("caf\u00e9", "cafe\u0301", "tea"):
        fill(here / "n" / kind)
    data = load("folder:n")
    assert data.class_names == ("caf\u00e9", "tea")
    assert torch.cat([data.y_train, data.y_test]).bincount().tolist() == [24, 12]
    assert all((here / "n" / own).is_file() for own in data.ids_train)  # ids are the paths on the disk


def test_names_that_are_no_utf8_can_be_shown(here):
    fill(here / "b")
    try:
        os.rename(here / "b" / "0.png", os.fsencode(here / "b") + b"/\xff0.png")
    except OSError:
        pytest.skip("this file system knows UTF-8 alone")
    assert "\ufffd0.png" in by_id(load("folder:b"))


def test_frames_of_a_stack_are_images_of_their_own(here):
    frames = RANDOM.integers(0, 256, (10, 6, 8), dtype=np.uint8)
    first, *rest = map(Image.fromarray, frames)
    (here / "s").mkdir()
    first.save(here / "s" / "stack.tif", save_all=True, append_images=rest)
    fill(here / "s", 4)
    found = by_id(load("folder:s"))
    assert len(found) == 14
    assert all(np.allclose(found[f"stack.tif#{i}"][0], frame / 255) for i, frame in enumerate(frames))
    first.save(here / "s" / "moving.gif", save_all=True, append_images=rest)
    with pytest.warns(DataWarning, match="the first picture alone is taken: moving.gif"):
        assert len(by_id(load("folder:s", channels=1))) == 15


def test_links_to_nothing_and_empty_folders_are_told(here):
    for kind in "ab":
        fill(here / "d" / kind)
    (here / "d" / "c").mkdir()
    (here / "d" / "a" / "gone.png").symlink_to(here / "nowhere.png")
    with pytest.warns(DataWarning) as record:
        data = load("folder:d")
    said = " ".join(str(warning.message) for warning in record)
    assert "there are no images in them: c/" in said and "a/gone.png (a link to nothing)" in said
    assert data.class_names == ("a", "b")


def test_huge_scans(here, monkeypatch):
    fill(here / "h", 12)
    scan = png_of_16_bits(np.zeros((1, 1, 3), int))
    sizes = struct.pack(">II", 20_000, 20_000)  # 400 million pixels: beyond Pillow's limit
    header = b"IHDR" + sizes + scan[24:29]
    (here / "h" / "scan.png").write_bytes(scan[:12] + header + struct.pack(">I", zlib.crc32(header)) + scan[33:])
    monkeypatch.setattr("deepunsup_helpers.data.decode.memory", lambda: 8 << 30)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.warns(DataWarning, match=r"scan.png \(20000x20000 pixels are too many"):
        assert len(by_id(load("folder:h", image_size=8, channels=1))) == 12
    assert Image.MAX_IMAGE_PIXELS == limit
    monkeypatch.setattr("deepunsup_helpers.data.folder.memory", lambda: 1 << 30)
    with pytest.raises(DataError, match="more than half of the memory; pass a smaller image_size"):
        load("folder:h")


def test_order_kept_takes_files_as_they_come(here):
    fill(here / "k", 15)
    data = load("folder:k", order="kept")
    assert data.ids_train.tolist() == [f"{i}.png" for i in range(12)]
    assert data.ids_test.tolist() == ["12.png", "13.png", "14.png"]
    some = load("folder:k", order="kept", train_size=2, test_size=1)
    assert [*some.ids_train, *some.ids_test] == ["0.png", "1.png", "14.png"]


def test_streams_know_white_frames_and_ids(here):
    pixels = fill(here / "w", below=2, kind=np.uint16)
    with pytest.warns(DataWarning, match="0 and 1 only"):
        images = FolderImages("w", test_size=0)
    for own, x in zip(images.ids, images, strict=True):
        assert np.array_equal(x[0], pixels[int(own.removesuffix(".png"))])


def test_ids_tell_where_examples_came_from(mnist_folder):
    data = load("mnist", train_size=50, test_size=5)
    for part, x, ids in (("train", data.x_train, data.ids_train), ("test", data.x_test, data.ids_test)):
        images, _ = torchvision_arrays("mnist", part)
        assert torch.equal(x[:, 0], torch.from_numpy(images[ids]) / 255)
    digits = load("digits")
    assert sorted([*digits.ids_train, *digits.ids_test]) == list(range(1797))
    assert load("strokes", train_size=3, test_size=2).ids_train.tolist() == [0, 1, 2]


# --- arrays ---------------------------------------------------------------------------------------------------------


def npz(folder, **arrays) -> None:
    np.savez(folder / "a.npz", **arrays)


def test_byte_order_and_byte_labels(here):
    x = RANDOM.random((20, 5, 5))
    npz(here, X=x.astype(">f4"), y=np.arange(20).astype(">i4") % 2)
    data = load("npz:a.npz")
    assert torch.allclose(data.x_train[:, 0].double(), torch.from_numpy(x[data.ids_train]), atol=1e-6)
    assert data.y_train.tolist() == (data.ids_train % 2).tolist()
    npz(here, X=x[:, 0], y=np.array([b"\xe9", b"b"] * 10))
    assert load("npz:a.npz").class_names == ("b", "é")
    npz(here, X=x[:, 0], y=np.array(["é", "e\u0301"] * 10).astype(str)[:, None])
    with pytest.warns(DataWarning, match="all examples are of one class, 'é'"):
        assert load("npz:a.npz").class_names == ("é",)


def test_measurements_are_not_taken_for_classes(here):
    npz(here, X=RANDOM.random((60, 3)), y=np.arange(60) * 731)
    with pytest.raises(DataError, match="60 different whole numbers in 60 rows.*label_type='numbers'"):
        load("npz:a.npz")
    assert load("npz:a.npz", label_type="numbers").y_train.dtype == torch.float32
    npz(here, X=RANDOM.random((600, 3)), y=np.arange(600) % 200)  # three of each: classes
    assert len(load("npz:a.npz").class_names) == 200


def test_objects_are_refused_with_what_to_do(here):
    npz(here, X=np.array([[1, 2.5]] * 4, object))
    with pytest.raises(DataError, match="Python objects.*astype"):
        load("npz:a.npz")
    npz(here, X=RANDOM.random((4, 2)), y=np.ones((4, 3)))
    with pytest.raises(DataError, match=r"y has shape \(4, 3\)"):
        load("npz:a.npz")


# --- what is odd ----------------------------------------------------------------------------------------------------


def test_what_is_odd_is_told_and_what_is_well_is_not(here):
    pixels = fill(here / "f" / "a", 30)
    fill(here / "f" / "b", 30)
    load("folder:f")  # nothing
    save(here / "f" / "a" / "0.png", np.full((6, 8), 7, np.uint8))
    with pytest.warns(DataWarning, match=r"of one value throughout: a/0.png \(1 of 60"):
        load("folder:f")
    for i in range(12):
        save(here / "p" / "train" / f"{i}.png", pixels[i]), save(here / "p" / "test" / f"{i}.png", pixels[i + 9])
    with pytest.warns(DataWarning, match=r"3 of 12 test examples .*\(test/0.png is the same as train/9.png\)"):
        load("folder:p")
    npz(here, X=np.zeros((20, 4, 4), np.uint8))
    with pytest.warns(DataWarning, match="every image is of one value"):
        load("npz:a.npz")
    npz(here, X=np.c_[RANDOM.random((400, 2)), np.ones(400)], y=np.r_[np.zeros(398), 1, 1])
    with pytest.warns(DataWarning) as record:
        load("npz:a.npz")
    said = " ".join(str(warning.message) for warning in record)
    assert "very unequal: 318 of '0', 2 of '1'" in said and "constant in the training part: 'column 2'" in said


@pytest.mark.filterwarnings("default::deepunsup_helpers.data.DataWarning")
def test_hardly_any_examples_are_told_unless_asked_for(here):
    fill(here / "f", 5)
    with pytest.warns(DataWarning, match="it gives 4 training examples only"):
        load("folder:f")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepunsup_helpers.data.warn", pytest.fail)
        load("folder:f", train_size=3)


def test_needs_are_told_in_one_line():
    data = load("digits", train_size=30)
    check_needs(data, images=30, test_images=359, classes=10)
    with pytest.raises(DataError, match="digits gives 30 training images, and this notebook needs at least 64"):
        check_needs(data, images=64)
    with pytest.raises(DataError, match="0 classes"):
        check_needs(load("swiss_roll"), classes=2)


def test_an_error_in_a_notebook_is_one_line(here):
    """IPython asks an exception for its own way to be shown."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as Shell\n"
        "Shell.instance(colors='NoColor').run_cell('from deepunsup_helpers.data import load; load(\"folder:gone\")')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    shown = (done.stdout + done.stderr).strip()
    assert shown.startswith("DataError: folder:gone") and "\n" not in shown


# --- new data -------------------------------------------------------------------------------------------------------


def again(data) -> dict:
    return json.loads(json.dumps(data.preprocessing))


@pytest.mark.parametrize("below, kind", [(256, np.uint8), (2, np.uint8), (256, np.uint16), (65536, np.uint16)])
@pytest.mark.parametrize("image_size, channels", [(None, None), (5, 3)])
def test_new_images_become_what_the_training_images_became(here, below, kind, image_size, channels):
    fill(here / "old", below=below, kind=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load("folder:old", image_size=image_size, channels=channels)
    new = load_new("folder:old", again(data))
    assert len(new.x) == 12 and new.value_range == data.value_range
    assert all(torch.equal(x, by_id(data)[own]) for own, x in zip(new.ids, new.x, strict=True))


def test_new_images_are_judged_by_what_was_white(here):
    with pytest.warns(DataWarning, match="divided by 255"):
        fill(here / "old", kind=np.uint16)
        preprocessing = again(load("folder:old"))
    save(here / "dark" / "1.png", np.ones((6, 8), np.uint16))
    assert load_new("folder:dark", preprocessing).x.max() == np.float32(1 / 255)
    save(here / "bright" / "1.png", np.full((6, 8), 256, np.uint16))
    with pytest.raises(DataError, match="values up to 256, but .* 255 was white"):
        load_new("folder:bright", preprocessing)


def test_new_images_of_any_folders(here):
    strokes = again(load("strokes", train_size=4, test_size=1))
    fill(here / "n" / "some" / "where", 2, shape=(40, 20, 3)), fill(here / "n", 2)
    (here / "n" / "broken.png").write_text("nothing")
    with pytest.warns(DataWarning, match="broken.png"):
        new = load_new("folder:n", strokes)
    assert new.x.shape == (4, 1, 28, 28) and set(new.ids) == {"some/where/0.png", "some/where/1.png", "0.png", "1.png"}
    pixels = RANDOM.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    npz(here, X=pixels)
    assert torch.equal(load_new("npz:a.npz", strokes).x, torch.from_numpy(pixels)[:, None] / 255)


def test_new_rows_become_what_the_training_rows_became(here):
    lines = [f"p{i},{i if i % 5 else ''},{'uvw'[i % 3]},{i / 3},{i % 2}" for i in range(30)]
    (here / "t.csv").write_text("name,a,kind,b,y\n" + "\n".join(lines))
    data = load("csv:t.csv", label="y", id="name", missing="median", text="onehot")
    new = load_new("csv:t.csv", again(data))
    assert len(new.x) == 30 and all(torch.equal(x, by_id(data)[own]) for own, x in zip(new.ids, new.x, strict=True))
    (here / "n.csv").write_text("b,kind,extra,a\n" + "1,z,q,2\n3,u,q,\n")  # other order, no names, no labels
    with pytest.warns(DataWarning) as record:
        new = load_new("csv:n.csv", again(data))
    said = " ".join(str(warning.message) for warning in record)
    assert "not trained on them: 'extra'" in said and "kind=z" in said and new.ids.tolist() == [0, 1]
    median = data.preprocessing["medians"]["a"]
    assert new.x.tolist() == [[2, 0, 0, 0, 1], [median, 1, 0, 0, 3]]


@pytest.mark.parametrize(
    "name, reference, words",
    [
        ("folder:f", "wine", ["trained on a table of 13 columns", "csv:PATH"]),
        ("csv:t.csv", "digits", ["trained on images of 8x8", "folder:PATH"]),
        ("csv:t.csv", "wine", ["lacks columns", "'alcohol'"]),
        ("npz:a.npz", "wine", ["X has 2 columns", "trained on 13"]),
        ("folder:gone", "digits", ["does not exist"]),
        ("t.csv", "wine", ["names no new data", "csv:PATH"]),
    ],
)
def test_new_data_of_another_kind_is_told_in_one_line(here, name, reference, words):
    (here / "t.csv").write_text("a,b\n1,2\n3,4\n")
    npz(here, X=np.ones((4, 2)))
    with pytest.raises(DataError) as error:
        load_new(name, load(reference).preprocessing)
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in [name, *words]), message


def test_notebooks_ask_for_what_their_metadata_say():
    for path in sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        needs = notebook["metadata"]["deepunsup"].get("needs")
        if needs is not None:
            asked = ", ".join(f"{what}={least}" for what, least in needs.items())
            code = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
            assert f", {asked})" in code and "check_needs(" in code, path.name
