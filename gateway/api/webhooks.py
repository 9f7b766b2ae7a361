"""The call that tries a client's webhook."""

from __future__ import annotations

from gateway.api import answers, telling
from gateway.api.bodies import WebhookTestBody
from gateway.api.calls import Call, refuse
from gateway.api.ports import Api
from gateway.api.reading import read
from gateway.web import Response, json_response


async def test(api: Api, call: Call) -> Response:
    """Tell the caller's own receiver; an administrator names whose."""
    body = read(call.request, WebhookTestBody)
    client = call.client.name
    if body.client is not None and body.client != client:
        if not call.client.administrator:
            raise refuse("forbidden", "Only an administrator may test the webhook of another client.")
        client = body.client
    tested = await api.webhooks.test(client)
    if tested is None:
        raise refuse("no-webhook", "The settings say nowhere to tell this client: clients.<name>.tell.")
    told = tested.why is None
    return json_response(
        answers.WebhookTested(
            client=client,
            id=tested.id,
            told=told,
            status=tested.status,
            seconds=round(tested.seconds, 3),
            says=telling.of_test(told, tested.status, tested.why, tested.seconds),
        )
    )
