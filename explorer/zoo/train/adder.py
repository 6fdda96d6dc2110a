"""Train the adder (a few minutes on two cores; needs transformers) and ship its weights."""

from __future__ import annotations

from explorer.zoo.adder import build_adder
from explorer.zoo.data import sums
from explorer.zoo.score import exact_match
from explorer.zoo.train.fit import Settings, fit
from explorer.zoo.train.ship import ship

SETTINGS = Settings(seed=0, epochs=15, batch=256, peak_rate=2e-3, weight_decay=0.05)


def main() -> None:
    """Train, measure, and write the weights, the record and the card's table."""
    data = sums()
    module, seconds = fit(build_adder, data.train_x, data.train_y, SETTINGS)
    ship("adder-gpt", module, data, exact_match, SETTINGS, seconds, storage="fp32")


if __name__ == "__main__":
    main()
