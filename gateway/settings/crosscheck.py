"""What no field can know alone: names that must exist, names used twice, loops, plans that reach nobody.

Looks at converted settings; positions come from the tree that they were read from. What conversion found
wrong is not looked at again, so that one mistake is reported once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from gateway.model import MessageClass
from gateway.settings import patterns, receivers
from gateway.settings.complaints import LISTED, Complaints, Mark, quoted
from gateway.settings.document import Entries, place
from gateway.settings.kinds import KINDS, Unfit, is_loopback
from gateway.settings.types import TEXTS, Adapter, ClientSettings, Person, Settings, Tell

_ADDRESS = re.compile(r"[!-~]{1,254}")  # one word of ASCII, whatever the carrier; patterns.MAX_ADDRESS
EVERYONE = "everyone"
DISCREET = "no-patient-data"  # texts whose names begin so keep the message itself off their carriers
TELLING = ("{text}", "{short}", "{details}", "{replies}")  # placeholders of the client's own words


def crosscheck(
    settings: Settings, top: Entries, complaints: Complaints, specs: Mapping[str, Adapter]
) -> None:
    """Complain about everything in *settings*, read from *top*, that does not fit together."""
    check = _Check(settings, top, complaints)
    check.names()
    check.doors(specs)
    check.adapters(specs)
    check.carriers()
    check.texts()
    check.plans()
    for name, person in settings.people.items():
        check.person(name, person)
    check.mail_alone()
    check.groups()
    for name, client in settings.clients.items():
        check.client(name, client)
    check.tokens()
    check.watch()
    if not settings.clients:
        complaints.warning(Mark(top.mark.file, 1, 1), ("clients",), "nobody may submit.", "Write a client.")


class _Check:
    def __init__(self, settings: Settings, top: Entries, complaints: Complaints) -> None:
        self._settings = settings
        self._top = top
        self._complaints = complaints
        self._targets = dict.fromkeys((*settings.people, *settings.groups))  # in file order
        self._used = {cls for client in settings.clients.values() for cls in client.classes}

    def _wrong(self, path: tuple[str, ...], what: str, remedy: str, *, key: bool = False) -> None:
        self._complaints.mistake(place(self._top, path, key=key), path, what, remedy)

    def _unknown(self, path: tuple[str, ...], what: str, word: str, names: Collection[str]) -> None:
        remedy = self._complaints.meant(word, names)
        if not remedy:
            shown = ", ".join(islice(names, 10)) + (" …" if len(names) > 10 else "")
            remedy = f"There {'is' if len(names) == 1 else 'are'}: {shown}." if names else "Write it first."
        self._wrong(path, what, remedy)

    def names(self) -> None:
        """People and groups are one namespace; codes stand for people in it."""
        settings = self._settings
        for section in ("people", "groups"):
            if EVERYONE in getattr(settings, section):
                what = f"{quoted(EVERYONE)} means all targets."
                self._wrong((section, EVERYONE), what, "Choose another name.", key=True)
        for name in settings.groups:
            if name in settings.people:
                at = place(self._top, ("people", name), key=True)
                what = f"{quoted(name)} is also a person, at {at}."
                self._wrong(("groups", name), what, "Give one of them another name.", key=True)
        owners: dict[str, tuple[str, ...]] = {}
        for name, person in settings.people.items():
            for n, code in enumerate(person.codes):
                path = ("people", name, "codes", f"[{n}]")
                if code in owners:
                    what = f"code {quoted(code)} is also at {place(self._top, owners[code])}."
                    self._wrong(path, what, "Give each person a code of their own.")
                elif code in self._targets:
                    section = "people" if code in settings.people else "groups"
                    at = place(self._top, (section, code), key=True)
                    self._wrong(path, f"code {quoted(code)} is also a name, at {at}.", "Choose another code.")
                else:
                    owners[code] = path

    def carriers(self) -> None:
        for name, carrier in self._settings.carriers.items():
            if carrier.text not in self._settings.texts:
                what = f"there is no text {quoted(carrier.text)}."
                self._unknown(("carriers", name, "text"), what, carrier.text, self._settings.texts)
            adapters = {link.adapter for link in carrier.links.values()}
            for n, rule in enumerate(carrier.rules):
                path = ("carriers", name, "rules", f"[{n}]")
                if rule.link is not None and rule.link not in carrier.links:
                    what = f"this carrier has no link {quoted(rule.link)}."
                    self._unknown((*path, "link"), what, rule.link, carrier.links)
                if rule.protocol is not None and rule.protocol not in adapters:
                    what = f"no link of this carrier speaks {quoted(rule.protocol)}."
                    self._unknown((*path, "protocol"), what, rule.protocol, adapters)

    def doors(self, specs: Mapping[str, Adapter]) -> None:
        """What comes back to a link finds its door open."""
        for name in self._settings.link_names():
            link = self._settings.link(name)
            carrier, _, way = name.partition(".")
            path = ("carriers", carrier, "links", way)
            if link is None or link.own is None or not self._complaints.sound(*path):
                continue
            door = specs[link.adapter].listener
            if door is None or link.adapter in self._settings.listen.own:
                continue
            if (key := door.needed_by(link)) is not None and self._complaints.sound("listen", link.adapter):
                what = f"nothing will come back to it: listen.{link.adapter} is not open."
                remedy = f"Write {link.adapter}: {{}} below listen."
                self._complaints.warning(place(self._top, (*path, key)), (*path, key), what, remedy)

    def adapters(self, specs: Mapping[str, Adapter]) -> None:
        """What adapters have against the settings as a whole."""
        for spec in specs.values():
            for path, objection in spec.objections(self._settings):
                here = (*path, objection.key)
                if not self._complaints.sound(*path):
                    continue
                say = self._complaints.warning if objection.warning else self._complaints.mistake
                say(place(self._top, here), here, objection.what, objection.remedy)

    def texts(self) -> None:
        """The last form must fit whatever was written: it may not hold the text itself."""
        for name, forms in self._settings.texts.items():
            path = ("texts", name)
            if not forms:
                if self._complaints.sound(*path):
                    self._wrong(path, "has no form.", 'Write ["{short} CB {callback} {ref}"].')
            elif "{text}" in forms[-1]:
                last = (*path, f"[{len(forms) - 1}]")
                remedy = 'End with a form without {text}, such as "CB {callback} {ref}".'
                self._wrong(last, "the last form may not fit, as {text} may be long.", remedy)
            for n, form in enumerate(forms):
                if name.startswith(DISCREET) and (held := [one for one in TELLING if one in form]):
                    what = f"holds {held[0]}, but a text of this name says nothing of the message."
                    remedy = f'Write "{TEXTS[DISCREET][0]}", or choose another name.'
                    self._wrong((*path, f"[{n}]"), what, remedy)

    def plans(self) -> None:
        """A plan says something for each class that a client may use, in names of devices that exist."""
        settings = self._settings
        devices = {device for person in settings.people.values() for device in person.devices}
        default = settings.defaults.people.plan
        if default is not None and default not in settings.plans:
            what = f"there is no plan {quoted(default)}."
            self._unknown(("defaults", "people", "plan"), what, default, settings.plans)
        for name, plan in settings.plans.items():
            for cls in sorted(self._used):
                if cls not in plan and self._complaints.sound("plans", name):
                    what = f"says nothing for {cls.token}, which a client may use."
                    self._wrong(("plans", name), what, f"Write {cls.token}: [device].", key=True)
            for cls, items in plan.items():
                for n, item in enumerate(items):
                    for device in item:
                        if device not in devices and devices:
                            path = ("plans", name, cls.token, f"[{n}]")
                            self._complaints.warning(
                                place(self._top, path),
                                path,
                                f"nobody has a device {quoted(device)}.",
                                self._complaints.meant(device, devices),
                            )

    def person(self, name: str, person: Person) -> None:
        path = ("people", name)
        for device, written in person.devices.items():
            if self._complaints.sound(*path, "devices", device):
                self._device((*path, "devices", device), written)
        plan = self._settings.plan_name(person)
        if plan is not None and plan not in self._settings.plans:
            if person.plan is not None:
                what = f"there is no plan {quoted(plan)}."
                self._unknown((*path, "plan"), what, plan, self._settings.plans)
            return
        if not self._complaints.sound(*path, "devices") and not person.devices:
            return
        if not person.devices:
            self._wrong(path, "has no device.", "Write devices: {pager: carrier:address}.", key=True)
        elif plan is not None:
            self._reachable(path, person, plan)

    def _reachable(self, path: tuple[str, ...], person: Person, plan: str) -> None:
        written: Mapping[MessageClass, object] = self._settings.plans[plan]
        left_out = [
            cls.token
            for cls in sorted(self._used)
            if cls in written
            and self._complaints.sound("plans", plan, cls.token)
            and not self._settings.items_of(person, cls)
        ]
        if left_out:
            what = f"nothing is left of plan {quoted(plan)} for {', '.join(left_out)}"
            what += f": there are only {', '.join(person.devices)}."
            self._wrong(path, what, "Give a device that the plan names, or another plan.", key=True)

    def mail_alone(self) -> None:
        """Mail was never made to be timely: who is paged in a hurry has another way too. Said once a plan."""
        settings = self._settings
        by_mail = {
            name
            for name, carrier in settings.carriers.items()
            if all(link.adapter == "smtp" for link in carrier.links.values())
        }
        hasty = sorted(self._used & {MessageClass.CRITICAL, MessageClass.URGENT})
        found: dict[str | None, list[str]] = {}
        for name, person in settings.people.items() if by_mail and hasty else ():
            plan = settings.plan_name(person)
            if person.test or not (plan is None or plan in settings.plans):
                continue
            for cls in hasty:
                devices = [device for item in settings.items_of(person, cls) for device in item]
                if devices and all(person.devices[d].partition(":")[0] in by_mail for d in devices):
                    found.setdefault(plan, []).append(name)
                    break
        for plan, names in found.items():
            path = ("people", names[0]) if plan is None else ("plans", plan)
            others = "" if len(names) == 1 else f" and {len(names) - 1} more"
            what = f"{names[0]}{others} can be reached by mail alone, in a hurry too."
            remedy = "Give a pager or a telephone; mail may take hours."
            self._complaints.warning(place(self._top, path, key=True), path, what, remedy)

    def _device(self, path: tuple[str, ...], written: str) -> None:
        """``carrier:address``: the carrier exists and its addresses look like this one."""
        carrier, colon, address = written.partition(":")
        if not colon:
            what = f"{quoted(written)} names no carrier."
            self._wrong(path, what, 'Write carrier:address, such as "spok:5551212".')
            return
        found = self._settings.carriers.get(carrier)
        if found is None:
            self._unknown(path, f"there is no carrier {quoted(carrier)}.", carrier, self._settings.carriers)
        elif not _ADDRESS.fullmatch(address):
            what = f"{quoted(address)} is not an address: it is one word of ASCII, at most 254 characters."
            self._wrong(path, what, f"Write {carrier}:address.")
        elif found.device.pattern is not None and not patterns.matches(found.device.pattern, address):
            what = f"{quoted(address)} is not {_A[found.device.id]} of carrier {quoted(carrier)}."
            self._wrong(path, what, f"It must match {quoted(found.device.pattern)[1:-1]}")

    def groups(self) -> None:
        settings = self._settings
        for name, members in settings.groups.items():
            if not members and self._complaints.sound("groups", name):
                self._wrong(("groups", name), "has nobody in it.", "Write [alice, bob].")
            for n, member in enumerate(members):
                if member not in self._targets and self._complaints.sound("groups", name, f"[{n}]"):
                    what = f"there is no person or group {quoted(member)}."
                    self._unknown(("groups", name, f"[{n}]"), what, member, self._targets)
        between = {
            name: [
                member for member in members if member in settings.groups and member not in settings.people
            ]
            for name, members in settings.groups.items()
        }
        for loop in islice(_loops(between), LISTED):
            n = settings.groups[loop[0]].index(loop[1])
            shown = " → ".join(loop if len(loop) <= 12 else (*loop[:6], "…", *loop[-5:]))
            path = ("groups", loop[0], f"[{n}]")
            self._wrong(path, f"goes in a circle: {shown}.", "Remove one of them.")

    def client(self, name: str, client: ClientSettings) -> None:
        path = ("clients", name)
        for n, target in enumerate(client.may_page):
            here = (*path, "may_page", f"[{n}]")
            if not self._complaints.sound(*here):
                continue
            if target.endswith(":*") and target.count(":") == 1:
                carrier = target[:-2]
                if carrier not in self._settings.carriers:
                    what = f"there is no carrier {quoted(carrier)}."
                    self._unknown(here, what, carrier, self._settings.carriers)
            elif ":" in target:
                self._device(here, target)
            elif target != EVERYONE and target not in self._targets:
                what = f"there is no person or group {quoted(target)}."
                self._unknown(here, what, target, self._targets)
        if not client.may_page and self._complaints.sound(*path, "may_page"):
            at = place(self._top, path, key=True)
            self._complaints.warning(at, path, "may page nobody.", "Write may_page: [everyone].")
        if client.tell is not None:
            self._tell((*path, "tell"), client.tell)
        http = self._settings.listen.http
        if client.token_sha256 or client.networks or not self._complaints.sound(*path):
            return
        if http is not None and self._complaints.sound("listen", "http") and not is_loopback(http.at):
            what = f"has no token and no networks, and the API listens at {http.at}: anybody could submit."
            self._wrong(path, what, "Write token_sha256 or networks.", key=True)

    def watch(self) -> None:
        """The watcher has a web address; those who are told can be paged."""
        watch = self._settings.watch
        if watch.ping is not None and self._complaints.sound("watch", "ping"):
            try:
                KINDS["url"].read(watch.ping.value)
            except Unfit:
                what = "the secret is not a web address."
                self._wrong(("watch", "ping"), what, "Put the watcher's address where the reference points.")
        for n, target in enumerate(watch.tell):
            here = ("watch", "tell", f"[{n}]")
            if ":" in target:
                self._device(here, target)
            elif target not in self._targets:
                what = f"there is no person or group {quoted(target)}."
                self._unknown(here, what, target, self._targets)

    def _tell(self, path: tuple[str, ...], tell: Tell) -> None:
        """The receiver may be where its address says, and the secrets are what programs sign with."""
        sound = self._complaints.sound(*path, "url") and self._complaints.sound(*path, "allow")
        if sound and (wrong := receivers.objection(tell.url, tell.allow)):
            remedy = "Write its network into allow, such as allow: [10.1.7.0/24]."
            self._wrong((*path, "url"), wrong, remedy)
        for name, secret in (("secret", tell.secret), ("old_secret", tell.old_secret)):
            if secret is not None and self._complaints.sound(*path, name) and not receivers.key_of(secret):
                what = "this is not a secret to sign with: base64 of 24 to 64 bytes."
                self._wrong((*path, name), what, "Make one: openssl rand -base64 32.")

    def tokens(self) -> None:
        """No two clients are told apart by the same token."""
        owners: dict[str, tuple[str, ...]] = {}
        for name, client in self._settings.clients.items():
            for n, digest in enumerate(client.token_sha256):
                path = ("clients", name, "token_sha256", f"[{n}]")
                if digest and digest in owners:
                    at = place(self._top, owners[digest])
                    self._wrong(path, f"the same token is at {at}.", "Give each client a token of its own.")
                elif digest:
                    owners[digest] = path


_A = {"pin": "a pin", "number": "a number", "address": "an address"}


def _loops(members: Mapping[str, list[str]]) -> Iterator[tuple[str, ...]]:
    """Every circle that a walk in file order closes, as the names on it, first and last the same."""
    done: set[str] = set()
    for start in members:
        if start in done:
            continue
        way = {start: None}
        todo = [(start, iter(members[start]))]
        while todo:
            name, rest = todo[-1]
            following = next(rest, None)
            if following is None:
                done.add(name)
                del way[name]
                todo.pop()
            elif following in way:
                names = list(way)
                yield (*names[names.index(following) :], following)
            elif following not in done:
                way[following] = None
                todo.append((following, iter(members[following])))
