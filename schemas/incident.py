"""An incident, as a webhook receives it: what one alerting system is told of the frictions under one `dedupkey`.

CloudEvents 1.0 in structured JSON. `id` is the same when the same thing is told again, so that a
receiver which drops known ids is told once; `data.dedupkey` is the same from the opening to the end.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from schemas.friction import Severity
from schemas.touchpoint import Id, Time, Word


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid")


class IncidentData(_Wire):
    """What is known about the incident now."""

    dedupkey: str = Field(description="names the incident; of a storm: `storm:` and the groupkey")
    groupkey: str
    state: Literal["open", "resolved"]
    kind: Word
    severity: Severity = Field(description="the highest of its frictions so far")
    summary: str = Field(description="one line that a person can read")
    opened_at: Time = Field(description="when it happened")
    resolved_at: Time | None = None
    storm: bool = Field(description="it stands for many incidents of one groupkey, which are not told one by one")
    incidents: Annotated[int, Field(ge=1)] = Field(1, description="how many it stands for so far")
    friction_id: UUID = Field(description="the friction that opened it; `volvere explain` tells the rest")
    customer_id: Id | None = None
    channel: Word | None = None
    queue: Id | None = None
    topic: Id | None = None
    product: Id | None = None
    asset_id: Id | None = None
    release: Id | None = None


class IncidentEvent(_Wire):
    """The CloudEvents envelope."""

    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: Literal["volvere.incident.opened", "volvere.incident.updated", "volvere.incident.resolved"]
    subject: str = Field(description="the dedupkey")
    time: Time = Field(description="when it happened")
    datacontenttype: Literal["application/json"]
    dataschema: Literal["urn:volvere:incident:1"]
    data: IncidentData
