"""A journey snapshot: what one unbroken run of a subject's touchpoints amounts to so far."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.friction import Count
from schemas.touchpoint import Currency, Id, Outcome, Time, Word


class JourneySnapshot(BaseModel):
    """The value on the topic `journeys`. The greatest (generation, revision) of a journey_id holds."""

    model_config = ConfigDict(extra="forbid")

    journey_id: str = Field(description="the explicit id, else made from the earliest touchpoint")
    subject: str
    customer_id: Id | None
    state: Literal["active", "merged"] = Field(
        description="merged: a late touchpoint joined it to another, see merged_into"
    )
    merged_into: str | None = Field(None, description="null where its touchpoints were all cancelled")
    started_at: Time
    ended_at: Time = Field(description="its last touchpoint so far")
    touchpoints: Count = Field(description="0 once it is merged: they are the other journey's")
    contacts: Count = Field(description="contacts that begin in it")
    first_channel: Word
    last_channel: Word
    path: Annotated[list[Word], Field(max_length=20)] = Field(
        default_factory=list, description="its channels in order, equal neighbours once; the first 20"
    )
    outcome: Outcome | None = Field(None, description="the latest that is known")
    amounts: dict[Currency, Decimal] = Field(
        default_factory=dict, description="purchases, orders and renewals less refunds, by currency; XXX: without one"
    )
    came_back: bool = Field(
        False, description="it begins of the customer's own will, 1 to 90 days after a friction in an earlier journey"
    )
    frictions: Count = Field(description="frictions anchored in it, shadow ones not counted")
    score: Annotated[float, Field(ge=0, le=100)] = Field(description="friction score, 0 (none) to 100")
    generation: Count
    revision: Annotated[int, Field(ge=1)]
    replay: bool = False
