"""Every sentence that people read about a message or a link: one module, so that a word means one thing.

Never in here: delivered, delivery, attempt, leg, lane, level, lease, breaker, endpoint, incident, client,
device. People are named in full, because a hospital has two Alices. Times are the site's.

What a timeline entry says depends on its kind and the data that the store documents; where some are
missing, the sentence says less.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, assert_never

import msgspec

from gateway.api.ports import LinkStatus, PathDown
from gateway.api.times import clock, spell, zone_of
from gateway.lifecycle import State
from gateway.lines import LineStatus
from gateway.model import Instant, Leg, LinkName, MessageClass, Trouble, seconds_between
from gateway.outcome import Level
from gateway.settings.types import Settings
from gateway.store.base import ANSWERED, DeliveryRow, Ending, EventRow, IncidentRow, MessageRow

MAX_NAMED = 3  # people named in one sentence; the others are counted


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What a sentence needs to know beside the message: names, links, modem lines, paths that are down, the
    site's zone, and the time."""

    settings: Settings
    links: dict[LinkName, LinkStatus]
    lines: tuple[LineStatus, ...]
    down: tuple[PathDown, ...]
    now: Instant
    zone: tzinfo

    def time(self, at: Instant) -> str:
        return clock(at, self.zone, self.now)

    def name(self, person: str) -> str:
        """A person as people say it."""
        found = self.settings.people.get(person)
        return person if found is None else found.name

    def way(self, link: str) -> str:
        """``Spok (phone)``; just ``Mail`` where a carrier has one link only."""
        key, _, way = link.partition(".")
        carrier = self.settings.carriers.get(key)
        only = carrier is not None and len(carrier.links) == 1
        return carrier_name(link) if only or not way else f"{carrier_name(link)} ({way})"

    def whose(self, person: str | None, device: str | None, address: str) -> str:
        """``Alice Moreau's pager``, or the bare address."""
        if person is None:
            return address
        return f"{self.name(person)}'s {device}" if device else self.name(person)

    def of(self, row: DeliveryRow) -> str:
        """Whose copy it is."""
        return self.whose(row.person, row.device, row.address)

    def ceiling(self, link: LinkName) -> Level | None:
        found = self.links.get(link)
        return None if found is None else found.ceiling


def around(
    settings: Settings,
    links: tuple[LinkStatus, ...],
    now: Instant,
    *,
    lines: tuple[LineStatus, ...] = (),
    down: tuple[PathDown, ...] = (),
) -> Around:
    return Around(
        settings=settings,
        links={status.link: status for status in links},
        lines=lines,
        down=down,
        now=now,
        zone=zone_of(settings.site.zone),
    )


def carrier_name(link: str) -> str:
    """``Spok`` of ``spok.web``; three letters and less are an abbreviation: ``SMS``."""
    key = link.partition(".")[0]
    return key.upper() if len(key) <= 3 else key[:1].upper() + key[1:]


PATHS = {
    "internet": "The Internet",
    "phone": "The phone network",
    "lan": "The local network",
    "cell": "The mobile network",
}


def of_cut(path: str, links: tuple[LinkName, ...], until: str | None, refuse: bool) -> str:
    """That a path is cut, *until* when, and what that means for the *links* that use it."""
    lasting = "" if until is None else f" until {until}"
    whom = f"nothing goes out by {', '.join(links)}" if links else "no way out uses it"
    how = ", and whoever tries is refused at once" if links and refuse else ""
    return sentence(f"{PATHS[path]} is cut{lasting}: {whom}{how}")


def of_mended(path: str, links: tuple[LinkName, ...]) -> str:
    """That a path is whole, and for whom."""
    return sentence(f"{PATHS[path]} is whole" + (f": {', '.join(links)} can go out" if links else ""))


def sentence(*parts: str) -> str:
    """Parts joined by a blank, each ending as a sentence does."""
    return " ".join(part if part[-1] in ".!?…" else part + "." for part in parts if part)


# ---------------------------------------------------------------- the whole message


def of_message(row: MessageRow, next_says: str, a: Around) -> str:
    """The first line of everything: where it stands, whether anybody has it, what comes next."""
    if row.ending is not None:
        return _of_ending(row, row.ending, a)
    if row.accepted_by is not None:
        return f"{a.name(row.accepted_by)} has it."
    nobody = "Nobody has accepted" if row.until is Level.ACKNOWLEDGED else ""
    muted = row.muted_until is not None and row.muted_until > a.now
    quiet = f"Muted until {a.time(row.muted_until or a.now)}" if muted else ""
    return sentence(*_of_open(row, a), nobody, quiet, next_says)


def _of_ending(row: MessageRow, ending: Ending, a: Around) -> str:
    match ending:
        case "confirmed":
            if row.accepted_by is not None:
                took = "" if row.accepted_at is None else f", after {_after(row, row.accepted_at)}"
                return f"{a.name(row.accepted_by)} has it{took}."
            taken = [d for d in row.deliveries if d.state is State.TAKEN]
            far = _LEVEL[row.level]
            who = carrier_name(taken[0].link) if taken else "the carrier"
            asked = "further than" if row.level > row.until else "as far as"
            return f"Done: {far.format(carrier=who)}, which is {asked} was asked."
        case "unanswered":
            people = {d.person or d.address for d in row.deliveries}
            paged = f"{len(people)} were paged" if len(people) != 1 else "One was paged"
            return f"NOBODY HAS ACCEPTED. {paged}, and nobody answered."
        case "failed":
            why = next((d for d in reversed(row.deliveries) if d.state is State.FAILED), None)
            return sentence("Could not be sent", "" if why is None else of_delivery(why, a))
        case "expired":
            doubtful = any(d.dup_risk or d.doubts for d in row.deliveries)
            return "Too late. It may have arrived all the same." if doubtful else "Too late, not sent."
        case "cancelled":
            event = next((e for e in reversed(row.timeline) if e.kind in ("stopped", "resolved")), None)
            return "Stopped." if event is None else sentence(of_event(event, row, a))
        case _:
            assert_never(ending)


_LEVEL = {
    Level.STORED: "it is saved",
    Level.HANDED_OVER: "{carrier} has it",
    Level.IN_PROGRESS: "{carrier} has it and is still trying",
    Level.ON_DEVICE: "it arrived",
    Level.READ: "it was opened",
    Level.ACKNOWLEDGED: "somebody has it",
}


def _after(row: MessageRow, at: Instant) -> str:
    return spell(seconds_between(row.at, at))


def _of_open(row: MessageRow, a: Around) -> list[str]:
    """What has been reached so far, best first: each person once."""
    best: dict[str, DeliveryRow] = {}
    for d in row.deliveries:
        key = d.person or d.address
        if key not in best or _rank(d) > _rank(best[key]):
            best[key] = d
    if not best:
        return ["Saved; nobody is being paged yet"]
    ordered = sorted(best.values(), key=_rank, reverse=True)
    parts = [of_delivery(d, a) for d in ordered[:MAX_NAMED]]
    if len(ordered) > MAX_NAMED:
        parts.append(f"And {len(ordered) - MAX_NAMED} more")
    return parts


_ORDER = {
    State.HELD: 7,
    State.TAKEN: 6,
    State.BEGUN: 5,
    State.DOUBT: 4,
    State.WAITING: 3,
    State.FAILED: 2,
    State.EXPIRED: 1,
    State.CANCELLED: 0,
}


def _rank(d: DeliveryRow) -> tuple[int, int]:
    return (_ORDER[d.state] if d.setback is None else 1, d.level)


# ---------------------------------------------------------------- one copy on its way


def of_delivery(d: DeliveryRow, a: Around) -> str:
    """Where one copy stands."""
    way, whose = a.way(d.link), a.of(d)
    if d.setback is not None:
        return f"{carrier_name(d.link)} took it for {whose}, but it did not arrive: {d.setback}"
    match d.state:
        case State.WAITING:
            return _of_waiting(d, a)
        case State.BEGUN:
            return f"Sending {_copy(d)}to {way} for {whose}"
        case State.DOUBT:
            return f"Not sure that {way} took it for {whose}; it may have arrived"
        case State.HELD:
            return f"It may have gone to {whose}. Send again (may come twice) or leave it?"
        case State.TAKEN:
            return _of_taken(d, a)
        case State.FAILED if d.reason == "quarantined":
            return (
                f"Stopped for {whose}: the record is damaged. Never sent; tell IT, and send it again by hand"
            )
        case State.FAILED if d.reason == "left":
            return f"Left as it was for {whose}; it may have arrived by {way}"
        case State.FAILED:
            return f"{way} did not take it for {whose}" + (f": {d.why}" if d.why else "")
        case State.EXPIRED:
            maybe = "; it may have arrived" if d.dup_risk or d.doubts else ""
            return f"Too late for {whose}, by {way}{maybe}"
        case State.CANCELLED:
            return f"Not needed: the copy for {whose} by {way} was stopped"
        case _:
            assert_never(d.state)


def _of_waiting(d: DeliveryRow, a: Around) -> str:
    way, whose = a.way(d.link), a.of(d)
    if d.reason == "paused":
        return f"Stopped for {whose} until somebody continues it"
    if d.reason == "kept_quiet":
        until = "" if d.due is None else f" until {a.time(d.due)}"
        return f"Kept{until}: quiet hours of {whose}"
    soon = d.due is None or d.due <= a.now
    when = "as soon as it is its turn" if soon else f"at {a.time(d.due or a.now)}"
    why = f" ({d.why})" if d.why else ""
    if d.dup_risk:
        return f"A second copy for {whose} goes to {way} {when}{why}"
    if d.tries or d.connects:
        return f"{way} goes on {when} for {whose}, try {d.tries + d.connects + 1}{why}"
    return f"Saved, not sent yet. {way} is tried {when} for {whose}"


def _copy(d: DeliveryRow) -> str:
    return "a second copy " if d.dup_risk else ""


def _of_taken(d: DeliveryRow, a: Around) -> str:
    carrier, whose = carrier_name(d.link), a.of(d)
    if d.reason == "assumed" and d.level <= Level.HANDED_OVER:
        return f"Probably sent to {whose}: {carrier} never confirmed and cannot be asked"
    match d.level:
        case Level.STORED | Level.HANDED_OVER:
            return f"{carrier} has it for {whose}"
        case Level.IN_PROGRESS:
            return f"{carrier} is still trying {whose} (off or no signal?)"
        case Level.ON_DEVICE:
            return f"It arrived on {whose}. Not proof that it was seen"
        case Level.READ:
            return f"It was opened on {whose}"
        case Level.ACKNOWLEDGED:
            return f"It was accepted on {whose}"
        case _:
            assert_never(d.level)


# ---------------------------------------------------------------- one line of the timeline


def of_event(event: EventRow, row: MessageRow, a: Around) -> str:
    """What happened, in the past tense."""
    data = event.data
    d = next((d for d in row.deliveries if d.delivery == event.delivery), None)
    whose = "" if d is None else a.of(d)
    link = _text(data, "link") or ("" if d is None else d.link)
    way = a.way(link) if link else "the carrier"
    by = _text(data, "by")
    who = a.name(by) if by else ""
    why = _text(data, "why")
    match event.kind:
        case "stored":
            return sentence(f"Saved on disk, from {row.client}", *_of_order(row, a)).rstrip(".")
        case "joined":
            other = _text(data, "ref")
            return "Added to an alert that was open already" + (f": {other}" if other else "")
        case "leg_opened":
            return sentence(f"Paging {whose or 'the next one'} by {way}", _of_opening(data, a)).rstrip(".")
        case "attempt":
            return _of_attempt(data, way, whose, link, a)
        case "level":
            return _of_level(data, whose or "it", carrier_name(link) if link else "The carrier", d)
        case "setback":
            return f"{carrier_name(link) if link else 'The carrier'}: it did not reach {whose or 'it'}" + (
                f": {why}" if why else ""
            )
        case "reply":
            return f"Answer from {whose or who or 'somebody'}: “{_text(data, 'text')}”"
        case "cancelled":
            reason = _NEEDLESS.get(why, "")
            return f"Not needed: the copy for {whose or 'it'} by {way} was stopped" + (
                f" ({reason})" if reason else ""
            )
        case "stopped":
            return ("Stopped" + (f" by {who}" if who else "")) + (f": {why}" if why else "")
        case "resolved":
            return f"The trouble is over, says {who or 'the sender'}" + (f": {why}" if why else "")
        case "muted":
            until = data.get("until")
            when = f" until {a.time(Instant(until))}" if isinstance(until, int) else ""
            return f"Muted{when}" + (f" by {who}" if who else "") + ": nobody else is paged before"
        case "unmuted":
            return "Not muted any more" + (f", says {who}" if who else "")
        case "paused":
            return f"Held back by {who}" if who else "Held back"
        case "resumed":
            return f"Continued by {who}" if who else "Continued"
        case "retried":
            return f"{who or 'Somebody'} sends {'a second copy' if d and d.dup_risk else 'it again'}" + (
                f" to {whose} by {way}" if whose else f" by {way}"
            )
        case "pursued":
            return _PURSUED.get(why, "Looked what to do next")
        case "late_proof":
            return f"{way} took it{' for ' + whose if whose else ''} after all"
        case "decided":
            what = "send it again (may come twice)" if data.get("again") else "leave it"
            return f"{who or 'Somebody'} decided: {what}"
        case "acknowledged":
            note, recorded = _text(data, "note"), _text(data, "recorded_by")
            written = f", written down by {a.name(recorded)}" if recorded and recorded != by else ""
            if recorded.startswith(ANSWERED):
                written = f", by an answer over {a.way(recorded.removeprefix(ANSWERED))}"
            said = f": “{note}”" if note else ""
            return f"{who or 'Somebody'} has it{written}, after {_after(row, event.at)}{said}"
        case "expired":
            doubtful = data.get("possibly_sent") or (d is not None and (d.dup_risk or d.doubts))
            maybe = "; it may have arrived" if doubtful else ", not sent"
            return f"Too late for {whose}{maybe}" if whose else f"Too late{maybe}"
        case "doubt_settled":
            return _of_settled(_text(data, "then"), whose, way)
        case "quarantined":
            return "Stopped: the record is damaged. Never sent; tell IT, and send it again by hand"
        case "untold":
            return f"The sender, {_text(data, 'client')}, could not be told" + (f": {why}" if why else "")
        case "ended":
            return _ENDED.get(_text(data, "ending") or "", "It ended")
        case _:  # a newer store may know more kinds; a line too much is better than none
            return event.kind.replace("_", " ").capitalize()


_OPENED = {
    "next_leg": "The way before did not work",
    "waited": "The way before took too long",
    "link_removed": "The way before left the settings",
    "path_down": "The way before has no connection",
    "setback": "The first copy did not arrive",
    "doubt": "The first copy may not have arrived",
    "retry": "Somebody asked for it again",
}

_AFTER = {
    "refused": "{way} refused it",
    "later": "{way} could not take it now",
    "not_reached": "{way} could not be reached",
    "waited": "{way} has not taken it for {seconds}",
    "maintenance": "{way} is in maintenance",
    "switched_off": "{way} is switched off",
    "link_removed": "{way} left the settings",
    "expired": "It was too late for {way}",
    "cancelled": "The copy by {way} was stopped",
    "setback": "The copy by {way} did not arrive",
    "doubt": "The copy by {way} may not have arrived",
}


def _of_opening(data: dict[str, Any], a: Around) -> str:
    """Why a way is tried now: what became of the one before it."""
    why, after, path = _text(data, "why"), _text(data, "after"), _text(data, "path")
    if why == "path_down" and path == "internet":
        return _internet_down(a, _text(data, "link"))
    if why not in _AFTER or not after:
        return _OPENED.get(why, "")
    seconds = data.get("waited")
    waited = spell(seconds) if isinstance(seconds, int | float) else "too long"
    said = _AFTER[why].format(way=a.way(after), seconds=waited)
    return f"{said}; what does not go over the {_PATHS.get(path, path)} comes first" if path else said


_PATHS = {"internet": "Internet", "phone": "phone", "cell": "mobile network", "lan": "house network"}
_BY = {"phone": "by phone", "cell": "by mobile network"}


def _internet_down(a: Around, link: str) -> str:
    """Why *link* is gone by, and not the Internet."""
    ways = sum(
        link.path == "internet" for carrier in a.settings.carriers.values() for link in carrier.links.values()
    )
    own = a.settings.link(LinkName(link))
    by = _BY.get("" if own is None else own.path, "another way")
    if ways == 1:
        return f"The only way out over the Internet rests; going {by} at once"
    return f"The Internet is down (all {ways} ways out by it rest); going {by} at once"


_TROUBLES: dict[Trouble, str] = {
    "failed": "failed moments before",
    "rests": "was resting",
    "maintenance": "was in maintenance",
    "switched_off": "was switched off",
}


def _of_order(row: MessageRow, a: Around) -> list[str]:
    """Why a way came first, if it is not the first of the settings; and what was passed over."""
    said: dict[str, None] = {}
    for leg in row.plan:
        if leg.trouble is None:
            continue
        same = (other for other in row.plan if _chain_of(other) == _chain_of(leg) and other.trouble is None)
        first = next(same, None)
        if first is not None:
            said[f"{a.way(first.link)} first, as {a.way(leg.link)} {_TROUBLES[leg.trouble]}"] = None
        elif leg.place == 0:
            said[f"{a.way(leg.link)} {_TROUBLES[leg.trouble]}"] = None
    first_opened = [
        row.plan[d.leg] for d in row.deliveries if d.opened_at == row.at and d.leg < len(row.plan)
    ]
    ways = {leg.path for leg in first_opened}
    around = row.message_class.pressing and ways and "internet" not in ways
    if around and any(leg.path == "internet" and leg.trouble == "rests" for leg in row.plan):
        return [_internet_down(a, first_opened[0].link)]
    return list(said)[:MAX_NAMED]


def _chain_of(leg: Leg) -> tuple[int, int, int]:
    return leg.track, leg.item, leg.chain


def of_untried(row: MessageRow, a: Around) -> str:
    """Ways that were not tried, and why; nothing while they may still be."""
    opened = {d.leg for d in row.deliveries}
    left = list(dict.fromkeys(a.way(leg.link) for n, leg in enumerate(row.plan) if n not in opened))
    if row.ending is None or not left:
        return ""
    names = ", ".join(left[:MAX_NAMED]) + (
        f" and {len(left) - MAX_NAMED} more" if len(left) > MAX_NAMED else ""
    )
    why = {
        "confirmed": "it was not needed",
        "unanswered": "a copy had gone out before",
        "failed": "the page ended before",
        "expired": "the time was over before",
        "cancelled": "the page was stopped before",
    }[row.ending]
    return f"Not tried: {names}; {why}"


_NEEDLESS = {
    "acknowledged": "somebody has it",
    "incident_confirmed": "somebody has it",
    "incident_unanswered": "nobody answered in time",
    "incident_failed": "no way worked",
    "incident_expired": "too late",
    "incident_cancelled": "the page was stopped",
    "cancelled": "the page was stopped",
    "link_removed": "this way left the settings",
}

_PURSUED = {
    "waited": "It took too long; the next way is tried",
    "next_leg": "The next way is tried",
}

_ENDED = {
    "confirmed": "Done",
    "unanswered": "NOBODY HAS ACCEPTED",
    "failed": "Could not be sent",
    "expired": "Too late, not sent",
    "cancelled": "Stopped",
}


def _of_attempt(data: dict[str, Any], way: str, whose: str, link: str, a: Around) -> str:
    why = _text(data, "why") or _text(data, "code")
    told = f": {why}" if why else ""
    due = data.get("due")
    again = f"; again at {a.time(Instant(due))}" if isinstance(due, int) else ""
    target = f" for {whose}" if whose else ""
    if (missing := data.get("missing")) and isinstance(missing, list | tuple):
        target += f" (part {missing[0]} of {data.get('parts')})"
    match _text(data, "outcome"):
        case "taken":
            warning = _text(data, "warning")
            ceiling = a.ceiling(LinkName(link))
            proof = (
                "This way cannot report back"
                if ceiling is Level.HANDED_OVER
                else "Not proof that it got there"
            )
            in_parts = f" in {data['parts']} parts" if isinstance(data.get("parts"), int) else ""
            return sentence(f"{way} took it{target}{in_parts}", f"But: {warning}" if warning else "", proof)
        case "refused":
            return f"{way} refused it{target}{told}"
        case "later":
            return f"{way} could not take it now{target}{told}{again}"
        case "not_sent" if _text(data, "code") in ("maintenance", "suspended", "draining"):
            return f"{way} was not tried{target}{told}"
        case "not_sent":
            return f"Could not reach {way}{target}{told}; nothing was sent{again}"
        case "in_doubt":
            return f"Not sure that {way} took it{target}{told}. It may have arrived"
        case _:
            return f"Tried {way}{target}{told}{again}"


def _of_level(data: dict[str, Any], whose: str, carrier: str, d: DeliveryRow | None) -> str:
    match level_of(data) or (d.level if d is not None else Level.STORED):
        case Level.STORED:
            return "Saved"
        case Level.HANDED_OVER:
            return f"{carrier} has it for {whose}. Not proof that it got there"
        case Level.IN_PROGRESS:
            return f"{carrier} is still trying {whose} (off or no signal?)"
        case Level.ON_DEVICE:
            return f"It arrived on {whose}. Not proof that it was seen"
        case Level.READ:
            return f"It was opened on {whose}"
        case Level.ACKNOWLEDGED:
            return f"It was accepted on {whose}"
        case level:
            assert_never(level)


def _of_settled(policy: str, whose: str, way: str) -> str:
    target = f" for {whose}" if whose else ""
    match policy:
        case "resend":
            return f"{way} never confirmed{target}; a second copy goes out"
        case "assume":
            return f"Probably sent{target}: {way} never confirmed and cannot be asked"
        case "hold":
            return f"{way} never confirmed{target}; somebody must decide whether it is sent again"
        case _:
            return f"{way} took it{target} after all"


def level_of(data: dict[str, Any]) -> Level | None:
    """The level in an event's data, as its word or as its number."""
    value = data.get("level")
    if isinstance(value, str) and value.upper() in Level.__members__:
        return Level[value.upper()]
    return Level(value) if isinstance(value, int) else None


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------- verbs


def of_changed(verb: str, changed: int, row: MessageRow, a: Around) -> str:
    """What a verb did to a message."""
    copies = "one copy" if changed == 1 else f"{changed} copies"
    if any(d.dup_risk and d.state is State.WAITING for d in row.deliveries):
        copies += " (may come twice)"
    match verb:
        case "acknowledge":
            who = "Somebody" if row.accepted_by is None else a.name(row.accepted_by)
            return f"{who} has it." if changed else f"{who} had it already."
        case "cancel":
            return "Stopped. What was being sent just now may still arrive." if changed else "It had ended."
        case "retry":
            return f"Sending again: {copies}." if changed else "Nothing to send again."
        case "pause":
            return f"Held back: {copies}." if changed else "Nothing was waiting."
        case "continue":
            return f"Goes on: {copies}." if changed else "Nothing was held back."
        case _:
            return f"Decided for {copies}." if changed else "Nothing waits for a decision."


def of_incident_changed(verb: str, changed: int, row: IncidentRow, a: Around) -> str:
    """What a verb did to all that was sent for one trouble."""
    main = row.main
    match verb:
        case "acknowledge":
            return of_changed("acknowledge", changed, main, a)
        case "resolve":
            stopped = "Over: nobody else is paged. What was being sent just now may still arrive."
            return stopped if changed else "It had ended."
        case _:
            if main.muted_until is None:
                return "Not muted any more."
            return f"Nobody else is paged before {a.time(main.muted_until)}. What was begun goes on."


# ---------------------------------------------------------------- links


def of_link(status: LinkStatus, a: Around) -> str:
    """How one way out does."""
    way, by = a.way(status.link), status.by or "somebody"
    why = f": {status.why}" if status.why else ""
    match status.state:
        case "working" | "idle" if status.last_taken_at is not None:
            ago = spell(seconds_between(status.last_taken_at, a.now))
            return f"{way} works; it last took a page {ago} ago."
        case "working" | "idle":
            return f"{way} has not been used yet."
        case "resting":
            if status.breaker is None:
                return f"{way} is resting."
            left = spell(seconds_between(a.now, status.breaker.until))
            return (
                f"{way} is resting {left} after {status.breaker.failures} failures; "
                f"next test at {a.time(status.breaker.until)}."
            )
        case "maintenance":
            over = status.maintenance_until
            until = "" if over is None else f" until {a.time(over)}"
            return f"{way} is in maintenance{until}; other ways go first."
        case "suspended":
            return f"{way} was switched off by {by}{why}."
        case "draining":
            return f"{way} is finishing, ordered by {by}{why}."
        case "down":
            last = status.last_failure
            told = "" if last is None else f" since {a.time(last.at)}{_times(last.times)}: {last.says}"
            return f"{way} does not work{told.rstrip('.')}."
        case _:
            assert_never(status.state)


def _times(times: int) -> str:
    return f" ({times} times)" if times > 1 else ""


def around_link(status: LinkStatus, a: Around) -> str:
    """What happens to the pages of a way out that does not work."""
    carrier = [one for one in a.links.values() if one.carrier == status.carrier and one is not status]
    if working := [a.way(one.link) for one in carrier if _works(one)]:
        return f"its pages go by {_and(working)}"
    return f"no other way to {carrier_name(status.link)} works: pages go by other carriers, or wait"


def _works(status: LinkStatus) -> bool:
    return status.state in ("working", "idle")


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


_LINE = {  # what is said of a line instead of what the port or modem said, and what to do
    "no-dialtone": ("no dial tone", "check the telephone cable"),
    "modem": (None, "check its power and cable"),
    "port-missing": ("its port is not there", "plug it in"),
    "port-busy": ("another program has its port", "end that program"),
    "port-denied": ("the gateway may not use its port", "let its user have it"),
    "port-broken": (None, "check its power and cable"),
}


def of_line(line: LineStatus, a: Around) -> str:
    """How one modem line does: ``no dial tone since 02:58 (4 calls)``."""
    trouble = line.trouble
    if trouble is None:
        return "a call is made by it" if line.in_use else "nothing is wrong with it"
    words, _ = _LINE.get(trouble.code, (None, None))
    calls = "1 call" if trouble.calls == 1 else f"{trouble.calls} calls"
    return f"{words or trouble.why} since {a.time(trouble.since)} ({calls})"


def around_line(line: LineStatus, a: Around) -> str:
    """What happens to the calls of a line that has trouble; nothing if it has none."""
    if line.trouble is None:
        return ""
    others = [one.name for one in a.lines if one.pool == line.pool and one.trouble is None]
    if not others:
        return f"no other line of {line.pool} works: pages go other ways, or wait"
    so_far = f", {line.trouble.moved} so far" if line.trouble.moved else ""
    return f"its calls go by {_and(others)}{so_far}"


def line_advice(code: str) -> str | None:
    """What somebody should do about a line with that trouble."""
    return _LINE.get(code, (None, None))[1]


def of_down(down: PathDown, a: Around) -> str:
    """``the Internet is down since 02:58: going by phone``; one link alone may be the carrier's fault."""
    path = _PATHS.get(down.path, down.path)
    what = f"the {path} is down" if down.links > 1 else f"the only way out over the {path} rests"
    ways = [status.path for status in a.links.values() if status.path != down.path and _works(status)]
    by = list(dict.fromkeys(_BY.get(way, "another way") for way in ways))
    return f"{what} since {a.time(down.since)}: " + (f"going {_and(by)}" if by else "no other way out works")


def of_class(message_class: MessageClass, count: int) -> str:
    """``3 critical pages``."""
    return f"{count} {message_class.token} page{'' if count == 1 else 's'}"
