"""What every screen of slmtui shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, cast

from textual.screen import Screen

from slmtui.core.catalog import LocalModel
from slmtui.lab.services import Services
from slmtui.ui.commands import Place, commands_of

if TYPE_CHECKING:
    from textual.binding import ActiveBinding

    from slmtui.ui.app import SlmtuiApp

_WIDTHS = [(0, "-narrow"), (100, "-wide")]
_HEIGHTS = [(0, "-short"), (20, "-tall")]


class LabScreen(Screen[None]):
    """A screen that reaches the lab's services and the marked models through the app."""

    PLACE: ClassVar[Place] = "app"
    """Which part of the command table, and which name in the strip, belongs to this screen."""
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    _told_reasons: tuple[str | None, ...] | None = None

    @property
    def lab_app(self) -> SlmtuiApp:
        """The running app, typed."""
        return cast("SlmtuiApp", self.app)

    @property
    def services(self) -> Services:
        """The lab's services."""
        return self.lab_app.services

    @property
    def marked(self) -> tuple[LocalModel, ...]:
        """The models that are marked on the Models screen, in the order of marking."""
        return self.lab_app.marked

    def say(self, text: str, severity: Literal["information", "warning", "error"] = "information") -> None:
        """Show a short notice; `text` is never markup."""
        self.notify(text, severity=severity, markup=False)

    def reason(self, action: str) -> str | None:
        """Why this action can't act now, in a sentence; None when it can. Screens answer for their own."""
        return None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey the key of an action that has a reason not to act."""
        return None if self.reason(action) else True

    def refresh_keys(self) -> None:
        """Draw the footer anew if another key can act now, or can't any more; cheap when nothing changed."""
        reasons = tuple(self.reason(command.action) for command in commands_of(self.PLACE))
        if reasons != self._told_reasons:
            self._told_reasons = reasons
            self.refresh_bindings()

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """Textual's active bindings, where a greyed key's tooltip says why it is grey."""
        found = super().active_bindings
        for key, active in found.items():
            if active.node is self and not active.enabled and (reason := self.reason(active.binding.action)):
                found[key] = active._replace(tooltip=reason)
        return found
