"""The zoo: three small bundled models with their data, and loaders for real models."""
