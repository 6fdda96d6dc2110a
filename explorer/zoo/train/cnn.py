"""Train the digits CNN (a few minutes on two cores) and ship its weights."""

from __future__ import annotations

from explorer.zoo.cnn import DigitsCNN
from explorer.zoo.data import digits
from explorer.zoo.score import accuracy
from explorer.zoo.train.fit import Settings, fit, jitter
from explorer.zoo.train.ship import ship

SETTINGS = Settings(seed=0, epochs=30, batch=50, peak_rate=1e-2, weight_decay=0.01, label_smoothing=0.05)


def main() -> None:
    """Train, measure, and write the weights, the record and the card's table."""
    data = digits()
    module, seconds = fit(DigitsCNN, data.train_x, data.train_y, SETTINGS, augment=jitter)
    ship("digits-cnn", module, data, accuracy, SETTINGS, seconds, storage="fp32")


if __name__ == "__main__":
    main()
