"""A small real Llama from ``transformers`` that adds two three-digit numbers."""

from __future__ import annotations

from torch import nn

from explorer.zoo.data import VOCABULARY
from explorer.zoo.optional import optional

# Every linear has an input width and an output width that are multiples of 16, as INT8 and FP8 kernels ask.
WIDTH = 96
HEADS = 6
KEY_VALUE_HEADS = 3
DEPTH = 4
HIDDEN = 256


def build_adder() -> nn.Module:
    """A new, untrained ``LlamaForCausalLM``: ids ``[n, t]`` -> ``.logits [n, t, 16]``, without a cache.

    Raises ``MissingPackage`` where transformers is not installed.
    """
    transformers = optional("transformers", "open the bundled model 'adder-gpt'", "hf")
    config = transformers.LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_VALUE_HEADS,
        max_position_embeddings=32,
        bos_token_id=VOCABULARY.index("^"),
        eos_token_id=VOCABULARY.index("$"),
        pad_token_id=VOCABULARY.index("_"),
        tie_word_embeddings=False,
        use_cache=False,
    )
    module: nn.Module = transformers.LlamaForCausalLM(config)
    return module
