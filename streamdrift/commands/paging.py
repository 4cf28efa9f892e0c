"""Who pages, and the schema registry: tried for `streamdrift check`, without paging anybody.

Where that is asked for, each is sent a test notification.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple
from uuid import uuid4

from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError
from streamdrift.plain import plain
from streamdrift.schema_registry import SchemaRegistry
from streamdrift.sinks.alertmanager import (
    AlertmanagerSettings,
    alerts_url,
    encode_alerts,
    ended,
    firing,
)
from streamdrift.sinks.answers import Answer, Verdict
from streamdrift.sinks.endpoint import Endpoint, origin_of
from streamdrift.sinks.notify import Notifier, NotifySettings
from streamdrift.sinks.sample import Step, sample
from streamdrift.sinks.trying import ALERTMANAGER, WEBHOOK, ask_alertmanager, reach_webhook
from streamdrift.sinks.webhook import Webhook, WebhookSettings
from streamdrift.unreached import Keys, cure_of_status

_BOTH: tuple[Step, ...] = ("opened", "resolved")
_UNDERSTOOD = "address understood, nothing sent"


class Sample(NamedTuple):
    """What is sent: the opening of a test incident, and its end."""

    deployment: str
    incident: str
    now: int


class Contact(NamedTuple):
    """Somebody who can be asked whether all is right: what each returns is what was said.

    Both raise ConnectionsError where it is not; `send` is None of who pages nobody.
    """

    name: str
    place: str
    reach: Callable[[], str]
    send: Callable[[], str] | None = None


class Said(NamedTuple):
    """What one said."""

    name: str
    place: str
    answer: str
    """Empty where it has failed."""
    problem: str = ""
    cure: str | None = None


def contacts_of(settings: Settings) -> Sequence[Contact]:
    """Return all who can be asked.

    Raises SettingsError where the address of a notification is none.
    """
    return tuple(_contacts(settings, Sample(settings.name, uuid4().hex, time.time_ns() // 1_000)))


def _contacts(settings: Settings, test: Sample) -> Iterator[Contact]:
    registry, alerts = settings.source.schema_registry, settings.alerts
    if registry.url is not None:
        client = SchemaRegistry(registry)
        yield Contact("schema registry", origin_of(registry.url), partial(_subjects, client))
    if alerts.alertmanager is not None:
        target = alerts.alertmanager
        for url in target.url:
            yield Contact(
                "alertmanager",
                origin_of(url),
                partial(ask_alertmanager, url, target),
                partial(_send_to_alertmanager, url, target, test),
            )
    if alerts.webhook is not None:
        webhook = alerts.webhook
        yield Contact(
            "webhook",
            origin_of(webhook.address()),
            partial(reach_webhook, webhook),
            partial(_send_to_webhook, webhook, test),
        )
    for number, each in enumerate(alerts.notify, 1):
        place = Notifier(each, None).place
        send = partial(_send_to_people, each, test)
        yield Contact(f"notify.{each.name or number}", place, lambda: _UNDERSTOOD, send)


def tried(contact: Contact, *, send: bool) -> Said:
    """Return what one says; where that is right, and `send`, what it says to a test."""
    try:
        answer = contact.reach()
        if send and contact.send is not None:
            answer = contact.send()
    except ConnectionsError as error:
        return Said(contact.name, contact.place, "", plain(str(error)), error.hint)
    return Said(contact.name, contact.place, plain(answer))


def _subjects(client: SchemaRegistry) -> str:
    count = client.subjects()
    return f"{count:,} subject" + ("s" if count != 1 else "")


def _send_to_alertmanager(url: str, settings: AlertmanagerSettings, test: Sample) -> str:
    """Send an alert and then its end."""
    opened = sample(*test)
    alerts = (
        firing(opened, test.now, settings.resend, None),
        ended(opened, test.now, test.now, None),
    )
    what = f"Alertmanager at {origin_of(url)}"
    with closing(Endpoint(alerts_url(url), settings)) as endpoint:
        for alert in alerts:
            headers = {"content-type": "application/json"}
            answer = endpoint.post(encode_alerts([alert]), headers)
            _check(answer, what, ALERTMANAGER)
    return f"has taken a test alert, and its end (status {answer.status})"


def _send_to_webhook(settings: WebhookSettings, test: Sample) -> str:
    """Post an opening and then its end."""
    what = f"the webhook at {origin_of(settings.address())}"
    with closing(Webhook(settings, time.time)) as webhook:
        for step in _BOTH:
            answer = webhook.send(sample(*test, step))
            _check(answer, what, WEBHOOK)
    return f"has taken a test alert, and its end (status {answer.status})"


def _check(answer: Answer, what: str, keys: Keys) -> None:
    """Raise ConnectionsError where a test was not taken."""
    if answer.verdict is not Verdict.TAKEN:
        cure = cure_of_status(answer.status, keys)
        raise ConnectionsError(f"{what} has not taken a test alert: {answer.detail}", cure)


def _send_to_people(settings: NotifySettings, test: Sample) -> str:
    """Send a message, and the end of it where an incident would stay open."""
    notifier = Notifier(settings, None)
    steps = _BOTH if notifier.has_incidents else _BOTH[:1]
    for step in steps:
        answer = notifier.send(sample(*test, step))
        if answer.verdict is not Verdict.TAKEN:
            raise ConnectionsError(
                f"a test message by {notifier.place} was not taken: {answer.detail}",
                "`apprise -vv -b test ADDRESS` shows what the service says",
            )
    return "has taken a test message" + (", and its end" if len(steps) > 1 else "")
