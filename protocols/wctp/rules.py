"""What follows from a document alone: what is no request, times that cannot be, what is the same again."""

import hashlib
from datetime import datetime, timedelta

from protocols.wctp import messages as m
from protocols.wctp.messages import Code

_NO_REQUESTS = (
    m.Confirmation
    | m.SubmitClientResponse
    | m.SendMsgMultiResponse
    | m.ClientQueryResponse
    | m.PollResponse
    | m.VersionResponse
    | m.BindDomainAlias
)


def not_a_request(operation: m.Operation) -> m.Failure | None:
    """300 for an answer that nobody asked for, and for wctp-BindDomainAlias, which ended with 1.0."""
    if isinstance(operation, _NO_REQUESTS):
        return m.failure(Code.OPERATION_NOT_SUPPORTED, f"{operation.name} is not served here")
    return None


def impossible_times(control: m.ClientControl, now: datetime, horizon: timedelta) -> m.Failure | None:
    """Why a message cannot be delivered in its time: 406 before it may be, 408 its time is over, 407 further
    ahead than *horizon*. A deliveryAfter that is past means: now. *now* is aware."""
    after, before = control.deliver_after, control.deliver_before
    if after and before and after >= before:
        return m.failure(Code.CONTRADICTORY_TIMES, "deliveryBefore is not later than deliveryAfter")
    if before and before <= now:
        return m.failure(Code.TIME_PAST, "deliveryBefore is past")
    # A deliveryBefore far ahead asks for nothing that could not be done.
    if after and after - now > horizon:
        return m.failure(Code.TIME_OUT_OF_RANGE, "deliveryAfter is too far ahead")
    return None


def duplicate_key(request: m.SubmitRequest | m.SendMsgMulti, recipient: m.Recipient) -> str | None:
    """The same for what is one message to *recipient* sent again: senderID, messageID, transactionID,
    recipientID and payload. 64 hexadecimal digits.

    messageIDs repeat in the field, so none of these counts alone. None where both ids are empty: equal text
    alone is no duplicate. To be compared within a short window only (120 s).
    """
    control = request.control
    if not control.message_id and not control.transaction_id:
        return None
    parts = (
        request.originator.sender_id,
        control.message_id,
        control.transaction_id or "",
        recipient.recipient_id,
        *_content(request.payload),
    )
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)  # with lengths: no two lists look the same
    return digest.hexdigest()


def _content(payload: m.Payload) -> list[str | bytes]:
    match payload:
        case m.Alphanumeric(text=text):
            return ["text", text]
        case m.TransparentData(data=data, type=kind):
            return ["data", kind.value, data]
        case m.MultipleChoice(text=text, choices=choices):
            parts: list[str | bytes] = ["choices", text]
            for choice in choices:
                if isinstance(choice, m.Choice):
                    parts += ("choice", choice.text)
                else:
                    parts += ("pair", choice.send, "" if choice.reply is None else "=" + choice.reply)
            return parts
