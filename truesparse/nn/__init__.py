"""What the network computes: layers, and models built from them."""

from truesparse.nn.cell import Cell, MatrixShape
from truesparse.nn.dropout import DropoutRates
from truesparse.nn.embedding import Embedding
from truesparse.nn.language_model import LanguageModel, Workspace, build_language_model
from truesparse.nn.lstm import LSTM, LSTMState, LSTMWorkspace
from truesparse.nn.output import OutputLayer, OutputWorkspace
from truesparse.nn.rhn import RHN, RHNState, RHNWorkspace
from truesparse.nn.sequence_model import SequenceModel, SequenceWorkspace, build_sequence_model
from truesparse.nn.spec import CELLS, LanguageModelSpec, SequenceSpec
from truesparse.nn.stack import State

__all__ = [
    "CELLS",
    "LSTM",
    "RHN",
    "Cell",
    "DropoutRates",
    "Embedding",
    "LSTMState",
    "LSTMWorkspace",
    "LanguageModel",
    "LanguageModelSpec",
    "MatrixShape",
    "OutputLayer",
    "OutputWorkspace",
    "RHNState",
    "RHNWorkspace",
    "SequenceModel",
    "SequenceSpec",
    "SequenceWorkspace",
    "State",
    "Workspace",
    "build_language_model",
    "build_sequence_model",
]
