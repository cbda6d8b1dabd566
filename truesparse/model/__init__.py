"""Models: chains of layers with their numbers."""

from typing import TYPE_CHECKING

from truesparse.lazy import lazy

if TYPE_CHECKING:
    from truesparse.model.chain import Chain as Chain
    from truesparse.model.initial import draw_values as draw_values
    from truesparse.model.initial import random_arena as random_arena
    from truesparse.model.initial import random_model as random_model
    from truesparse.model.loading import SavedModel as SavedModel
    from truesparse.model.loading import load as load
    from truesparse.model.loading import load_arena as load_arena
    from truesparse.model.loading import load_model as load_model
    from truesparse.model.model import Model as Model
    from truesparse.model.saving import save_model as save_model
    from truesparse.model.workspace import State as State
    from truesparse.model.workspace import Workspace as Workspace

__all__, __getattr__ = lazy(__name__)
