"""The README's fifteen lines run as they stand there, on small and on large images of one's own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def fifteen_lines() -> list[str]:
    section = README.split("## Fifteen lines\n")[1].split("\n## ")[0]
    return (
        re.search(r"(?:^    .*\n|^\n(?=    ))+", section, re.MULTILINE)[0]
        .strip("\n")
        .replace("\n    ", "\n")[4:]
        .split("\n")
    )


def test_they_are_fifteen():
    assert len(fifteen_lines()) == 15 and max(map(len, fifteen_lines())) <= 120


@pytest.mark.parametrize("side", [28, 128])
def test_they_train_a_vae_on_a_folder_of_images(side, tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "path" / "to" / "images").mkdir(parents=True)
    for i in range(12):
        pixels = np.zeros((side, side, 3), dtype=np.uint8)
        pixels[side // 4 : side // 2 + random.integers(side // 3)] = random.integers(50, 255, 3)
        Image.fromarray(pixels).save(tmp_path / "path" / "to" / "images" / f"{i}.png")
    program = "\n".join(fifteen_lines())
    for line, short in ((f"image_size={side}", "image_size=64"), ("epochs=2", "epochs=100"), ("(8)", "(40)")):
        assert program.count(short) == 1
        program = program.replace(short, line)
    program += (
        "\nfrom deepunsup_helpers import load_model\nfrom deepunsup_helpers.data import load_new\n"
        "vae = load_model('vae.safetensors')\n"
        "new = load_new('folder:path/to/images', vae.header.preprocessing)\n"
        "print(tuple(vae(new.x).logits.shape))\n"
    )
    (tmp_path / "lines.py").write_text(program, encoding="utf-8")
    variables = {name: value for name, value in os.environ.items() if name != "DEEPUNSUP_OUTPUT"}
    run = subprocess.run(
        [sys.executable, "lines.py"], capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-2:] == [
        "Forty images that the VAE has made up. (figure written to lines-1.png)",
        f"(12, 3, {side}, {side})",
    ]
    assert (tmp_path / "vae.safetensors").is_file() and (tmp_path / "lines-1.png").is_file()
