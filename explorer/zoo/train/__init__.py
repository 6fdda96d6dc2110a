"""Scripts that remake what the zoo ships: ``python -m explorer.zoo.train.<digits | vit | cnn | adder>``."""
