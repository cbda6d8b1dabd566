"""Truly sparse training of recurrent networks on ordinary CPUs.

>>> import numpy as np
>>> import truesparse as ts
>>> ids = np.arange(600, dtype=np.int32) % 12  # a text: 0 1 2 ... 11 0 1 ...
>>> model = ts.Chain(ts.Embedding(12, 8), ts.LSTM(16), ts.Softmax(12)).init(density=0.5, seed=1)
>>> fitted = ts.fit(model, ts.Windows(ids, batch_size=4, bptt=10), ts.adam(lr=0.02), "st-rnn", epochs=8)
>>> fitted.losses[-1] < 0.5 < fitted.losses[0]
True

Names are imported when they are used: this module needs neither NumPy nor Numba. docs/api.md lists them.
"""

from typing import TYPE_CHECKING

from truesparse.lazy import lazy
from truesparse.version import __version__ as __version__

if TYPE_CHECKING:
    from truesparse.data.batches import Batch as Batch
    from truesparse.data.batches import Windows as Windows
    from truesparse.data.encoder import TextEncoder as TextEncoder
    from truesparse.data.encoder import TokenEncoder as TokenEncoder
    from truesparse.data.sequences import SequenceBatches as SequenceBatches
    from truesparse.data.sequences import Sequences as Sequences
    from truesparse.data.subwords import Subwords as Subwords
    from truesparse.data.vocabulary import Vocabulary as Vocabulary
    from truesparse.errors import TruesparseError as TruesparseError
    from truesparse.errors import UsageError as UsageError
    from truesparse.layers.activity.spec import ActivityPenalty as ActivityPenalty
    from truesparse.layers.attention.spec import Attention as Attention
    from truesparse.layers.bidirectional.spec import Bidirectional as Bidirectional
    from truesparse.layers.dropout.spec import Dropout as Dropout
    from truesparse.layers.dropout.spec import WordDropout as WordDropout
    from truesparse.layers.embedding.spec import Embedding as Embedding
    from truesparse.layers.gru.spec import GRU as GRU
    from truesparse.layers.layer_norm.spec import LayerNorm as LayerNorm
    from truesparse.layers.linear.spec import Linear as Linear
    from truesparse.layers.lstm.spec import LSTM as LSTM
    from truesparse.layers.mos.spec import MixtureOfSoftmaxes as MixtureOfSoftmaxes
    from truesparse.layers.on_lstm.spec import ONLSTM as ONLSTM
    from truesparse.layers.output.spec import MaskedSoftmax as MaskedSoftmax
    from truesparse.layers.output.spec import Softmax as Softmax
    from truesparse.layers.output.spec import SquaredError as SquaredError
    from truesparse.layers.pool.spec import Pool as Pool
    from truesparse.layers.positions.spec import Positions as Positions
    from truesparse.layers.registry import register as _register_layer
    from truesparse.layers.residual.spec import Residual as Residual
    from truesparse.layers.rhn.spec import RHN as RHN
    from truesparse.layers.standardize.spec import Standardize as Standardize
    from truesparse.model.chain import Chain as Chain
    from truesparse.model.loading import load as load
    from truesparse.model.model import Model as Model
    from truesparse.optim.adam import AdamSettings
    from truesparse.optim.averaging import ASGDSettings, NTASGDSettings, SNTASGDSettings
    from truesparse.optim.sgd import SGDSettings
    from truesparse.topology.method import Method as Method
    from truesparse.topology.methods import method as method
    from truesparse.topology.methods import register as _register_method
    from truesparse.training.evaluation import evaluate as evaluate
    from truesparse.training.evaluation import predict as predict
    from truesparse.training.fit import fit as fit
    from truesparse.training.logs import CsvLog as CsvLog
    from truesparse.training.logs import TensorBoardLog as TensorBoardLog
    from truesparse.training.reporter import Progress as Progress
    from truesparse.training.reporter import Reporter as Reporter
    from truesparse.training.reporter import RunInfo as RunInfo
    from truesparse.training.training import Training as Training

    register_layer = _register_layer
    adam = AdamSettings
    asgd = ASGDSettings
    nt_asgd = NTASGDSettings
    snt_asgd = SNTASGDSettings
    sgd = SGDSettings
    register_method = _register_method

__all__, __getattr__ = lazy(__name__)
