"""One request to the page with everything that answers it."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from stream_scorer.operations.console.access.oidc import OidcClient
from stream_scorer.operations.console.auth import Authenticator, Principal
from stream_scorer.operations.console.dead_letter_session import DeadLetterSession
from stream_scorer.operations.console.fair_slots import FairSlots
from stream_scorer.operations.console.models_session import ModelsSession
from stream_scorer.operations.console.rendering import Renderer
from stream_scorer.operations.console.snapshots.recorder import Recorder
from stream_scorer.operations.dead_letters.service import DeadLetterService
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.web.failed_logins import address_of


@dataclass(frozen=True)
class Console:
    """What all requests share. `slots`: for pages that read dead letters."""

    settings: Settings
    gate: Authenticator
    renderer: Renderer
    recorder: Recorder
    desk: DeadLetterSession
    slots: FairSlots
    models: ModelsSession
    oidc: OidcClient | None = None


@dataclass(frozen=True)
class RequestContext:
    """A visitor's request. `form`: what was posted, None for a page."""

    console: Console
    request: web.Request
    visitor: Principal
    form: MultiMapping[str] | None = None

    @property
    def query(self) -> MultiMapping[str]:
        return self.request.query

    @property
    def here(self) -> str:
        return str(self.request.rel_url)

    @property
    def visitor_key(self) -> str:
        """Tells visitors apart where they share what is scarce; it says nothing of what they may. A person whom the
        provider vouches for is the same from every address; a name that was typed, or none, is one for each address."""
        if self.visitor.is_vouched_for:
            return f"{self.visitor.name} by account"
        return f"{self.visitor.name or ''}@{address_of(self.request.remote)}"

    async def office(self) -> DeadLetterService:
        """The dead letters, for this visitor. Raises OpeningError while they are not open."""
        office = await self.console.desk.office()
        return office if self.visitor.name is None else office.acting_as(self.visitor.name)

    def page(self, template: str, *, section: str | None = None, status: int = 200, **fields: Any) -> web.Response:
        """A template as this visitor sees it."""
        desk = self.console.desk
        notices = list(fields.pop("notices", ()))
        if section == "/dead-letters" and desk.trouble:
            notices.append(desk.trouble)
        elif section == "/dead-letters" and desk.progress:
            notices.append(desk.progress)
        return self.console.renderer.page(
            template,
            status=status,
            visitor=self.visitor,
            section=section,
            here=self.here if self.request.method == "GET" else "/",
            notices=notices,
            **fields,
        )

    def message(self, status: int, heading: str, text: str, back: str | None = None) -> web.Response:
        """A page that holds one message."""
        return self.page("message.html", status=status, heading=heading, text=text, back=back)

    def opening(self, text: str) -> web.Response:
        """The page is not ready: it says so, and the browser asks again by itself."""
        response = self.message(503, "One moment", text)
        response.headers["Retry-After"] = "1"
        if self.request.method == "GET":
            response.headers["Refresh"] = "1"
        return response

    def must_act(self) -> web.Response:
        """This needs the right to act; the page says how to get it."""
        return self.page("must_act.html", status=403)

    def must_deploy(self) -> web.Response:
        """This needs the right to deploy models; the page says how to get it."""
        return self.page("must_deploy.html", status=403)
