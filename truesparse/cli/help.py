"""Help pages: flags in groups, the most used first, with examples at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from truesparse.training.config import Config

# The flags of training that most people use, in the order in which help shows them; the others of a group
# follow. A new setting needs no line here: `group_of` finds its group.
_FIRST: dict[str, tuple[str, ...]] = {
    "Data": ("data", "level", "label_column", "text_column", "token_column", "tag_column", "goal"),
    "Model": (
        *(
            "task",
            "vocab_size",
            "preset",
            "cell",
            "hidden_size",
            "last_hidden_size",
            "layers",
            "bidirectional",
            "embedding_size",
            "tied",
            "pooling",
        ),
        *(
            "output",
            "head",
            "experts",
            "dropout",
            "locked_dropout",
            "dropout_first",
            "dropout_latent",
            "dropout_weights",
            "init_scale",
            "token_scale",
        ),
    ),
    "Sparsity": (
        *("density", "embedding_density", "rank_exponent", "method", "pattern", "output_group"),
        *("distribution", "er_epsilon", "gates"),
        *("drop_fraction", "update_interval", "update_end", "importance", "start_topology", "start_values"),
    ),
    "Training": (
        *("epochs", "optimizer", "lr", "batch_size", "bptt", "seed", "threads", "max_steps", "max_minutes"),
        *("patience", "random_windows", "label_smoothing", "size_penalty", "change_penalty"),
        *("class_weight", "choose_by", "calibrate", "refit"),
    ),
    "Output": (
        *(
            "out",
            "resume",
            "json",
            "as_json",
            "json_file",
            "plot_file",
            "quiet",
            "print_config",
            "config_file",
            "log",
        ),
        *("eval_interval", "log_interval", "track_positions"),
    ),
}
_LAST = [*_FIRST][-1]
_OF_CHOICE = {"cell": "Model", "method": "Sparsity", "optimizer": "Training"}
_NARROW = 60  # columns of a terminal below which texts stand under their flags
_LEAST = 24


def group_of(name: str, task: type[Config]) -> str:
    """The group in which help shows a setting of a task.

    The setting's own `group` wins (see `truesparse.settings.setting`), then the list above, then what the
    setting belongs to: a cell, a method, an optimizer, the task itself, or all training.
    """
    from truesparse.training.chosen import choices  # which most commands do not need

    own: str = task.fields()[name].metadata["group"]
    if own:
        return own
    for group, names in _FIRST.items():
        if name in names:
            return group
    for choice, options in choices().items():
        if any(name in settings for settings in options.values()):
            return _OF_CHOICE[choice]
    return "Data" if name in vars(task).get("__annotations__", {}) else "Training"


class HelpFormatter(click.HelpFormatter):
    """Click's, as narrow as the terminal, and with bold headings where the terminal shows them."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None):
        columns = shutil.get_terminal_size().columns
        width = width or max(min(columns, max_width or 80) - 2, _LEAST)
        super().__init__(indent_increment, width, max_width)

    def write_heading(self, heading: str) -> None:
        """Write a heading."""
        shown = heading if no_color() else click.style(heading, bold=True)
        self.write(f"{'':>{self.current_indent}}{shown}:\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write flags and their texts."""
        super().write_dl(rows, col_max if self.width > _NARROW else 4, col_spacing)


class HelpContext(click.Context):
    """Click's, whose help is written by `HelpFormatter`."""

    formatter_class = HelpFormatter


def use_formatter(command: click.Command) -> click.Command:
    """Let `HelpFormatter` write the help of a command and of those in it; returns the command."""
    command.context_class = HelpContext
    for inner in getattr(command, "commands", {}).values():
        use_formatter(inner)
    return command


def no_color() -> bool:
    """Whether the user does not want colours, as https://no-color.org has it, or the terminal has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


class Command(click.Command):
    """A command that shows examples at the end of its help, and its flags in groups if it is told more.

    Parameters
    ----------
    examples : str
        Commands, one a line.
    tasks : sequence of type
        Whose settings are flags of the command.
    rest : str
        Group of flags that no other group has.
    """

    context_class = HelpContext

    def __init__(
        self,
        *given: Any,
        examples: str = "",
        tasks: Sequence[type[Config]] = (),
        rest: str = _LAST,
        **more: Any,
    ):
        super().__init__(*given, **more)
        self.examples, self.tasks, self.rest = examples, tasks, rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags."""
        if not self.tasks and self.rest == _LAST:
            return super().format_options(ctx, formatter)
        names = dict.fromkeys([*_FIRST] if self.rest in _FIRST else [self.rest, *_FIRST])
        groups: dict[str, list[tuple[int, tuple[str, str]]]] = {name: [] for name in names}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None and param.name is not None:
                group = _LAST if "--help" in param.opts else self._group(param.name)
                first = _FIRST.get(group, ())
                rank = first.index(param.name) if param.name in first else len(first)
                groups[group].append((rank, record))
        for group, flags in groups.items():
            if flags:
                with formatter.section(group):
                    formatter.write_dl([record for _, record in sorted(flags, key=lambda flag: flag[0])])

    def _group(self, name: str) -> str:
        for task in self.tasks:
            if name in task.fields():
                return group_of(name, task)
        return next((group for group, names in _FIRST.items() if name in names), self.rest)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, without wrapping them."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")
