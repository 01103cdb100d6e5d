"""The command palette in the look of our sheets."""

from __future__ import annotations

from textual.command import CommandPalette


class Palette(CommandPalette):
    """Textual's palette on a sheet under the strip; its style sheet is read when it is first opened."""

    DEFAULT_CSS = """
    Palette {
        & > Vertical, &:dark > Vertical { width: 92; max-width: 100%; margin-top: 1; background: transparent; }
        & #--input, & #--input.--list-visible { background: $surface; border: round $border; padding: 0 1; }
        & SearchIcon { display: none; }
        & CommandInput, & CommandInput:focus { border: none; height: 1; }
        & CommandList, & CommandList:focus {
            background: $surface; border: round $border; scrollbar-size-vertical: 1;
            scrollbar-background: $surface; max-height: 70vh;
        }
        & CommandList > .option-list--option { padding: 0 1; }
        & CommandList > .option-list--option-highlighted {
            background: $block-cursor-background; color: $block-cursor-foreground;
        }
        & LoadingIndicator { display: none; }
    }
    """
