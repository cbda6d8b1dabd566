"""Models: chains of layers with their numbers."""

from truesparse.model.initial import draw_values, random_arena, random_model
from truesparse.model.model import Model, State, Workspace

__all__ = ["Model", "State", "Workspace", "draw_values", "random_arena", "random_model"]
