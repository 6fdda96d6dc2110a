"""Train the digits ViT (some minutes on two cores) and ship its weights."""

from __future__ import annotations

from explorer.zoo.data import digits
from explorer.zoo.score import accuracy
from explorer.zoo.train.fit import Settings, fit, jitter
from explorer.zoo.train.ship import ship
from explorer.zoo.vit import DigitsViT

SETTINGS = Settings(seed=0, epochs=20, batch=25, peak_rate=1e-3, weight_decay=0.05, label_smoothing=0.05)


def main() -> None:
    """Train, measure, and write the weights, the record and the card's table."""
    data = digits()
    module, seconds = fit(DigitsViT, data.train_x, data.train_y, SETTINGS, augment=jitter)
    ship("digits-vit", module, data, accuracy, SETTINGS, seconds, storage="fp16")


if __name__ == "__main__":
    main()
