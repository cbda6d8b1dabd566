"""Text corpora and windows for truncated backpropagation through time; labelled texts and batches of them."""

from truesparse.data.batches import Batch, Batches, Windows
from truesparse.data.encoder import TextEncoder, TokenEncoder
from truesparse.data.labelled import Columns, load_classification_data
from truesparse.data.parts import LabelledData
from truesparse.data.sequences import SequenceBatches, Sequences
from truesparse.data.series_encoder import SeriesEncoder
from truesparse.data.subwords import Subwords
from truesparse.data.text import Corpus, load_corpus, load_evaluation_text, unigram_perplexity
from truesparse.data.vocabulary import Vocabulary
from truesparse.data.words import tokenise

__all__ = [
    "Batch",
    "Batches",
    "Columns",
    "Corpus",
    "LabelledData",
    "SequenceBatches",
    "Sequences",
    "SeriesEncoder",
    "Subwords",
    "TextEncoder",
    "TokenEncoder",
    "Vocabulary",
    "Windows",
    "load_classification_data",
    "load_corpus",
    "load_evaluation_text",
    "tokenise",
    "unigram_perplexity",
]
