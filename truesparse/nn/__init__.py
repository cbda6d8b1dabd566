"""What the network computes: layers, and models built from them."""

from truesparse.nn.embedding import Embedding
from truesparse.nn.language_model import (
    LanguageModel,
    LanguageModelSpec,
    MatrixShape,
    State,
    Workspace,
    build_language_model,
)
from truesparse.nn.lstm import LSTM, LSTMState, LSTMWorkspace
from truesparse.nn.output import OutputLayer, OutputWorkspace
from truesparse.nn.panels import Panels

__all__ = [
    "LSTM",
    "Embedding",
    "LSTMState",
    "LSTMWorkspace",
    "LanguageModel",
    "LanguageModelSpec",
    "MatrixShape",
    "OutputLayer",
    "OutputWorkspace",
    "Panels",
    "State",
    "Workspace",
    "build_language_model",
]
