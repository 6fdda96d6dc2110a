"""Remake ``weights/digits.safetensors`` from scikit-learn's copy of the UCI digits (needs scikit-learn)."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import save_file

from explorer.zoo.data import DIGITS_FILE

SEED = 0
TEST_IMAGES = 397


def main() -> None:
    """Write images uint8 ``[1797, 8, 8]``, labels uint8 ``[1797]`` and the mask uint8 ``[1797]`` of the test part."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    _, chosen = train_test_split(np.arange(len(labels)), test_size=TEST_IMAGES, stratify=labels, random_state=SEED)
    test = np.zeros(len(labels), dtype=np.uint8)
    test[chosen] = 1
    tensors = {
        "images": torch.from_numpy(images.reshape(-1, 8, 8).astype(np.uint8)),
        "labels": torch.from_numpy(labels.astype(np.uint8)),
        "test": torch.from_numpy(test),
    }
    save_file(tensors, DIGITS_FILE)
    print(f"{DIGITS_FILE.name}: {len(labels)} images, {test.sum()} for test, {DIGITS_FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
