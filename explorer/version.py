"""The version, told once: packaging, the command line and every measured number read it here."""

__version__ = "0.1.0"
