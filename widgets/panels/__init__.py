"""The format lab's experiments: one panel each."""
