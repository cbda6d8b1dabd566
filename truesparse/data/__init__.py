"""Text corpora and windows for truncated backpropagation through time."""

from truesparse.data.batches import Windows
from truesparse.data.text import Corpus, load_corpus, load_evaluation_text, unigram_perplexity
from truesparse.data.vocabulary import Vocabulary, tokenise

__all__ = [
    "Corpus",
    "Vocabulary",
    "Windows",
    "load_corpus",
    "load_evaluation_text",
    "tokenise",
    "unigram_perplexity",
]
