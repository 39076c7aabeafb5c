"""Images by name: what the files hold arrives, sizes and colours convert, and what cannot be had is said in time."""

import gzip
import hashlib
import http.server
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from sklearn import datasets as sklearn_datasets

from deepunsup_helpers.data import DataError, downloads, load
from deepunsup_helpers.data.images import convert_images

SIZES = {"train": 300, "t10k": 100}


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the idx format: two zeros, type 8, rank, big-endian sizes, values."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_files() -> dict[str, bytes]:
    rng, files = np.random.default_rng(0), {}
    for part, n in SIZES.items():
        files[f"{part}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx((rng.permutation(n) % 10).astype(np.uint8))
    return files


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """An empty place for MNIST's files, which DEEPUNSUP_DATA names."""
    monkeypatch.setenv("DEEPUNSUP_DATA", str(tmp_path))
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    return folder


# --- files on disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_files_are_read_as_torchvision_reads_them(raw, packed):
    from torchvision.datasets import MNIST

    for name, content in idx_files().items():
        if packed:
            (raw / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (raw / name).write_bytes(content)
    data = load("mnist")
    for name, content in idx_files().items():
        (raw / name).write_bytes(content)  # torchvision reads unpacked files only
    for train, x, y in ((True, data.x_train, data.y_train), (False, data.x_test, data.y_test)):
        reference = MNIST(raw.parent.parent, train=train)
        assert torch.equal(x, reference.data[:, None].float() / 255) and torch.equal(y, reference.targets)
    assert data.image_shape == (1, 28, 28) and data.class_names == tuple("0123456789")


def test_subsets_are_seeded_stratified_and_nested(raw):
    for name, content in idx_files().items():
        (raw / name).write_bytes(content)
    whole, data = load("mnist"), load("mnist", train_size=100, test_size=50)
    assert torch.bincount(data.y_train).tolist() == [10] * 10 and torch.bincount(data.y_test).tolist() == [5] * 10
    assert torch.equal(load("mnist", train_size=30).x_train, data.x_train[:30])
    assert torch.equal(load("mnist", train_size=100).x_train, data.x_train)
    assert not torch.equal(load("mnist", train_size=100, seed=1).x_train, data.x_train)
    rows = {x.numpy().tobytes(): int(y) for x, y in zip(whole.x_train, whole.y_train)}
    assert [rows[x.numpy().tobytes()] for x in data.x_train] == data.y_train.tolist()
    with pytest.raises(DataError, match="train_size=301 asks for more than the 300"):
        load("mnist", train_size=301)


@pytest.mark.parametrize(
    "file, content, says",
    [
        ("train-images-idx3-ubyte", lambda whole: whole[:-1], "truncated"),
        ("t10k-images-idx3-ubyte", lambda whole: whole[:7], "truncated"),
        ("train-labels-idx1-ubyte", lambda whole: b"", "no idx file"),
        ("train-labels-idx1-ubyte", lambda whole: b"<html>log in</html>", "no idx file"),
        ("train-images-idx3-ubyte", lambda whole: idx_files()["train-labels-idx1-ubyte"], "expected images"),
        ("train-labels-idx1-ubyte", lambda whole: idx_files()["t10k-labels-idx1-ubyte"], "for each of 300 images"),
        ("t10k-images-idx3-ubyte.gz", lambda whole: gzip.compress(whole)[:-9], "cannot be read"),
        ("t10k-images-idx3-ubyte.gz", lambda whole: b"not packed", "cannot be read"),
    ],
)
def test_damaged_files_are_named_with_what_to_do(raw, file, content, says):
    for name, whole in idx_files().items():
        if name == file.removesuffix(".gz"):
            (raw / file).write_bytes(content(whole))
        else:
            (raw / name).write_bytes(whole)
    with pytest.raises(DataError, match=says) as error:
        load("mnist")
    assert str(raw / file) in str(error.value) and "move it away" in str(error.value) and "\n" not in str(error.value)


def test_real_mnist(mnist_folder):
    data = load("mnist")
    assert data.x_train.shape == (60_000, 1, 28, 28) and data.x_test.shape == (10_000, 1, 28, 28)
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9] and torch.bincount(data.y_train)[1] == 6742
    assert float(data.x_train.mean()) == pytest.approx(0.1307, abs=5e-5)  # the mean everybody normalises by
    assert float(data.x_train.std()) == pytest.approx(0.3081, abs=5e-5)


# --- downloads ------------------------------------------------------------------------------------------------------


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves MNIST-like files; what goes wrong is the first part of the path."""

    def do_GET(self):
        fault, _, name = self.path.strip("/").rpartition("/")
        content = gzip.compress(idx_files()[name.removesuffix(".gz")], mtime=0)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "login":
            content = b"<html>".ljust(len(content))
        elif fault == "half" and "train-labels" in name:
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def mirrors(monkeypatch):
    """Sets torchvision's mirrors of MNIST, and the check sums to those of our files."""
    from torchvision.datasets import MNIST

    packed = {name: gzip.compress(content, mtime=0) for name, content in idx_files().items()}
    sums = [(f"{name}.gz", hashlib.md5(content).hexdigest()) for name, content in packed.items()]
    monkeypatch.setattr(MNIST, "resources", sums)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return lambda *urls: monkeypatch.setattr(MNIST, "mirrors", list(urls))


def refused(name: str = "mnist") -> str:
    """The message of a load that must fail, within 15 seconds, with one line that names the three ways out."""
    start = time.monotonic()
    with pytest.raises(DataError) as error:
        load(name)
    assert time.monotonic() - start < 15
    message = str(error.value)
    assert "\n" not in message
    assert all(way in message for way in ("connect to a network", "DEEPUNSUP_DATA", "dataset=strokes")), message
    return message


def test_missing_files_are_downloaded_once(raw, mirrors, server):
    mirrors(server)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx_files()["t10k-labels-idx1-ubyte"])
    data = load("mnist")
    assert len(data.x_train) == 300 and len(data.x_test) == 100
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == idx_files()
    mirrors()  # nothing left to ask for
    assert torch.equal(load("mnist").x_train, data.x_train)


def test_another_mirror_takes_over(raw, mirrors, server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        mirrors(f"http://127.0.0.1:{taken.getsockname()[1]}/", f"{server}login/", server)
        assert len(load("mnist").x_train) == 300


@pytest.mark.parametrize("fault", ["login", "half"])
def test_what_is_not_the_file_is_never_kept(raw, mirrors, server, fault):
    mirrors(f"{server}{fault}/")
    assert "not the file" in refused()
    kept = {path.name: path.read_bytes() for path in raw.iterdir()}
    assert kept.items() <= idx_files().items() and "train-labels-idx1-ubyte" not in kept
    mirrors(server)
    assert len(load("mnist").x_train) == 300


def test_a_refused_connection(raw, mirrors):
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        mirrors(f"http://127.0.0.1:{taken.getsockname()[1]}/")
        assert "refused" in refused()


def test_a_name_that_is_not_found(raw, mirrors, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    mirrors("http://mirror.invalid/")
    assert "mirror.invalid: " in refused() and "Name or service not known" in refused()


@pytest.fixture
def impatient(monkeypatch):
    """A tenth of the patience, so that the tests are short."""
    assert downloads.SILENCE < downloads.PATIENCE <= 12
    monkeypatch.setattr(downloads, "SILENCE", downloads.SILENCE / 10)
    monkeypatch.setattr(downloads, "PATIENCE", downloads.PATIENCE / 10)


def test_a_name_server_that_never_answers(raw, mirrors, monkeypatch, impatient):
    over = threading.Event()

    def look_up(*_, **__):
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    mirrors("http://mirror.invalid/")
    start = time.monotonic()
    refused()
    over.set()
    assert time.monotonic() - start < 1.5 + 0.1 * downloads.PATIENCE


@pytest.fixture
def silent():
    """The address of a socket that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.parametrize("mirror_count", [1, 5])
def test_a_socket_that_accepts_and_never_answers(raw, mirrors, silent, impatient, mirror_count):
    mirrors(*[f"{silent}{i}/" for i in range(mirror_count)])
    start = time.monotonic()
    refused()
    assert time.monotonic() - start < 1.5


def test_a_silent_mirror_is_left_for_the_next(raw, mirrors, silent, server, impatient):
    mirrors(silent, server)
    assert len(load("mnist").x_train) == 300


@pytest.mark.slow
def test_patience_in_full_from_a_fresh_start(tmp_path, silent):
    """With the import of torch and torchvision, as a user would meet it."""
    code = (
        f"from torchvision.datasets import KMNIST; KMNIST.mirrors = [{silent!r}] * 5\n"
        "import time; start = time.monotonic()\n"
        "from deepunsup_helpers.data import load\n"
        "try: load('kmnist')\n"
        "except ValueError as error: print(time.monotonic() - start, error)\n"
    )
    environment = {"DEEPUNSUP_DATA": str(tmp_path), "PATH": "", "NO_PROXY": "*"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    seconds, message = done.stdout.split(maxsplit=1)
    assert float(seconds) < 15 and "dataset=strokes" in message


def test_a_folder_that_cannot_be_written(tmp_path, mirrors, server, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEEPUNSUP_DATA", str(tmp_path / "file"))
    mirrors(server)
    with pytest.raises(DataError, match="cannot be written.*DEEPUNSUP_DATA"):
        load("mnist")


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("DEEPUNSUP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert downloads.data_folder() == tmp_path / "deepunsup"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPUNSUP_DATA", "own")
    assert downloads.data_folder() == tmp_path / "own"


# --- digits, strokes, conversions -----------------------------------------------------------------------------------


def test_digits():
    data, reference = load("digits"), sklearn_datasets.load_digits()
    assert data.x_train.shape == (1438, 1, 8, 8) and data.x_test.shape == (359, 1, 8, 8)
    images = {
        image.astype(np.float32).tobytes(): int(label) for image, label in zip(reference.images, reference.target)
    }
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert [images.pop((16 * image[0]).numpy().tobytes()) for image in x] == y.tolist()
    assert not images  # each digit was met once
    assert load("digits", image_size=28, channels=3).image_shape == (3, 28, 28)


def test_strokes():
    data = load("strokes", train_size=20, test_size=10)
    assert data.image_shape == (1, 28, 28) and len(data.x_train) == 20 and len(data.y_test) == 10
    assert data.factors_train["slant"].shape == (20,) and data.factors_test["slant"].shape == (10,)
    assert torch.equal(data.factors_train["digit"].long(), data.y_train)
    before = data.x_train.clone()
    data.x_train.zero_(), data.factors_train["slant"].zero_(), data.y_train.zero_()
    again = load("strokes", train_size=20, test_size=10)  # the cache is not ours to spoil
    assert torch.equal(again.x_train, before) and again.factors_train["slant"].abs().max() > 0
    assert again.y_train.max() > 0


def test_bytes_become_floats_from_0_to_1():
    x = convert_images(torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16), image_size=None, channels=None)
    torch.testing.assert_close(x.flatten(), torch.arange(256) / 255)


def test_resizing_keeps_constants_means_and_places():
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 24, 24, generator=rng)
    for size in (6, 12, 30, (8, 40)):
        flat = convert_images(torch.full((2, 1, 24, 24), 0.3), image_size=size, channels=None)
        torch.testing.assert_close(flat, torch.full_like(flat, 0.3))
    small = convert_images(x, image_size=12, channels=None)
    torch.testing.assert_close(small.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=0.02, rtol=0)
    dots = torch.eye(24)[8:16, None, None, :] * torch.eye(24)[8:16, None, :, None]  # one bright pixel each
    ink = convert_images(dots, image_size=6, channels=None).mean((1, 2, 3)) / dots.mean((1, 2, 3))
    assert ((ink - 1).abs() < 0.5).all()  # anti-aliased: no dot falls between the samples
    ramp = torch.linspace(0, 1, 24).expand(1, 1, 24, 24)
    wide = convert_images(ramp, image_size=(8, 40), channels=None)
    assert wide.shape == (1, 1, 8, 40)
    assert (wide.diff(dim=3) >= 0).all() and wide.diff(dim=2).abs().max() < 1e-6  # brighter to the right, as before
    assert torch.equal(convert_images(x, image_size=24, channels=None), x)
    assert convert_images(x[:0], image_size=5, channels=3).shape == (0, 3, 5, 5)


def test_grey_and_colour():
    from PIL import Image

    grey = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    colour = convert_images(grey, image_size=None, channels=3)
    assert colour.shape == (2, 3, 4, 4) and torch.equal(colour[:, 0], colour[:, 2])
    torch.testing.assert_close(convert_images(colour, image_size=None, channels=1), grey)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    mine = convert_images(torch.from_numpy(pixels).permute(2, 0, 1)[None], image_size=None, channels=1)
    np.testing.assert_allclose(255 * mine[0, 0].numpy(), np.asarray(Image.fromarray(pixels).convert("L")), atol=0.51)


# --- names and arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("MNIST", {}, ["did you mean 'mnist'"]),
        ("fashion-mnist", {}, ["did you mean 'fashion_mnist'"]),
        ("stroke", {}, ["did you mean 'strokes'"]),
        ("swissroll", {}, ["did you mean 'swiss_roll'"]),
        ("Folder:x", {}, ["did you mean 'folder:PATH'"]),
        ("qqq", {}, ["'qqq'", "known: strokes, mnist"]),
        ("/", {}, ["folder:/"]),
        ("csv:", {}, ["csv:PATH"]),
        (None, {}, ["must be a string"]),
        ("strokes", {"train_size": 0}, ["train_size=0", "at least 1"]),
        ("strokes", {"train_size": 2.5}, ["train_size=2.5"]),
        ("strokes", {"test_size": -1}, ["test_size=-1", "at least 0"]),
        ("strokes", {"train_size": True}, ["train_size=True"]),
        ("strokes", {"seed": -1}, ["seed=-1"]),
        ("strokes", {"seed": None}, ["seed=None"]),
        ("strokes", {"train_size": 1, "image_size": 0}, ["image_size=0"]),
        ("strokes", {"train_size": 1, "image_size": (3,)}, ["image_size=(3,)"]),
        ("strokes", {"train_size": 1, "image_size": "28"}, ["image_size='28'"]),
        ("strokes", {"train_size": 1, "channels": 2}, ["channels=2", "1 (grey)"]),
        ("strokes", {"label": "y"}, ["label='y'", "CSV"]),
        ("wine", {"image_size": 8}, ["holds no images"]),
        ("digits", {"train_size": 1797}, ["train_size=1797", "1797 examples"]),
        ("digits", {"train_size": 1000, "test_size": 1000}, ["1000", "1797"]),
    ],
)
def test_bad_arguments_are_told_in_one_line(name, options, words):
    with pytest.raises(DataError) as error:
        load(name, **options)
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_the_import_is_light():
    code = (
        "import torch, sys; import deepunsup_helpers.data; "
        "print([m for m in ('torchvision', 'sklearn', 'pandas', 'PIL', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_data_set_prints_in_one_line():
    assert str(load("digits", train_size=10)) == (
        "Dataset(digits: 10 training, 359 test; 1x8x8 images; values in [0, 1]; 10 classes)"
    )
