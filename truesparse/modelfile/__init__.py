"""Model files: what is in one, and the checks that it passes before anything in it is used.

Needs NumPy and safetensors only, so that `truesparse.runtime` does too.
"""

from truesparse.csr import CSR, narrow_index_dtype
from truesparse.modelfile.container import Reader
from truesparse.modelfile.stored import (
    CHECKPOINT,
    MODEL,
    Encoder,
    StoredModel,
    check_finite,
    find_model,
    model_kind,
    names_outputs,
    need_encoder,
    need_vocabulary,
    of_text,
    read_model,
    scores_overflow,
)

__all__ = [
    "CHECKPOINT",
    "CSR",
    "Encoder",
    "MODEL",
    "Reader",
    "StoredModel",
    "check_finite",
    "find_model",
    "model_kind",
    "names_outputs",
    "narrow_index_dtype",
    "need_encoder",
    "need_vocabulary",
    "of_text",
    "read_model",
    "scores_overflow",
]
